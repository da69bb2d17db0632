from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from focusrail.api import connections
from focusrail.api.connections import Connection

HELLO = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers, also at length; whoever comes by /known has shown the token."""
    scope["state"]["connection"].known = scope["path"] == "/known"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(2000 if scope["path"] == "/long" else 1):
        await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    for name, value in {"_REQUEST_S": 0.3, "_STALLED_S": 0.3, "_MOST": 5, "_OFTEN": 20, "_WAIT_S": 0.2}.items():
        monkeypatch.setattr(connections, name, value)
    monkeypatch.setattr(Connection, "counted", {})
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, http=Connection, ws="none", lifespan="off", log_config=None, log_level="error")
        config.timeout_graceful_shutdown = 1
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield int(listening.getsockname()[1])
        server.should_exit = True
        thread.join()


def connected(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=5)
    made.settimeout(5)
    return made


def is_open(connection: socket.socket) -> bool:
    try:
        connection.sendall(HELLO)
        return connection.recv(15).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"])
def test_a_request_has_to_become_whole(port: int, said: bytes) -> None:
    with connected(port) as slow:
        slow.sendall(said)
        began_s = time.monotonic()
        try:
            while slow.recv(100_000):
                pass
        except ConnectionResetError:
            pass
        assert 0.2 < time.monotonic() - began_s < 3


def test_who_says_a_little_now_and_then_does_not_hold_it_longer(port: int) -> None:
    with connected(port) as slow:
        began_s = time.monotonic()
        try:
            while time.monotonic() - began_s < 3:
                slow.sendall(b"GET / HTTP/1.1\r\nX: y\r\n" if began_s == 0 else b"X: y\r\n")
                time.sleep(0.05)
        except OSError:
            pass
        assert time.monotonic() - began_s < 3


def test_what_is_answered_has_to_be_fetched(port: int) -> None:
    with connected(port) as slow:
        slow.sendall(HELLO.replace(b"/ ", b"/long "))
        time.sleep(1.0)
        got = 0
        try:
            while piece := slow.recv(1 << 20):
                got += len(piece)
        except ConnectionResetError:
            pass
        assert got < 20_000_000, "it is given up, with what the kernel has taken for it"


def test_of_too_many_the_unknown_ones_go_first(port: int) -> None:
    known = connected(port)
    known.sendall(HELLO.replace(b"/ ", b"/known "))
    assert b"200" in known.recv(15)
    strangers = [connected(port) for _ in range(5)]
    time.sleep(0.1)
    newest = connected(port)
    assert is_open(newest)
    assert not is_open(strangers[0])
    known.sendall(HELLO)
    assert known.recv(100_000)
    for one in (known, newest, *strangers):
        one.close()


def test_who_connects_very_often_waits(port: int) -> None:
    took_s = 0.0
    for _ in range(100):  # a second may end in between, from which on they are counted anew
        began_s = time.monotonic()
        with connected(port) as one:
            assert is_open(one)
        took_s = time.monotonic() - began_s
        if took_s > 0.15:
            break
    assert took_s > 0.15


def test_a_stranger_connects_anew_every_few_requests(port: int) -> None:
    with connected(port) as stranger:
        answers = b""
        for _ in range(30):
            try:
                stranger.sendall(HELLO)
                while not answers.endswith(b"0\r\n\r\n"):
                    answers += stranger.recv(100_000) or b"0\r\n\r\n"
                answers += b" "
            except OSError:
                break
        assert 20 <= answers.count(b"HTTP/1.1 200") <= 22
