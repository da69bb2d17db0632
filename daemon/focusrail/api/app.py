"""The HTTP application, put together."""

from __future__ import annotations

from collections.abc import Collection

from fastapi import FastAPI

import focusrail
from focusrail.api import routes
from focusrail.api.access import Access
from focusrail.api.problems import tell_problems
from focusrail.desk import Desk


def make_app(desk: Desk, *, token: str, hosts: Collection[str]) -> FastAPI:
    """The application for a desk."""
    app = FastAPI(
        title="focusrail",
        version=focusrail.__version__,
        summary="Unattended macro photography: rail, camera and focus stacks",
        openapi_url="/api/openapi.json",
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
    )
    app.state.desk = desk
    tell_problems(app)
    for router in routes.ALL:
        app.include_router(router, prefix="/api")
    app.include_router(routes.PAGE)
    app.add_middleware(Access, token=token, hosts=hosts)
    return app
