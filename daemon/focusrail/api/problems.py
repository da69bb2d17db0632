"""Errors as application/problem+json (RFC 9457): one table gives each its status, and its sentence is the detail."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from focusrail.api.schemas import ProblemTold
from focusrail.errors import FocusrailError, http_status, name_of
from focusrail_drivers.base import DriverError

log = structlog.get_logger(__name__)
_MOST_FAULTS = 10  # of one request that are told

# What every route may answer besides what it is for; see the table in focusrail.errors.
ANY_PROBLEM: dict[int | str, dict[str, Any]] = {
    kind: {
        "description": what,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemTold"}}},
    }
    for kind, what in (("4XX", "Refused; the detail says why"), ("5XX", "It could not be done; the detail says why"))
}


class Problem(JSONResponse):
    """One error."""

    media_type = "application/problem+json"


def problem(status: int, title: str, detail: str, *, kind: str = "about:blank") -> Problem:
    """An error; `kind` is its class, for programs."""
    told = ProblemTold(type=kind, title=title, status=status, detail=_text(detail))
    return Problem(told.model_dump(), status)


def _text(detail: str) -> str:
    """What can be sent: a lone surrogate, which JSON's escapes can make, is no character."""
    return detail.encode("utf-8", "backslashreplace").decode()


def tell_problems(app: FastAPI) -> None:
    """Let an application answer every error so."""
    app.add_exception_handler(FocusrailError, _known)
    app.add_exception_handler(DriverError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def _known(_request: Request, error: Exception) -> Response:
    name = name_of(error)
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", name).capitalize()
    return problem(http_status(error), words, str(error), kind=f"/problems/{words.lower().replace(' ', '-')}")


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    said = "; ".join(f"{'.'.join(map(str, one['loc']))[:200]}: {one['msg']}" for one in faults[:_MOST_FAULTS])
    said += f"; and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
    return problem(422, "Invalid request", said, kind="/problems/invalid-request")


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = problem(error.status_code, HTTPStatus(error.status_code).phrase, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


class Unbroken:
    """ASGI middleware: a bug of ours is logged with its traceback, and whoever asked is told no more than that."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:
            if started:
                raise
            answer = problem(503, "Ending", "the service is ending, and does not wait for this: ask again when it runs")
            await answer(scope, receive, send)
        except Exception:
            log.exception("request.failed", method=scope.get("method", ""), path=scope.get("path", ""))
            if started:  # whoever reads sees that the end is missing
                raise
            answer = problem(500, "Internal error", "this is a bug of ours: the log on the machine has its traceback")
            await answer(scope, receive, send)
