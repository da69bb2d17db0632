"""What happens, numbered, so that whoever watches can go on where a broken connection left off."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

from focusrail.capture.events import FrameStored, Merging, Paused, Published, Skipped, Started
from focusrail.errors import FocusrailError, name_of, reported
from focusrail.worker.manifest import plain
from focusrail.worker.messages import Finished, Fused, LeftOut, LookedAgain, Memory, Room, Saved, Surveyed

KEPT = 2000  # a shoot of 300 frames makes about 700


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as it is told: `number` grows by one from event to event."""

    number: int
    name: str
    data: Mapping[str, Any]


class EventLog:
    """The newest events. Add from any thread; follow from any event loop. However slow a follower is, nothing grows."""

    def __init__(self, keep: int = KEPT, *, first: int = 1) -> None:
        """`first`: the number of the first event. With one that no log before has come to, nobody takes them for those
        of an earlier log.
        """
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._lock = threading.Lock()
        self._next = first
        self._closed = False
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def last(self) -> int:
        """The number of the newest event; one less than the first number before there is one."""
        return self._next - 1

    def add(self, event: object) -> None:
        """Take note of an event, a dataclass; its name is that of its class."""
        name = _name(type(event))
        with self._lock:
            self._entries.append(Entry(self._next, name, _told(event)))
            self._next += 1
        self._wake()

    def close(self) -> None:
        """Let all followers come to an end: what has happened is still told, and then no more."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            waiting = list(self._waiting)
        for loop, happened in waiting:
            with suppress(RuntimeError):  # that loop has ended
                loop.call_soon_threadsafe(happened.set)

    def since(self, number: int) -> list[Entry] | None:
        """The events after one, oldest first; None where some of them are forgotten, or there never was that one."""
        with self._lock:
            oldest = self._entries[0].number if self._entries else self._next
            if not oldest - 1 <= number < self._next:
                return None
            return [entry for entry in self._entries if entry.number > number]

    async def follow(self, after: int, *, quiet_s: float) -> AsyncGenerator[Entry | Literal["quiet"], None]:
        """Events after one, as they come, until the log is closed.

        One named `missed` where some were forgotten: look at everything anew. `quiet` whenever none has come for so
        long.
        """
        happened = asyncio.Event()
        me = (asyncio.get_running_loop(), happened)
        with self._lock:
            self._waiting.add(me)
        try:
            while True:
                happened.clear()
                entries = self.since(after)
                if entries is None:
                    after = self.last
                    yield Entry(after, "missed", {})
                    continue
                for entry in entries:
                    after = entry.number
                    yield entry
                if not entries:
                    if self._closed:
                        return
                    try:
                        await asyncio.wait_for(happened.wait(), quiet_s)
                    except asyncio.TimeoutError:
                        yield "quiet"
        finally:
            with self._lock:
                self._waiting.discard(me)


def _told(event: object) -> dict[str, Any]:
    """What an event says, in JSON's own types."""
    assert is_dataclass(event)
    told = {field.name: getattr(event, field.name) for field in fields(event)}
    if isinstance(event, Published):
        told["left_out"] = [str(error) for error in event.left_out]
        told["left_out_as"] = [name_of(error) for error in event.left_out]
    told.pop("kind", None)
    return {name: plain(value) for name, value in told.items()}


def _name(kind: type) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


_KNOWN: dict[str, type[Any]] = {
    _name(kind): kind
    for kind in (
        FrameStored, Fused, LeftOut, LookedAgain, Memory, Merging, Paused, Room, Saved, Skipped, Started, Surveyed,
    )
}  # fmt: skip


def understood(name: str, data: Mapping[str, Any]) -> object | None:
    """The event that was told so; None for one that tells nothing of progress, or is from another version."""
    try:
        if name == "published":
            return _published(data)
        return _filled(_KNOWN[name], data)
    except (KeyError, TypeError):
        return None


def _filled(kind: type[Any], data: Mapping[str, Any]) -> Any:
    """Fields that are not known, a newer version's, are left aside."""
    return kind(**{field.name: data[field.name] for field in fields(kind) if field.name in data})


def _published(data: Mapping[str, Any]) -> Published:
    finished = _filled(Finished, data["finished"])
    finished = replace(finished, size_px=tuple(finished.size_px), warnings=tuple(finished.warnings))
    left_out = [reported(*told) for told in zip(data["left_out_as"], data["left_out"], strict=True)]
    ours = tuple(error for error in left_out if isinstance(error, FocusrailError))
    return Published(data["shoot_id"], data["version"], Path(data["folder"]), finished, ours)
