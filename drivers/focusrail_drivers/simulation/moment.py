"""What of a moment decides what the simulated camera sees."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """Where the carriage stood at one moment of an exposure."""

    position_mm: float
    lateral_mm: tuple[float, float] = (0.0, 0.0)
