"""Who may ask for what. Checked for every request, before anything else is looked at.

On the Unix socket the file's permission has been checked by the system. Over TCP, loopback too (other users of the
machine, and pages in the browser, reach it), all but the page itself needs the token. What writes must come from our
own page or from no page: a foreign page can neither read our answers nor forge Origin, Sec-Fetch-Site or a JSON body.
The Host check is against DNS rebinding, where a foreign name points to our address.
"""

from __future__ import annotations

import hmac
import os
import socket
import time
from collections import deque
from collections.abc import Collection, Mapping
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from secrets import token_urlsafe
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from focusrail.api.problems import Problem, problem
from focusrail.store.durable import make_folder, writing

COOKIE = "focusrail"
LARGEST_BODY = 1 << 20  # bytes; nothing that is asked for is larger
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FREE = ("/", "/web/", "/api/health")  # what tells a stranger nothing
_WRONG_TOKENS = 20  # in a minute, from all addresses together, after which none is looked at
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


def token_at(path: Path) -> str:
    """The token that a file holds; made, for its owner's eyes only, where there is none."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        token = ""
    if not token:
        token = token_urlsafe(24)
        make_folder(path.parent)
        with writing(path):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                os.fchmod(descriptor, 0o600)
                file.write(token + "\n")
    return token


def addresses(listen: tuple[str, int]) -> list[str]:
    """The addresses that lead to a service that listens so, the most general one last."""
    host, port = listen
    if host not in _EVERYWHERE:
        return [f"http://{f'[{host}]' if ':' in host else host}:{port}"]
    return [f"http://{name}:{port}" for name in ("127.0.0.1", f"{socket.gethostname()}.local", *_seen())]


def names(listen: tuple[str, int], more: Collection[str] = ()) -> set[str]:
    """By which a service that listens so may be reached: its address, this machine's names, and `more`."""
    host, _ = listen
    known = {"127.0.0.1", "localhost", "::1", host, *more}
    if host in _EVERYWHERE:
        name = socket.gethostname()
        known |= {name, f"{name}.local", *_seen()}
        with suppress(OSError):
            known |= {str(info[4][0]) for info in socket.getaddrinfo(name, None)}
    return known


def _seen() -> list[str]:
    """The address under which the network sees this machine, if there is a network."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        return [str(probe.getsockname()[0])]
    return []


class Access:
    """ASGI middleware that refuses what must not be, and adds the headers that keep pages apart."""

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str]) -> None:
        """`hosts`: names and addresses, without port, by which the service may be reached over TCP."""
        self._app, self._token, self._hosts = app, token, frozenset(host.lower() for host in hosts)
        self._wrong: deque[float] = deque(maxlen=_WRONG_TOKENS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self._refusal(scope, headers)
        if refused is not None:
            await refused(scope, receive, _with_headers(send))
            return
        if scope["path"] == "/" and self._brings_token(scope):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(COOKIE, self._token, httponly=True, samesite="strict", max_age=400 * 86400)
            await answer(scope, receive, _with_headers(send))
            return
        await self._app(scope, _limited(receive), _with_headers(send))

    def _brings_token(self, scope: Scope) -> bool:
        """Whether this is the address that `focusrail token` shows: its token goes into a cookie, and from sight."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return bool(given) and not self._too_many() and self._is_right(given)

    def _refusal(self, scope: Scope, headers: Headers) -> Problem | None:
        path, writes = scope["path"], scope["method"] not in _SAFE
        if int(headers.get("content-length") or 0) > LARGEST_BODY:
            return problem(413, "Too large", f"a request has at most {LARGEST_BODY >> 10} kB")
        if is_local(scope):
            return None
        host = headers.get("host", "")
        if _name(host) not in self._hosts:
            return problem(421, "Unknown host", f"this service is not {host!r}; its names are in service.hosts")
        if writes and (why := _foreign(headers, host)):
            return problem(403, "Foreign page", why)
        if writes and _has_body(headers) and headers.get("content-type", "").split(";")[0] != "application/json":
            return problem(415, "Not JSON", "what is sent here is application/json")
        if path in _FREE or path.startswith(_FREE[1]):
            return None
        given = _given(headers)
        if given and self._too_many():
            return problem(429, "Too many wrong tokens", "wait a minute")
        if self._is_right(given):
            return None
        if given:
            self._wrong.append(time.monotonic())
        answer = problem(
            401, "Token needed", "`focusrail token` on the machine at the rig shows the address that has it"
        )
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    def _too_many(self) -> bool:
        return len(self._wrong) == _WRONG_TOKENS and time.monotonic() - self._wrong[0] < 60

    def _is_right(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())


def is_local(scope: Scope) -> bool:
    """Whether a request came by the Unix socket: uvicorn gives those no client address."""
    return scope.get("client") is None or (scope.get("server") or (None, 0))[1] is None


def _name(host: str) -> str:
    """A Host header's name without its port; an IPv6 address in its brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _foreign(headers: Mapping[str, str], host: str) -> str:
    """Why what writes seems to come from a foreign page; empty if it does not."""
    origin = headers.get("origin")
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return f"the page {origin} may not do this"
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "another page may not do this"
    return ""


def _has_body(headers: Mapping[str, str]) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _given(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel is not None else ""


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


def _limited(receive: Receive) -> Receive:
    """Bodies that do not say how long they are end where the longest would."""
    got = 0

    async def receiving() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        return {"type": "http.disconnect"} if got > LARGEST_BODY else message

    return receiving
