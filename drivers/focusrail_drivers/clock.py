"""Time as something a driver is given, so that a simulated rig can run faster than the world.

`SystemClock` is the world's time. `VirtualClock` jumps instead of waiting: settling for a second costs nothing.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Protocol

from focusrail_drivers.pulse import BEAT_S, beat


class Clock(Protocol):
    """Where a driver or the engine gets its time and does its waiting. Safe from any thread."""

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary start; never goes backwards."""

    def utc(self) -> datetime:
        """Now, timezone-aware, in UTC."""

    def wait(self, duration_s: float, until: threading.Event | None = None) -> bool:
        """Wait `duration_s` or until the event is set; return whether it was set. Not positive: returns at once."""


class SystemClock:
    """The world's time. A thread that waits by it is one that lives, however long it waits."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def utc(self) -> datetime:
        return datetime.now(timezone.utc)

    def wait(self, duration_s: float, until: threading.Event | None = None) -> bool:
        end_s = time.monotonic() + duration_s
        while True:
            beat()
            left_s = min(end_s - time.monotonic(), BEAT_S)
            if until is not None and until.wait(max(0.0, left_s)):
                return True
            if left_s <= 0:
                return False
            if until is None:
                time.sleep(left_s)


class VirtualClock:
    """Time that passes only by waiting, and then at once."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)) -> None:
        self._start = start
        self._elapsed_s = 0.0
        self._lock = threading.Lock()

    def monotonic_s(self) -> float:
        with self._lock:
            return self._elapsed_s

    def utc(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic_s())

    def wait(self, duration_s: float, until: threading.Event | None = None) -> bool:
        if until is not None and until.is_set():
            return True
        with self._lock:
            self._elapsed_s += max(0.0, duration_s)
        return until is not None and until.is_set()
