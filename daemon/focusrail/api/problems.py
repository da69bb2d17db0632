"""Errors as application/problem+json (RFC 9457): one table gives each its status, and its sentence is the detail."""

from __future__ import annotations

import re
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from focusrail.errors import FocusrailError, http_status, name_of
from focusrail_drivers.base import DriverError


class Problem(JSONResponse):
    """One error."""

    media_type = "application/problem+json"


def problem(status: int, title: str, detail: str, *, kind: str = "about:blank") -> Problem:
    """An error; `kind` is its class, for programs."""
    return Problem({"type": kind, "title": title, "status": status, "detail": detail}, status)


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
    said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return problem(422, "Invalid request", said, kind="/problems/invalid-request")


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = problem(error.status_code, HTTPStatus(error.status_code).phrase, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer
