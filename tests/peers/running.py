"""`focusrail serve` as a process of its own, and what asks it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from peers.small_rig import FRAMES, Home

RECIPE = {"name": "beetle", "from_mm": 10.0, "to_mm": 14.0, "frames": FRAMES}


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Served:
    """A running service."""

    def __init__(self, folder: Path, **given: Any) -> None:
        self.port = free_port()
        self.home = Home(
            folder, **{**given, "service": {"listen": f"127.0.0.1:{self.port}", **given.get("service", {})}}
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.clients: list[httpx.Client] = []

    def start(self) -> None:
        """Start it, and wait until the rig is open."""
        with (self.home.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.home.command("serve"), stdout=log, stderr=log, cwd=self.home.folder)
        self.until(self.is_healthy)
        self.local = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.home.data / "focusrail.sock")), base_url="http://rig", timeout=30
        )
        self.token = (self.home.data / "token").read_text().strip()
        self.tcp = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=30, headers={"Authorization": f"Bearer {self.token}"}
        )

        self.clients += [self.local, self.tcp]

    def is_healthy(self) -> bool:
        """Whether it says so."""
        assert self.process is not None and self.process.poll() is None, self.log()
        try:
            return bool(httpx.get(f"http://127.0.0.1:{self.port}/api/health", trust_env=False).json()["healthy"])
        except httpx.TransportError:
            return False

    def stop(self, number: int = signal.SIGTERM) -> float:
        """End it; return how long that has taken (s)."""
        assert self.process is not None
        began_s = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(20)
        return time.monotonic() - began_s

    def log(self) -> str:
        """What it has logged."""
        return (self.home.folder / "log").read_text()

    def logged(self, event: str) -> list[Mapping[str, Any]]:
        """All that it has logged by one name."""
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def until(self, holds: Callable[[], object], *, within_s: float = 20.0) -> None:
        """Wait for something that is going to be so."""
        deadline_s = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline_s, self.log()[-3000:]
            time.sleep(0.02)

    def begin(self, *, headers: Mapping[str, str] | None = None, **given: Any) -> httpx.Response:
        """Ask for a shoot."""
        return self.local.post("/api/shoots", json={"recipe": {**RECIPE, **given}}, headers=dict(headers or {}))

    def shoot(self, shoot_id: str) -> Mapping[str, Any]:
        """What it says of a shoot."""
        told: Mapping[str, Any] = self.local.get(f"/api/shoots/{shoot_id}").json()
        return told

    def status(self) -> Mapping[str, Any]:
        """What is going on."""
        told: Mapping[str, Any] = self.local.get("/api/status").json()
        return told

    def idle(self) -> None:
        """Wait until nothing goes on."""
        self.until(lambda: not self.status()["doing"])


@contextmanager
def served(folder: Path, **given: Any) -> Iterator[Served]:
    """A service that is ended in the end."""
    service = Served(folder, **given)
    try:
        service.start()
        yield service
    finally:
        for client in service.clients:
            client.close()
        if service.process is not None and service.process.poll() is None:
            service.stop()
