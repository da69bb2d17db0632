"""The application asked in this process: no socket, no server, nothing that would tidy up a request on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI

from focusrail.api.app import make_app
from focusrail.desk import Desk

TOKEN = "a-token-for-tests-only"
HOST = "127.0.0.1:8260"
OURS: Mapping[str, str] = {"host": HOST, "authorization": f"Bearer {TOKEN}"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def app_of(desk: Desk) -> FastAPI:
    """The application as the service makes it."""
    return make_app(desk, token=TOKEN, hosts={"127.0.0.1", "localhost"})


def operations(app: FastAPI) -> list[tuple[str, str]]:
    """Every method and path that the application has a route for, also those that are not published."""
    found: set[tuple[str, str]] = set()

    def collect(routes: Any, prefix: str = "") -> None:
        for route in routes:
            path = prefix + str(getattr(route, "path", ""))
            methods = getattr(route, "methods", None)
            if methods:
                found.update((method, path) for method in methods)
            else:
                inner = getattr(route, "effective_candidates", None)
                collect(inner() if callable(inner) else getattr(route, "routes", None) or [], path)

    collect(app.routes)
    return sorted(found)


async def ask(
    app: FastAPI,
    method: str,
    raw_path: str,
    *,
    headers: Mapping[str, str] = OURS,
    body: bytes = b"",
    server: tuple[str, int | None] = ("127.0.0.1", 8260),
    client: tuple[str, int] | None = ("127.0.0.1", 4711),
) -> Answer:
    """One request, with its path as it goes over the wire."""
    path, _, query = raw_path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": unquote(path), "raw_path": path.encode("latin-1", "replace"), "root_path": "",
        "query_string": query.encode("latin-1", "replace"), "server": server, "client": client, "state": {},
        "headers": [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()],
    }  # fmt: skip
    said: list[dict[str, Any]] = []
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    answered = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not pending:
            await answered.wait()
        return pending.pop() if pending else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            answered.set()

    await app(scope, receive, send)  # type: ignore[arg-type]
    told = {name.decode().lower(): value.decode("latin-1") for name, value in said[0]["headers"]}
    return Answer(said[0]["status"], told, b"".join(message.get("body", b"") for message in said[1:]))
