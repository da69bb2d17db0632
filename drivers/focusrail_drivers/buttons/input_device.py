"""Linux's input devices, as linux/input.h describes them: five ioctls, and events of 24 bytes.

Read without a library: that one would have to be compiled on every board, for no more than this.
"""

from __future__ import annotations

import array
import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from time import CLOCK_MONOTONIC

EV_SYN, EV_KEY = 0, 1  # linux/input-event-codes.h
SYN_REPORT, SYN_DROPPED = 0, 3
_EVENT = struct.Struct("@llHHi")  # struct input_event: seconds, microseconds, type, code, value
_AT_ONCE = 64
_KEYS_BYTES = (0x2FF + 7) // 8  # KEY_MAX
_NAME_BYTES = 256
_WRITE, _READ = 1, 2


def _request(direction: int, number: int, size: int) -> int:
    """An ioctl's number, as asm-generic/ioctl.h composes it (x86, ARM, RISC-V)."""
    return direction << 30 | size << 16 | ord("E") << 8 | number


_EVIOCGNAME = _request(_READ, 0x06, _NAME_BYTES)
_EVIOCGKEY = _request(_READ, 0x18, _KEYS_BYTES)
_EVIOCGBIT_KEYS = _request(_READ, 0x20 + EV_KEY, _KEYS_BYTES)
_EVIOCGRAB = _request(_WRITE, 0x90, 4)
_EVIOCSCLOCKID = _request(_WRITE, 0xA0, 4)


@dataclass(frozen=True, slots=True)
class InputEvent:
    """One event."""

    at_s: float
    type: int
    code: int
    value: int


def events(data: bytes) -> list[InputEvent]:
    """What was read from a device."""
    return [InputEvent(sec + usec / 1e6, *rest) for sec, usec, *rest in _EVENT.iter_unpack(data)]


class InputDevice:
    """An open device. All calls raise OSError; ENOTTY where it is no input device, ENODEV when it is gone."""

    def __init__(self, path: Path, *, grab: bool = False) -> None:
        """Open it; its events are timed by the monotonic clock. `grab`: nobody else gets them."""
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self.name = self._ask(_EVIOCGNAME, _NAME_BYTES).split(b"\0")[0].decode("utf-8", "replace")
            self.keys = frozenset(_set_bits(self._ask(_EVIOCGBIT_KEYS, _KEYS_BYTES)))
            fcntl.ioctl(self.fd, _EVIOCSCLOCKID, struct.pack("i", CLOCK_MONOTONIC))
            if grab:
                fcntl.ioctl(self.fd, _EVIOCGRAB, 1)
        except OSError:
            os.close(self.fd)
            raise

    def read(self) -> list[InputEvent]:
        """What has happened; BlockingIOError: nothing."""
        return events(os.read(self.fd, _AT_ONCE * _EVENT.size))

    def keys_down(self) -> frozenset[int]:
        """All keys that are down now."""
        return frozenset(_set_bits(self._ask(_EVIOCGKEY, _KEYS_BYTES)))

    def close(self) -> None:
        """Let go of it, once."""
        os.close(self.fd)

    def _ask(self, request: int, size: int) -> bytes:
        answer = array.array("B", bytes(size))
        fcntl.ioctl(self.fd, request, answer)
        return answer.tobytes()


def _set_bits(data: bytes) -> list[int]:
    return [8 * place + bit for place, byte in enumerate(data) if byte for bit in range(8) if byte >> bit & 1]
