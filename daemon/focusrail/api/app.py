"""The HTTP application, put together."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fastapi import FastAPI

import focusrail
from focusrail.api import routes
from focusrail.api.access import Access
from focusrail.api.problems import ANY_PROBLEM, Unbroken, tell_problems
from focusrail.api.schemas import ProblemTold
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
        redirect_slashes=False,  # an address is right or wrong; and nothing is redirected to where a Host header says
    )
    app.state.desk = desk
    app.state.viewers = {local: set() for local in (False, True)}
    tell_problems(app)
    for router in routes.ALL:
        app.include_router(router, prefix="/api", responses=ANY_PROBLEM)
    app.include_router(routes.PAGE)
    _publish_problems(app)
    app.add_middleware(Unbroken)
    app.add_middleware(Access, token=token, hosts=hosts)
    return app


def _publish_problems(app: FastAPI) -> None:
    """Add to the published schema what all routes refer to: the form of an error, and the token."""
    usual = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = usual()
            parts = schema.setdefault("components", {})
            parts.setdefault("schemas", {})["ProblemTold"] = ProblemTold.model_json_schema()
            parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"token": []}]
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation says
