"""What is painted once, and let go of when nobody looks at it any more."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

_T = TypeVar("_T")


class KeptWhileUsed(Generic[_T]):
    """Something that takes seconds to make and much memory: made when it is wanted. Safe from any thread."""

    def __init__(self, make: Callable[[], _T], *, for_s: float) -> None:
        """It is kept `for_s` after it was asked for last."""
        self._make, self._for_s = make, for_s
        self._lock = threading.Lock()
        self._kept: _T | None = None
        self._timer: threading.Timer | None = None
        self._asked_s = 0.0

    def get(self) -> _T:
        """It, made anew if need be."""
        with self._lock:
            self._asked_s = time.monotonic()
            if self._kept is None:
                self._kept = self._make()
                self._look_in(self._for_s)
            return self._kept

    def let_go(self) -> None:
        """Nobody wants it now."""
        with self._lock:
            self._kept = None
            if self._timer is not None:
                self._timer.cancel()

    def _look_in(self, wait_s: float) -> None:
        self._timer = threading.Timer(wait_s, self._look)
        self._timer.daemon = True
        self._timer.start()

    def _look(self) -> None:
        with self._lock:
            left_s = self._asked_s + self._for_s - time.monotonic()
            if left_s > 0:
                self._look_in(left_s)
                return
            self._kept = None
        with suppress(OSError, AttributeError):  # glibc keeps what was freed, until it is told not to
            ctypes.CDLL(None).malloc_trim(0)
