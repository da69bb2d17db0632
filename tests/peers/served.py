"""`focusrail serve` as a process of its own, and what is asked of it over its Unix socket and over TCP."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from peers.small_rig import Home

PATIENCE_S = 20.0


class Service:
    """A running service."""

    def __init__(self, home: Home, port: int) -> None:
        self.home, self.port = home, port
        self._socket = str(home.data / "focusrail.sock")
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=self._socket), base_url="http://rig", timeout=30.0
        )

    def get(self, path: str, status: int = 200, **given: Any) -> Any:
        """What is answered, as JSON."""
        return self._asked("GET", path, status, **given)

    def post(self, path: str, status: int = 200, **given: Any) -> Any:
        """What is answered, as JSON; None where there is nothing."""
        return self._asked("POST", path, status, **given)

    def put(self, path: str, status: int = 200, **given: Any) -> Any:
        """What is answered, as JSON."""
        return self._asked("PUT", path, status, **given)

    def ask_alone(self, method: str, path: str, **given: Any) -> httpx.Response:
        """On a connection of its own, from any thread: whatever is answered."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=self._socket), base_url="http://rig", timeout=30.0) as one:
            return one.request(method, f"/api{path}", **given)

    def _asked(self, method: str, path: str, status: int, **given: Any) -> Any:
        answer = self._client.request(method, f"/api{path}", **given)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def close(self) -> None:
        """Ask no more."""
        self._client.close()

    def is_ready(self) -> bool:
        """Whether it answers, and its rig is open."""
        with socket.socket(socket.AF_UNIX) as probe:  # httpx leaves one behind that cannot be connected
            if probe.connect_ex(self._socket):
                return False
        return bool(self.status()["rig"])

    def status(self) -> dict[str, Any]:
        """How the rig is."""
        told: dict[str, Any] = self.get("/status")
        return told

    def wait(self, until: Callable[[dict[str, Any]], object], *, patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """Wait until the status is such, and return it."""
        late_s = time.monotonic() + patience_s
        while not until(told := self.status()):
            assert time.monotonic() < late_s, told
            time.sleep(0.01)
        return told

    def connected(self, *, receive_bytes: int | None = None) -> socket.socket:
        """A connection by TCP, with a small buffer at this end if that is wanted."""
        connection = socket.socket()
        connection.settimeout(PATIENCE_S)
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def token(self) -> str:
        """What opens the door."""
        return (self.home.data / "token").read_text().strip()


@contextmanager
def served(folder: Path, *, port: int = 0, **given: Any) -> Iterator[Service]:
    """A service on a small rig, ready; at this port, or at one that is free."""
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))
        port = free.getsockname()[1]
    home = Home(folder, service={"listen": f"127.0.0.1:{port}"}, **given)
    process = subprocess.Popen(home.command("serve"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder)
    try:
        with closing(Service(home, port)) as service:
            late_s = time.monotonic() + PATIENCE_S
            while not service.is_ready():
                assert process.poll() is None and time.monotonic() < late_s, "the service did not begin"
                time.sleep(0.02)
            yield service
    finally:
        process.kill()  # whatever hangs in it is part of what is tried
        process.communicate()
