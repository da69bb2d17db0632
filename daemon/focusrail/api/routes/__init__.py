"""One module a noun."""

from focusrail.api.routes import camera, configuration, events, health, page, rail, recipes, results, shoots

ALL = (health.router, events.router, shoots.router, results.router, rail.router, camera.router, recipes.router,
       configuration.router)  # fmt: skip
PAGE = page.router  # not below /api
