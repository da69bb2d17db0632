"""So many lines a while and no more: what strangers bring about must not fill the journal."""

from __future__ import annotations

import logging
import threading
import time

LINES = 30
PERIOD_S = 10.0


class LogRate(logging.Filter):
    """Lets LINES through in PERIOD_S, and says with the next one how many it did not. Errors always pass."""

    def __init__(self, lines: int = LINES, period_s: float = PERIOD_S) -> None:
        super().__init__()
        self._lines, self._period_s = lines, period_s
        self._lock = threading.Lock()
        self._began_s, self._passed, self._dropped = -period_s, 0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            return True
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._began_s >= self._period_s:
                self._began_s, self._passed = now_s, 0
            if self._passed >= self._lines:
                self._dropped += 1
                return False
            self._passed += 1
            dropped, self._dropped = self._dropped, 0
        if dropped:
            record.msg = f"{record.msg} (before it, {dropped} lines were left out)"
        return True
