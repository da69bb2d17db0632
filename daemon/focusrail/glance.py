"""What a person at the rig sees at a glance: how far things have come, how they are, and what frames take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the shoot or stack that is going on has come."""

    shoot_id: str
    name: str
    state: str  # preflight, shooting, paused, merging
    frames: int  # planned
    stored: int = 0
    fused: int = 0
    left_out: int = 0
    elapsed_s: float = 0.0
    remaining_s: float | None = None  # of the frames still to be made, at the pace so far


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
