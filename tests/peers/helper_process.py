"""A helper process that misbehaves on request, for the tests of `Isolated`. Run as a script."""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import sys
import time
from pathlib import Path
from typing import Any

from focusrail_drivers import base
from focusrail_drivers.transport.isolated_child import serve


class CameraOnFire(base.CaptureFailed):
    """An error that the table of errors does not know, of a kind that it does."""


def echo(**values: Any) -> dict[str, Any]:
    return values


def blob(size_bytes: int) -> bytes:
    return bytes(range(256)) * (size_bytes // 256)


def fail(kind: str, message: str) -> None:
    raise getattr(base, kind)(message)


def burn() -> None:
    raise CameraOnFire("smoke")


def stumble() -> None:
    raise ZeroDivisionError("a bug")


def hang() -> None:
    # As a library does it: in C, deaf to signals that Python would handle, and without letting go of the interpreter.
    ctypes.PyDLL(None).sleep(600)


def hang_politely(flag: str | None = None) -> None:
    if flag is not None:
        Path(flag).touch()
    time.sleep(600)


def die() -> None:
    os.write(2, b"the USB stack is gone\n")
    os.kill(os.getpid(), signal.SIGSEGV)


def leave() -> None:
    sys.exit(3)


def print_to_stdout(text: str) -> str:
    ctypes.CDLL(None).puts(text.encode())
    ctypes.CDLL(None).fflush(None)
    return text


def chatter(size_bytes: int) -> int:
    """Say more on stderr than a pipe holds."""
    os.write(2, b"." * size_bytes)
    return size_bytes


def write_garbage() -> None:
    for fd in range(3, 20):  # wherever the answers go
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.write(fd, b"PTP: unexpected packet\n")
        except OSError:
            continue
    time.sleep(600)


class Idle:
    """Counts how often there was nothing to do."""

    count = 0

    @classmethod
    def tick(cls) -> None:
        cls.count += 1

    @classmethod
    def idled(cls) -> int:
        return cls.count


if __name__ == "__main__":
    serve(
        {
            "echo": echo,
            "blob": blob,
            "fail": fail,
            "burn": burn,
            "stumble": stumble,
            "hang": hang,
            "hang_politely": hang_politely,
            "die": die,
            "leave": leave,
            "print_to_stdout": print_to_stdout,
            "chatter": chatter,
            "write_garbage": write_garbage,
            "idled": Idle.idled,
        },
        idle=Idle.tick,
        idle_s=0.02,
        orphan_grace_s=0.3,
    )
