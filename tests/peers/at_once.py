"""Commands that start at once: forked from a Python that has loaded everything already, and painted the scene.

What is killed thousands of times must not take its time to begin. Run as a program, this is that Python: it reads
orders from standard input, a JSON array a line, and answers each with a line.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from peers.small_rig import Home

PATIENCE_S = 120.0


class AtOnce:
    """Starts the commands of one home, one at a time."""

    def __init__(self, home: Home) -> None:
        self._home = home
        paths = [path for path in sys.path if path]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
        self._python = subprocess.Popen(
            [sys.executable, "-m", "peers.at_once", str(home.config)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment,
        )  # fmt: skip
        self._answer()

    def start(self, *arguments: object, log: Path) -> int:
        """Start a command that logs into a file; return its process ID."""
        return int(self._ask("start", self._home.command(*arguments)[3:], str(self._home.folder), str(log)))

    def ended(self, pid: int, *, within_s: float) -> int | None:
        """Wait for the end of a command; return its exit code, or the signal that ended it, negative; None: not yet."""
        code = self._ask("wait", pid, within_s)
        return None if code is None else int(code)

    def close(self) -> None:
        """Start no more."""
        assert self._python.stdin is not None and self._python.stdout is not None
        self._python.stdin.close()
        self._python.wait(PATIENCE_S)
        self._python.stdout.close()

    def _ask(self, *order: object) -> Any:
        assert self._python.stdin is not None
        self._python.stdin.write(json.dumps(order) + "\n")
        return self._answer()

    def _answer(self) -> Any:
        assert self._python.stdout is not None
        if not select.select([self._python.stdout], [], [], PATIENCE_S)[0]:
            raise TimeoutError("the Python that starts commands does not answer")
        return json.loads(self._python.stdout.readline())


def _main(config: str) -> None:
    scene = _load(config)
    _say(None)
    for line in sys.stdin:
        match json.loads(line):
            case ["start", arguments, folder, log]:
                pid = os.fork()
                if not pid:
                    _become(arguments, folder, log)
                    return
                answer: int | None = pid
            case ["wait", pid, within_s]:
                answer = _wait(pid, within_s)
        _say(answer)
    del scene


def _say(answer: int | None) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _load(config: str) -> object:
    """Import what commands import when they are used, and paint the scene, which lives as long as what is returned."""
    import cv2

    import focusrail.api.app
    import focusrail.cli.in_process
    import focusrail.cli.serving
    import focusrail.cli.stacks
    import focusrail.serve
    import focusrail.service  # noqa: F401
    from focusrail.config.loader import load_config
    from focusrail_drivers.cameras.simulated import SimulatedCamera
    from focusrail_drivers.clock import SystemClock
    from focusrail_drivers.rails.simulated import SimulatedRail

    cv2.setNumThreads(1)  # its threads would be missing in what is forked
    given, clock = load_config(Path(config)), SystemClock()
    camera = SimulatedCamera(given.camera.options, clock, SimulatedRail(given.rail.options, clock))
    camera.truth()
    return camera


def _become(arguments: list[str], folder: str, log: str) -> None:
    from focusrail.cli import main

    os.setsid()
    os.chdir(folder)
    for path, flags, descriptors in (
        (os.devnull, os.O_RDONLY, (0,)), (log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, (1, 2)),
    ):  # fmt: skip
        opened = os.open(path, flags, 0o644)
        for descriptor in descriptors:
            os.dup2(opened, descriptor)
        os.close(opened)
    sys.argv = ["focusrail", *arguments]
    main()


def _wait(pid: int, within_s: float) -> int | None:
    late_s = time.monotonic() + within_s
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= late_s:
            return None
        time.sleep(0.002)


if __name__ == "__main__":
    _main(sys.argv[1])
