"""Runs a program as a whole and says what it cost: wall time, processor time and memory of all its processes."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_S = 0.02
NEW_CHILDREN_S = 0.2  # looking for them costs more than asking how large the known ones are


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took."""

    wall_s: float
    cpu_s: float  # user and system, of the whole tree of processes
    peak_bytes: int  # the largest sum of resident memory over the tree
    exit_code: int  # negative: killed by that signal


def measured(
    command: Sequence[str], *, log: Path, cwd: Path, environment: Mapping[str, str] | None = None, limit_s: float
) -> Cost:
    """Run `command` to its end, its output appended to `log`. After `limit_s` it is killed, with all its children."""
    with log.open("ab") as output:
        output.write((" ".join(command) + "\n").encode())
        output.flush()
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        watch = _Watch(process.pid)
        watch.start()
        killer = threading.Timer(limit_s, _kill_all, [process.pid])
        killer.start()
        # What wait4 says includes all descendants that were waited for themselves.
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        killer.cancel()
        watch.end()
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, watch.peak_bytes, process.returncode)


class _Watch(threading.Thread):
    """Samples the resident memory of a process and its descendants."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self._pid = pid
        self._over = threading.Event()

    def run(self) -> None:
        tree: list[psutil.Process] = []
        looked_s = -1.0
        while not self._over.wait(SAMPLE_S):
            if time.monotonic() - looked_s > NEW_CHILDREN_S or not tree:
                tree = _tree(self._pid)
                looked_s = time.monotonic()
            self.peak_bytes = max(self.peak_bytes, sum(map(_resident_bytes, tree)))

    def end(self) -> None:
        self._over.set()
        self.join()


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _kill_all(pid: int) -> None:
    for process in reversed(_tree(pid)):
        try:
            process.kill()
        except psutil.Error:
            continue
