"""What the service tells systemd: that it is ready, that it lives, what it does, and that it needs time to end.

That it lives is told only when the event loop and every thread in which something is done with the rig have been heard
of since it was last told. The stacking process is watched by who feeds it, and a hung one is replaced.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from contextlib import suppress
from types import TracebackType

import structlog

from focusrail.desk import Desk
from focusrail.glance import Status
from focusrail_drivers.notify import has_systemd, notify, watchdog_s
from focusrail_drivers.pulse import OwnerThread, Pulse

log = structlog.get_logger(__name__)
_LOOK_S = 5.0
_EXTENDED_S = 30  # from one look to the next there is ample time


class _Loop:
    """An event loop, watched like a thread."""

    name = "event loop"

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self.pulse, self._asked = loop, Pulse(), False

    def ask(self) -> None:
        """Let it beat, in its turn."""
        if not self._asked:
            self._asked = True
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        self._asked = False
        self.pulse.beat()


class Watchdog:
    """A thread of its own, while the service runs; none where systemd did not start it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._limit_s = watchdog_s() or math.inf
        self._look_s = min(_LOOK_S, self._limit_s / 4)
        self._loop: _Loop | None = None
        self._ready = self._ending = False
        self._fed_s = -math.inf
        self._silent: set[str] = set()  # that has been told
        self._said = ""
        self._change, self._over = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        if has_systemd():
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over = True
        self._change.set()
        if self._thread.ident is not None:
            self._thread.join()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on this loop must live, until the service ends."""
        self._loop = _Loop(loop)

    def ready(self) -> None:
        """The devices have answered."""
        if not self._ready:
            self._ready = True
            self._change.set()
            notify("READY=1")

    def ending(self) -> None:
        """The service is told to end, and what is in hand is finished and stored."""
        self._ending = True
        notify("STOPPING=1")
        self._change.set()

    def _run(self) -> None:
        while not self._over:
            try:
                self._look()
            except Exception:  # it must not end for a fault of what it only tells of
                log.exception("watchdog.broke")
            self._change.wait(self._look_s)
            self._change.clear()

    def _look(self) -> None:
        rig = self._desk.service.holder.kept
        threads: list[OwnerThread | _Loop] = [self._desk.operator]
        if rig is not None:
            threads.append(rig.camera_thread)
        if self._loop is not None and not self._ending:
            threads.append(self._loop)
        now_s = time.monotonic()
        told = []
        if all(thread.pulse.last_s() > self._fed_s for thread in threads):
            self._fed_s = now_s
            told = ["WATCHDOG=1"]
            if self._ending or not self._ready:
                told.append(f"EXTEND_TIMEOUT_USEC={_EXTENDED_S * 1_000_000}")
        silent = {t.name: now_s - t.pulse.last_s() for t in threads if now_s - t.pulse.last_s() > self._limit_s / 2}
        for name in silent.keys() - self._silent:
            log.error("thread.silent", thread=name, silent_s=silent[name], limit_s=self._limit_s)
        self._silent = set(silent)
        for thread in threads:
            thread.ask()
        said = f"hangs: {', '.join(silent)}" if silent else self._sentence()
        if said != self._said:
            self._said = said
            told.append(f"STATUS={said}")
        if told:
            notify("\n".join(told))

    def _sentence(self) -> str:
        if self._ending:
            return "ending: an exposure that has begun is finished and stored"
        return " ".join(sentence(self._desk.status()).split())  # in one line, whatever a shoot is called


def sentence(status: Status) -> str:
    """What goes on, for `systemctl status`."""
    progress = status.progress
    if progress is not None:
        return f"{progress.state}: {progress.name}, {progress.stored} of {progress.frames} frames stored"
    if status.doing:
        return status.doing
    if status.store_trouble:
        return status.store_trouble
    if status.rig:
        return f"idle: {status.rig}"
    return f"waiting for the rig: {status.trouble or 'looking for its devices'}"
