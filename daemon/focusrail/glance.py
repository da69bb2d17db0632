"""What a person at the rig sees at a glance: how far things have come, how they are, and what frames take."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median

from focusrail.capture.events import FrameStored, Merging, Paused, Started
from focusrail.store.journal import Journal
from focusrail.store.room import free_bytes
from focusrail.worker.messages import Fused, LeftOut


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the shoot or stack that is going on has come."""

    shoot_id: str
    name: str
    state: str  # preflight, shooting, paused, merging; ending: it is aborted, and a device has not let go yet
    frames: int  # planned
    stored: int = 0
    fused: int = 0
    left_out: int = 0
    elapsed_s: float = 0.0
    remaining_s: float | None = None  # of the frames still to be made, at the pace so far

    @property
    def waiting(self) -> int:
        """Frames that are stored, and not looked at yet."""
        return max(0, self.stored - self.fused - self.left_out)

    def at(self, now_s: float, *, began_s: float, first_s: float) -> Progress:
        """The same at a time, where it began at another, and its first frame came at a third."""
        remaining_s = None
        if self.stored > 1 and self.state not in ("paused", "ending"):
            remaining_s = (now_s - first_s) / (self.stored - 1) * max(0, self.frames - self.stored)
        return replace(self, elapsed_s=now_s - began_s, remaining_s=remaining_s)


class GoingOn:
    """How far what goes on has come, as its events tell. Safe from any thread."""

    def __init__(self) -> None:
        """Nothing goes on."""
        self._lock = threading.Lock()
        self._began_s = self._first_s = 0.0
        self.progress: Progress | None = None  # as the newest event has left it

    def hear(self, event: object, now_s: float) -> None:
        """An event has come."""
        with self._lock:
            self.progress = self._after(event, now_s)

    def over(self) -> None:
        """Nothing goes on any more."""
        with self._lock:
            self.progress = None

    def at(self, now_s: float, *, ending: bool) -> Progress | None:
        """How far it has come at a time; `ending`: it has been told to end."""
        with self._lock:
            progress = self.progress
            if progress is None:
                return None
            progress = replace(progress, state="ending") if ending else progress
            return progress.at(now_s, began_s=self._began_s, first_s=self._first_s)

    def _after(self, event: object, now_s: float) -> Progress | None:
        before = self.progress
        if isinstance(event, Started):
            self._began_s, self._first_s = now_s, 0.0
            return Progress(event.shoot_id, event.name, "preflight", event.frames)
        if before is None:
            return None
        match event:
            case FrameStored():
                self._first_s = self._first_s or now_s
                return replace(
                    before, state="shooting" if before.state == "preflight" else before.state, stored=before.stored + 1
                )
            case Paused(paused=paused):
                return replace(before, state="paused" if paused else "shooting")
            case Fused():
                return replace(before, fused=before.fused + 1)
            case LeftOut():
                return replace(before, left_out=before.left_out + 1)
            case Merging():
                return replace(before, state="merging")
            case _:
                return before


@dataclass(frozen=True, slots=True)
class Ended:
    """What was going on has ended without a result."""

    shoot_id: str
    error: str  # class name, see focusrail.errors
    message: str


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that a person at the rig wants to see at a glance."""

    doing: str  # what is going on, empty: nothing
    progress: Progress | None
    rig: str  # what the devices call themselves; empty while they are not open
    trouble: str  # why they are not
    store_trouble: str  # what is wrong with the journal; empty: nothing that has been seen
    position_mm: float | None
    moving: bool
    travel_mm: tuple[float, float] | None
    last_event: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What frames take, from the newest shoot; None before there is one."""

    s_per_frame: float | None
    bytes_per_frame: float | None
    free_bytes: int

    def seconds(self, frames: int) -> float | None:
        """For so many frames."""
        return None if self.s_per_frame is None else self.s_per_frame * frames

    def bytes(self, frames: int) -> int | None:
        """Of originals, for so many frames."""
        return None if self.bytes_per_frame is None else round(self.bytes_per_frame * frames)


def estimate(journal: Journal, spool: Path) -> Estimate:
    """What frames will take, as the newest shoot of more than one has told."""
    free, frames = free_bytes(spool), journal.newest_frames()
    if not frames:
        return Estimate(None, None, free)
    # The median, since hours may lie before the frames of an extension.
    took_s = median((b.exposed_at - a.exposed_at).total_seconds() for a, b in pairwise(frames))
    size = sum(original.size_bytes for frame in frames for original in frame.originals) / len(frames)
    return Estimate(took_s if took_s > 0 else None, size, free)
