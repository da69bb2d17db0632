"""One module a noun."""

from focusrail.api.routes import (
    camera,
    configuration,
    events,
    health,
    page,
    publications,
    rail,
    recipes,
    results,
    shoots,
    stacks,
)  # fmt: skip

ALL = (health.router, events.router, shoots.router, stacks.router, results.router, publications.router, rail.router,
       camera.router, recipes.router, configuration.router)  # fmt: skip
PAGE = page.router  # not below /api
