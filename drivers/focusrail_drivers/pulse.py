"""Signs of life. A thread that somebody watches beats while it works and while it waits; one that hangs does not.

Waiting by a `Clock` beats, and so does whatever else in the drivers waits with a deadline. A thread that nobody watches
may call all this, too, and nothing happens.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext, suppress
from typing import TypeVar

BEAT_S = 0.5  # the longest that a watched thread waits without a beat
_T = TypeVar("_T")
_here = threading.local()


class Pulse:
    """One thread's. Heard from any other."""

    def __init__(self) -> None:
        self._beat_s = time.monotonic()
        self._until_s = -math.inf

    def beat(self, at_s: float | None = None) -> None:
        """I live; or did then."""
        self._beat_s = time.monotonic() if at_s is None else at_s

    @contextmanager
    def silent_for(self, limit_s: float) -> Iterator[None]:
        """I may not be heard of for so long, and live all the same."""
        before_s, self._until_s = self._until_s, time.monotonic() + limit_s
        try:
            yield
        finally:
            self._until_s = before_s
            self.beat()

    def last_s(self) -> float:
        """When it was last heard of, or may be taken to live, on the monotonic clock."""
        return max(self._beat_s, min(self._until_s, time.monotonic()))


class OwnerThread(ThreadPoolExecutor):
    """One thread, that makes all calls to a device, and that can be asked whether it lives."""

    def __init__(self, name: str) -> None:
        self.name, self.pulse = name, Pulse()
        self._asked: Future[None] | None = None
        super().__init__(1, name, initializer=setattr, initargs=(_here, "pulse", self.pulse))

    def ask(self) -> None:
        """Let it beat, as soon as it has nothing else to do; what it does meanwhile beats by itself."""
        if self._asked is None or self._asked.done():
            with suppress(RuntimeError):  # it has ended
                self._asked = self.submit(self.pulse.beat)


def beat() -> None:
    """The thread that calls this lives."""
    if (mine := _mine()) is not None:
        mine.beat()


@contextmanager
def silent_for(limit_s: float) -> Iterator[None]:
    """The thread that calls this waits for something that has a deadline of its own."""
    mine = _mine()
    with nullcontext() if mine is None else mine.silent_for(limit_s):
        yield


def when_done(future: Future[_T], *, by: Pulse | None = None) -> Future[_T]:
    """A future that is done: this thread waits for it, however long that takes, and lives.

    Or it lives only as long as the one does that works `by` that pulse: if nobody else watches that.
    """
    mine = _mine()
    while not wait([future], BEAT_S).done:
        if mine is not None:
            mine.beat(None if by is None else by.last_s())
    return future


def wait_for(event: threading.Event) -> None:
    """Wait for an event, however long that takes."""
    while not event.wait(BEAT_S):
        beat()


def _mine() -> Pulse | None:
    return getattr(_here, "pulse", None)
