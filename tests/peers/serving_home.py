"""`focusrail serve` as a process of its own, on the small rig."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peers.small_rig import Home

LONGEST_S = 30.0


def until(true: Callable[[], object], *, what: str) -> None:
    """Wait for something that another process does."""
    deadline_s = time.monotonic() + LONGEST_S
    while not true():
        assert time.monotonic() < deadline_s, f"{what}: not within {LONGEST_S:g} s"
        time.sleep(0.1)


def answers(path: Path) -> bool:
    """Whether somebody listens at a socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def start(home: Home) -> subprocess.Popen[bytes]:
    """Start a service, for which permissions hold also when root runs the tests, and wait until it has its rig."""
    command = home.command("serve")
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    with (home.folder / "service.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=home.folder)
    try:
        until(lambda: answers(home.data / "focusrail.sock") or process.poll() is not None, what="the service's socket")
        until(lambda: status(home)["rig"], what="the service's rig")
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


@contextmanager
def serving(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """A service for a while; ended in order."""
    process = start(home)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(LONGEST_S)
        finally:
            process.kill()
            process.wait()


def status(home: Home) -> dict[str, Any]:
    """What `focusrail status --json` prints."""
    told: dict[str, Any] = json.loads(home.run_here("status", "--json").out)
    return told


def stored(home: Home) -> int:
    """How many frames of what is going on are stored."""
    progress = status(home)["progress"]
    return 0 if progress is None else int(progress["stored"])
