"""What systemd is to a service: a socket at which it listens, and a process that it has started."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from peers.running import RECIPE
from peers.small_rig import Home

WATCHDOG_S = 2.0
_PATIENCE_S = 20.0


class Unit:
    """A service that has been started, and what it has told."""

    def __init__(self, home: Home, *, watchdog_s: float, abstract: bool = False) -> None:
        self.home = home
        self.told: list[tuple[float, str]] = []  # when (monotonic), which line
        path = f"\0focusrail-{home.folder}" if abstract else str(home.folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        told = {"NOTIFY_SOCKET": path.replace("\0", "@"), "WATCHDOG_USEC": f"{watchdog_s * 1e6:.0f}"}
        # As systemd: the process is told that it is meant, and no child of its.
        command = ["sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "sh", *home.command("serve")]
        with (home.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=home.folder, env={**os.environ, **told}
            )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                lines = self._socket.recv(4096).decode().splitlines()
            except OSError:
                return
            self.told += [(time.monotonic(), line) for line in lines]
            if not lines:
                return

    def times(self, line: str) -> list[float]:
        """When a line was told that begins so."""
        return [when_s for when_s, told in list(self.told) if told.startswith(line)]

    def until(self, holds: Callable[[], object]) -> None:
        """Wait for something that is going to be so."""
        late_s = time.monotonic() + _PATIENCE_S
        while not holds():
            assert time.monotonic() < late_s, (self.told[-5:], (self.home.folder / "log").read_text()[-2000:])
            time.sleep(0.02)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """What the service, and those before it, have logged by one name."""
        lines = (self.home.folder / "log").read_text().splitlines()
        return [line for line in map(json.loads, lines) if line["event"] == event]

    def until_told(self, line: str) -> None:
        """Wait for a line that begins so."""
        self.until(lambda: self.times(line))

    def until_silent(self, silent_s: float) -> None:
        """Wait until it has not told for so long that it lives."""
        self.until(lambda: time.monotonic() - self.times("WATCHDOG=1")[-1] > silent_s)

    def begin_shoot(self) -> None:
        """As a person does; the whole small scene."""
        over = httpx.HTTPTransport(uds=str(self.home.data / "focusrail.sock"))
        with httpx.Client(transport=over, base_url="http://rig") as client:
            client.post("/api/shoots", json={"recipe": RECIPE}).raise_for_status()

    def stop(self) -> int:
        """End it as `systemctl stop` does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE_S)

    def close(self) -> None:
        """Be rid of it."""
        self.process.kill()
        self.process.wait()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@contextmanager
def started(home: Home, *, watchdog_s: float = WATCHDOG_S, abstract: bool = False) -> Iterator[Unit]:
    """A service under systemd's eyes, for a while."""
    unit = Unit(home, watchdog_s=watchdog_s, abstract=abstract)
    try:
        yield unit
    finally:
        unit.close()
