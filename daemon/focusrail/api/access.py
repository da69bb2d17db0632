"""Who may ask for what. Checked for every request, before anything else is looked at.

On the Unix socket the file's permission has been checked by the system. Over TCP, loopback too (other users of the
machine, and pages in the browser, reach it), all but the page itself needs the token. What writes must come from our
own page or from no page: a foreign page can neither read our answers nor forge Origin, Sec-Fetch-Site or a JSON body.
The Host check is against DNS rebinding, where a foreign name points to our address.
"""

from __future__ import annotations

import hmac
import re
import time
from collections import deque
from collections.abc import Collection, Mapping
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from focusrail.api.problems import Problem, problem

COOKIE = "focusrail"
LARGEST_BODY = 1 << 20  # bytes; nothing that is asked for is larger
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FREE = ("/", "/web/", "/api/health")  # what tells a stranger nothing
_WRONG_TOKENS = 20  # in a minute, from all addresses together, after which a wrong one is told to wait
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Access:
    """ASGI middleware that refuses what must not be, and adds the headers that keep pages apart."""

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str]) -> None:
        """`hosts`: names and addresses, without port, by which the service may be reached over TCP."""
        self._app, self._token, self._hosts = app, token, frozenset(host.lower() for host in hosts)
        self._wrong: deque[float] = deque(maxlen=_WRONG_TOKENS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":  # there are no WebSockets here, and none may come by unseen
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        refused = self._refusal(scope, headers)
        if refused is not None:
            refused.headers["Connection"] = "close"  # a stranger who asks often has to connect anew, and waits for that
            if refused.status_code not in (411, 413):  # else what is still coming resets the connection, answer and all
                await _drained(receive)
            await refused(scope, receive, _with_headers(send))
            return
        if scope["path"] == "/" and self._brings_token(scope):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(COOKIE, self._token, httponly=True, samesite="strict", max_age=400 * 86400)
            answer.headers["Cache-Control"] = "no-store"
            await answer(scope, receive, _with_headers(send))
            return
        await self._app(scope, _limited(receive), _with_headers(send))

    def _brings_token(self, scope: Scope) -> bool:
        """Whether this is the address that `focusrail token` shows: its token goes into a cookie, and from sight."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return bool(given) and scope["method"] in _SAFE and self._is_right(given)

    def _refusal(self, scope: Scope, headers: Headers) -> Problem | None:
        path, writes = scope["path"], scope["method"] not in _SAFE
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > LARGEST_BODY:
            return problem(413, "Too large", f"a request has at most {LARGEST_BODY >> 10} kB")
        if "transfer-encoding" in headers:
            return problem(411, "Length required", "say by Content-Length how long the request is")
        if is_local(scope):
            return None
        host = headers.get("host", "")
        if not self._is_ours(_name(host), scope):
            return problem(421, "Unknown host", f"this service is not {host!r}; its names are in service.hosts")
        if writes and (why := _foreign(headers, host)):
            return problem(403, "Foreign page", why)
        if writes and _has_body(headers) and not _is_json(headers):
            return problem(415, "Not JSON", "what is sent here is application/json")
        if path in _FREE or path.startswith(_FREE[1]):
            return None
        given = _given(headers)
        if self._is_right(given):
            connection = scope.get("state", {}).get("connection")
            if connection is not None:
                connection.known = True
            return None
        if given:
            if self._too_many():
                refused = problem(429, "Too many wrong tokens", "wait a minute; the right one is taken at any time")
                refused.headers["Retry-After"] = "60"
                return refused
            self._wrong.append(time.monotonic())
        answer = problem(
            401, "Token needed", "`focusrail token` on the machine at the rig shows the address that has it"
        )
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    def _is_ours(self, name: str, scope: Scope) -> bool:
        """Whether a Host header's name is one of ours, or the address at which the connection has arrived.

        The latter may change while the service runs; and a page cannot be served from an address that is not its own.
        """
        address = str((scope.get("server") or ("",))[0]).lower().removeprefix("::ffff:")
        return bool(name) and (name in self._hosts or name == address)

    def _too_many(self) -> bool:
        return len(self._wrong) == _WRONG_TOKENS and time.monotonic() - self._wrong[0] < 60

    def _is_right(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())


def is_local(scope: Scope) -> bool:
    """Whether a request came by the Unix socket: the listening end then has a path, and no port.

    That there is no client address says nothing: a TCP connection that was reset after its request has none, either.
    """
    server = scope.get("server")
    return server is not None and server[1] is None and str(server[0]).startswith("/")


def _name(host: str) -> str:
    """A Host header's name without its port; an IPv6 address without its brackets; empty if it is none."""
    found = _HOST.fullmatch(host)
    return found[1].strip("[]").lower() if found else ""


def _foreign(headers: Mapping[str, str], host: str) -> str:
    """Why what writes seems to come from a foreign page; empty if it does not."""
    origin = headers.get("origin")
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return f"the page {origin} may not do this"
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "another page may not do this"
    return ""


def _has_body(headers: Mapping[str, str]) -> bool:
    return headers.get("content-length", "0") != "0"


def _is_json(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").split(";")[0].strip().lower() == "application/json"


def _given(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    # As browsers read them: one cookie that other software on this machine has made wrong does not hide ours.
    return cookie_parser(headers.get("cookie", "")).get(COOKIE, "")


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


async def _drained(receive: Receive) -> None:
    more = True
    while more:
        message = await receive()
        more = message["type"] == "http.request" and message.get("more_body", False)


def _limited(receive: Receive) -> Receive:
    """A body ends where the longest would, whatever has let it by."""
    got = 0

    async def receiving() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > LARGEST_BODY:
            raise HTTPException(413, f"a request has at most {LARGEST_BODY >> 10} kB", {"Connection": "close"})
        return message

    return receiving
