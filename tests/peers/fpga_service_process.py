"""The FPGA's service as a process: started, killed, paused, and started again as systemd would."""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from focusrail_drivers.accelerators.kv260.remote import RemoteKv260
from peers.stopped import stop

EMULATOR = "focusrail_drivers.accelerators.kv260_emulator.device"
TILES = {"tile_height_px": 64, "tile_width_px": 96}
_START_S = 60.0
needs_pynq = pytest.mark.skipif(importlib.util.find_spec("pynq") is None, reason="needs pynq")


class EndedEarly(Exception):
    """The service ended before it was ready. The message is what it logged."""


class ServiceProcess:
    """One service in `folder`; it is ready when it has said so."""

    def __init__(
        self,
        folder: Path,
        *,
        emulated: bool = False,
        mood: str = "good",
        options: Mapping[str, Any] | None = None,
        faults: str = "",
    ) -> None:
        self.socket = folder / "socket"
        self._told = folder / "notify"
        exact = [str(Path(__file__).with_name("fpga_exact.py")), str(self.socket), mood]
        given = json.dumps({**TILES, **(options or {})})
        emulator = ["-m", "focusrail_drivers.fpga_service", "--device", EMULATOR, "--options", given]
        self._argv = [sys.executable, *(exact if not emulated else [*emulator, "--socket", str(self.socket)])]
        self._environment = {**os.environ, "NOTIFY_SOCKET": str(self._told), "FOCUSRAIL_EMULATED_FAULTS": faults}
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notified.bind(str(self._told))
        self._messages: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None
        self._kept = False
        self.starts = 0

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._argv, env=self._environment, stderr=log)
        while True:
            with suppress(queue.Empty):
                self.told("READY=1", timeout_s=0.2)
                break
            if self.process.poll() is not None:
                raise EndedEarly(self.said())
        self.starts += 1

    def told(self, *words: str, timeout_s: float = _START_S) -> str:
        """The next thing it tells systemd that has one of these words. Raises queue.Empty."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            message = self._messages.get(timeout=max(0.0, deadline_s - time.monotonic()))
            if any(word in message for word in words):
                return message

    def forget(self) -> None:
        """What it has told up to now."""
        while not self._messages.empty():
            self._messages.get()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def client(self, **options: Any) -> RemoteKv260:
        """A client of it, unopened."""
        given = {"socket": self.socket, "patience_s": 20.0, "shift": 1, **options}
        return RemoteKv260(RemoteKv260.Options(**given))

    def descriptors(self) -> int:
        """How many files it has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def stop(self) -> None:
        """Let it do nothing until `go_on`."""
        stop(self.process.pid)

    def go_on(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """As a watchdog would."""
        self.process.kill()

    def keep(self) -> None:
        """From now on, start it again whenever it has ended."""

        def again() -> None:
            while self._kept:
                self.process.wait()
                with suppress(EndedEarly):
                    if self._kept:
                        self.start()

        self._kept = True
        self._keeper = threading.Thread(target=again)
        self._keeper.start()

    def end(self) -> int:
        """End it in good order; its exit status."""
        self.signal(signal.SIGTERM)
        return self.process.wait(20.0)

    def said(self) -> str:
        """What it has logged."""
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        """It and all that belongs to it."""
        self._kept = False
        if self._process is not None:
            self.signal(signal.SIGCONT)
            self.kill()
            self.process.wait()
        if self._keeper is not None:
            self._keeper.join()
            self.kill()
            self.process.wait()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self._told))
        self._listener.join()
        self._notified.close()

    def _listen(self) -> None:
        while message := self._notified.recv(4096):
            self._messages.put(message.decode())


def soon(what: Callable[[], bool], timeout_s: float = 15.0) -> bool:
    """Whether it comes true within a time that is long for a busy machine."""
    deadline_s = time.monotonic() + timeout_s
    while not what():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True
