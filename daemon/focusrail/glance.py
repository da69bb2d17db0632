"""What a person at the rig sees at a glance: how far things have come, how they are, and what frames take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median

from focusrail.store.journal import Journal
from focusrail.store.room import free_bytes


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

    def at(self, now_s: float, *, began_s: float, first_s: float) -> Progress:
        """The same at a time, where it began at another, and its first frame came at a third."""
        remaining_s = None
        if self.stored > 1 and self.state not in ("paused", "ending"):
            remaining_s = (now_s - first_s) / (self.stored - 1) * max(0, self.frames - self.stored)
        return replace(self, elapsed_s=now_s - began_s, remaining_s=remaining_s)


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
