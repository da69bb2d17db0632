from __future__ import annotations

import asyncio
import hmac
import re
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from focusrail.api.access import LARGEST_BODY
from focusrail.api.token import token_at
from focusrail.capture.plan import Plan
from focusrail.desk import Desk
from focusrail.errors import ConfigError
from focusrail.event_log import EventLog
from focusrail.service import Service
from peers.asgi import HOST, OURS, TOKEN, Answer, app_of, ask, operations
from peers.small_rig import small_rig

_SAFE = {"GET", "HEAD", "OPTIONS"}
_FREE = {"/", "/api/health"}
_JSON = {**OURS, "content-type": "application/json", "content-length": "2"}
_FOREIGN: list[tuple[str, Mapping[str, str], int]] = [
    ("no token", {"authorization": ""}, 401),
    ("a wrong token", {"authorization": f"Bearer {TOKEN}x"}, 401),
    ("a foreign page", {"origin": "http://evil.example"}, 403),
    ("a page without an origin", {"origin": "null"}, 403),
    ("a page of another port", {"origin": "http://127.0.0.1:8080"}, 403),
    ("a foreign page, as the browser says", {"sec-fetch-site": "cross-site"}, 403),
    ("another service's page on this machine", {"sec-fetch-site": "same-site"}, 403),
    ("a foreign name", {"host": "evil.example"}, 421),
    ("a foreign name before ours", {"host": f"evil.example@{HOST}"}, 421),
    ("a foreign address", {"host": "192.0.2.7:8260"}, 421),
    ("no name", {"host": ""}, 421),
    ("a form", {"content-type": "application/x-www-form-urlencoded"}, 415),
    ("a form with files", {"content-type": "multipart/form-data; boundary=x"}, 415),
    ("text that is JSON", {"content-type": "text/plain"}, 415),
    ("no type", {"content-type": ""}, 415),
    ("more than there may be", {"content-length": str(LARGEST_BODY + 1)}, 413),
    ("a length that is none", {"content-length": "-1"}, 413),
    ("a length without end", {"content-length": "9" * 5000}, 413),
    ("a body of unknown length", {"transfer-encoding": "chunked"}, 411),
]


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """What is logged; it is not rendered, as the default for people shows the values of all variables."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    made = Desk(small_rig(tmp_path_factory.mktemp("desk")), EventLog())
    yield made
    made.close()
    made.service.close()


@pytest.fixture(scope="module")
def app(desk: Desk) -> FastAPI:
    return app_of(desk)


def asked(app: FastAPI, *arguments: Any, **more: Any) -> Answer:
    return asyncio.run(ask(app, *arguments, **more))


def filled(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "1", path)


def writing(app: FastAPI) -> list[tuple[str, str]]:
    return [(method, filled(path)) for method, path in operations(app) if method not in _SAFE]


def is_problem(answer: Answer) -> bool:
    return answer.headers["content-type"] == "application/problem+json" and f'"status":{answer.status}' in str(
        answer.body
    )


def test_the_routes_that_are_looked_at_are_all_that_are_published(app: FastAPI) -> None:
    published = {(verb.upper(), path) for path, verbs in app.openapi()["paths"].items() for verb in verbs}
    assert published <= set(operations(app))
    assert len(writing(app)) >= 12


@pytest.mark.parametrize(("what", "changed", "status"), _FOREIGN, ids=[case[0] for case in _FOREIGN])
def test_every_route_that_writes_refuses(
    app: FastAPI, desk: Desk, what: str, changed: Mapping[str, str], status: int
) -> None:
    # A new application each time: wrong tokens are counted.
    app = app_of(desk)
    for method, path in writing(app):
        if status == 401 and path == writing(app)[0][1]:
            app = app_of(desk)
        answer = asked(app, method, path, headers={**_JSON, **changed}, body=b"{}")
        assert (answer.status, is_problem(answer)) == (status, True), (method, path, answer)


def test_methods_that_no_route_has_are_refused_alike(app: FastAPI) -> None:
    for method in ("DELETE", "PATCH", "TRACE", "PROPFIND"):
        assert asked(app, method, "/api/shoots", headers={"host": HOST}).status == 401
        assert asked(app, method, "/api/shoots", headers={**OURS, "origin": "http://evil.example"}).status == 403


def test_every_read_needs_the_token_but_health_and_the_page(desk: Desk) -> None:
    for method, path in operations(app_of(desk)):
        if method in _SAFE and path not in _FREE and not path.startswith("/web/"):
            answer = asked(app_of(desk), method, filled(path), headers={"host": HOST})
            assert answer.status == 401 and answer.headers["www-authenticate"] == "Bearer", path
    answer = asked(app_of(desk), "GET", "/api/health", headers={"host": HOST})
    assert answer.status == 200 and set(eval(answer.body.replace(b"false", b"False"))) == {"healthy", "version"}


def test_what_does_not_exist_is_told_only_to_who_has_the_token(app: FastAPI) -> None:
    for path in ("/api/nothing", "/nothing", "/api/shoots/", "//api/health", "/api//health", "/api/health/", "/webx"):
        assert asked(app, "GET", path, headers={"host": HOST}).status == 401
        answer = asked(app, "GET", path)
        assert answer.status == 404 and is_problem(answer), path


def test_a_method_that_is_not_there_is_a_problem_too(app: FastAPI) -> None:
    answer = asked(app, "PUT", "/api/status")
    assert answer.status == 405 and is_problem(answer) and answer.headers["allow"] == "GET"


def test_wrong_tokens_are_slowed_down_and_the_right_one_is_not(desk: Desk) -> None:
    app = app_of(desk)
    wrong = {**OURS, "authorization": "Bearer guess"}
    said = [asked(app, "GET", "/api/status", headers=wrong).status for _ in range(25)]
    assert said == [401] * 20 + [429] * 5
    assert asked(app, "GET", "/api/status").status == 200
    cookie = {"host": HOST, "cookie": f"broken cookie; other=[1]; focusrail={TOKEN}"}
    assert asked(app, "GET", "/api/status", headers=cookie).status == 200


def test_tokens_are_compared_in_constant_time(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    right = hmac.compare_digest

    def noted(given: bytes, kept: bytes) -> bool:
        compared.append((given, kept))
        return right(given, kept)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    asked(app, "GET", "/api/status")
    asked(app, "GET", "/?token=guess", headers={"host": HOST})
    asked(app, "GET", "/api/status", headers={**OURS, "authorization": "Bearer ümläut"})
    assert [given for given, _ in compared] == [TOKEN.encode(), b"guess", "ümläut".encode()]
    assert {kept for _, kept in compared} == {TOKEN.encode()}


def test_the_address_with_the_token_lets_a_browser_in(app: FastAPI) -> None:
    answer = asked(app, "GET", f"/?token={TOKEN}", headers={"host": HOST})
    assert answer.status == 303 and answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"focusrail={TOKEN};") and "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert "set-cookie" not in asked(app, "GET", "/?token=guess", headers={"host": HOST}).headers


def test_only_the_unix_socket_itself_is_let_in_without_a_token(app: FastAPI) -> None:
    """A TCP connection that was reset right after its request has no client address either, and httpx no port."""
    assert asked(app, "GET", "/api/status", headers={}, server=("/run/focusrail/socket", None)).status == 200
    assert asked(app, "GET", "/api/status", headers={"host": HOST}, client=None).status == 401
    assert asked(app, "GET", "/api/status", headers={"host": HOST}, server=("127.0.0.1", None)).status == 401


def test_an_address_that_the_machine_has_got_since_is_one_of_its_names(app: FastAPI) -> None:
    for address in ("192.0.2.7", "::ffff:192.0.2.7"):
        answer = asked(app, "GET", "/api/health", headers={"host": "192.0.2.7:8260"}, server=(address, 8260))
        assert answer.status == 200


def test_a_bug_of_ours_is_logged_and_not_told(
    app: FastAPI, desk: Desk, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    def broken(*_: object) -> Plan:
        raise ZeroDivisionError("the secret of the house")

    monkeypatch.setattr(desk, "plan", broken)
    body = b'{"recipe": {"name": "a", "from_mm": 1, "to_mm": 2, "frames": 3}}'
    answer = asked(app, "POST", "/api/plan", headers={**_JSON, "content-length": str(len(body))}, body=body)
    assert answer.status == 500 and is_problem(answer) and b"secret" not in answer.body
    assert answer.headers["x-content-type-options"] == "nosniff"
    (entry,) = logged
    assert entry["event"] == "request.failed" and entry["exc_info"] is True and entry["path"] == "/api/plan"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"\\ud800": 1}',
        b'{"recipe": {"\\ud800": "\\udfff"}}',
        b'{"recipe": {"name": "\\ud800", "from_mm": 1, "to_mm": 2, "frames": 3}}',
        b'{"recipe": {"name": "a", "from_mm": NaN, "to_mm": Infinity, "frames": 3}}',
        b'{"recipe": {"name": "a", "from_mm": 1' + b"0" * 5000 + b', "to_mm": 2, "frames": 3}}',
        b'{"recipe": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"recipe": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}",
        b'{"recipe": {"name": "' + b"x" * 900_000 + b'"}}',
        b'{"saved": "../../token"}',
        b'{"saved": "\\u0000"}',
        b'{"saved": null, "recipe": null}',
        b"{" + b",".join(b'"k%d": 1' % number for number in range(20_000)) + b"}",
        b"\xff\xfe",
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)
def test_no_body_breaks_anything(app: FastAPI, body: bytes) -> None:
    for path in ("/api/plan", "/api/rail/goto", "/api/configuration/check"):
        answer = asked(app, "POST", path, headers={**_JSON, "content-length": str(len(body))}, body=body)
        assert answer.status in (400, 404, 422) and is_problem(answer), (path, answer)
        assert len(answer.body) < 20_000


def test_a_token_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "token"
    token = token_at(path)
    assert len(token) >= 32 and token_at(path) == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert token_at(path) == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["token"]


def test_a_token_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    for text in ("1234", "ünglaublich-geheimes-token", "a b c d e f g h i j k l m"):
        (tmp_path / "token").write_text(text)
        with pytest.raises(ConfigError, match="is no token"):
            token_at(tmp_path / "token")
    (tmp_path / "token").write_text("\n")
    assert len(token_at(tmp_path / "token")) >= 32, "what a power cut has left"


def test_who_makes_a_token_at_the_same_time_gets_the_same(tmp_path: Path) -> None:
    tell = "import pathlib, sys; from focusrail.api.token import token_at; print(token_at(pathlib.Path(sys.argv[1])))"
    command = [sys.executable, "-c", tell, str(tmp_path / "token")]
    several = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    assert len({process.communicate()[0] for process in several}) == 1


def test_a_live_picture_and_results_are_there_only_by_their_names(shot: tuple[Service, Any]) -> None:
    service, done = shot
    desk = Desk(service.config, EventLog())
    app = app_of(desk)
    name = "shoot.json"
    answer = asked(app, "GET", f"/api/shoots/{done.shoot_id}/versions/1/{name}")
    assert answer.status == 200 and answer.body == (done.folder / name).read_bytes()
    ranged = asked(app, "GET", f"/api/shoots/{done.shoot_id}/versions/1/{name}", headers={**OURS, "range": "bytes=2-5"})
    whole = (done.folder / name).read_bytes()
    assert ranged.status == 206 and ranged.body == whole[2:6]
    for none in ("bytes=5-2", "bytes=", "lines=1-2", "a-b", "bytes=1-2;3-4"):
        asked_all = asked(app, "GET", f"/api/shoots/{done.shoot_id}/versions/1/{name}", headers={**OURS, "range": none})
        assert (asked_all.status, asked_all.body) == (200, whole), none
    beyond = asked(
        app, "GET", f"/api/shoots/{done.shoot_id}/versions/1/{name}", headers={**OURS, "range": f"bytes={len(whole)}-"}
    )
    assert beyond.status == 416 and beyond.headers["content-type"] == "application/problem+json"
    assert beyond.headers["content-range"] == f"bytes */{len(whole)}"
    place = f"/api/shoots/{done.shoot_id}/versions/1/{name}"
    tag = answer.headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        same = asked(app, "GET", place, headers={**OURS, "if-none-match": known})
        assert (same.status, same.body, same.headers["etag"]) == (304, b"", tag), known
    assert asked(app, "GET", place, headers={**OURS, "if-none-match": '"other"'}).body == whole
    head = asked(app, "HEAD", place)
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(whole)))
    report = asked(app, "GET", f"/api/shoots/{done.shoot_id}/versions/1/report.html")
    assert report.headers["content-security-policy"].startswith("sandbox")
    desk.close()
    desk.service.close()
