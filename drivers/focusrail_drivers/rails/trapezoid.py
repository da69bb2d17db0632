"""The motion of a stepper axis: constant acceleration, cruise, constant deceleration."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trapezoid:
    """A move from standstill to standstill. Positions in mm, times in s on the clock that gave `started_s`."""

    from_mm: float
    target_mm: float
    speed_mm_s: float
    acceleration_mm_s2: float
    started_s: float

    @property
    def distance_mm(self) -> float:
        """How far, without sign."""
        return abs(self.target_mm - self.from_mm)

    @property
    def peak_speed_mm_s(self) -> float:
        """The highest speed reached: a short move never gets to cruise."""
        return min(self.speed_mm_s, math.sqrt(self.distance_mm * self.acceleration_mm_s2))

    @property
    def duration_s(self) -> float:
        """From start to standstill."""
        peak = self.peak_speed_mm_s
        return 0.0 if peak == 0 else self.distance_mm / peak + peak / self.acceleration_mm_s2

    def speed_at(self, time_s: float) -> float:
        """The speed, without sign, in mm/s."""
        elapsed_s = min(max(time_s - self.started_s, 0.0), self.duration_s)
        ramp = self.acceleration_mm_s2 * min(elapsed_s, self.duration_s - elapsed_s)
        return min(ramp, self.peak_speed_mm_s)

    def position_mm(self, time_s: float) -> float:
        """Where the axis is at `time_s`; before the start and after the end it stands."""
        elapsed_s = time_s - self.started_s
        if elapsed_s >= self.duration_s:
            return self.target_mm
        if elapsed_s <= 0:
            return self.from_mm
        remaining_s = self.duration_s - elapsed_s
        ramp_s = self.peak_speed_mm_s / self.acceleration_mm_s2
        if elapsed_s < ramp_s:
            done_mm = 0.5 * self.acceleration_mm_s2 * elapsed_s**2
        elif remaining_s < ramp_s:
            done_mm = self.distance_mm - 0.5 * self.acceleration_mm_s2 * remaining_s**2
        else:
            done_mm = self.peak_speed_mm_s * (elapsed_s - 0.5 * ramp_s)
        return self.from_mm + math.copysign(done_mm, self.target_mm - self.from_mm)

    def braking_from(self, time_s: float) -> Braking:
        """What follows when the brakes go on at `time_s`."""
        speed = math.copysign(self.speed_at(time_s), self.target_mm - self.from_mm)
        return Braking(self.position_mm(time_s), speed, self.acceleration_mm_s2, time_s)


@dataclass(frozen=True, slots=True)
class Braking:
    """A move being ended: from a signed speed to standstill."""

    from_mm: float
    velocity_mm_s: float
    acceleration_mm_s2: float
    started_s: float

    @property
    def duration_s(self) -> float:
        """Until standstill."""
        return abs(self.velocity_mm_s) / self.acceleration_mm_s2

    @property
    def peak_speed_mm_s(self) -> float:
        """The speed when the brakes went on, without sign."""
        return abs(self.velocity_mm_s)

    def position_mm(self, time_s: float) -> float:
        """Where the axis is at `time_s`."""
        elapsed_s = min(max(time_s - self.started_s, 0.0), self.duration_s)
        slowing = math.copysign(self.acceleration_mm_s2, self.velocity_mm_s)
        return self.from_mm + self.velocity_mm_s * elapsed_s - 0.5 * slowing * elapsed_s**2
