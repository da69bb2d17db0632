"""Where rail zero lies in a GRBL controller's coordinates, how far one may go, and how long it takes. Pure arithmetic.

After `$H` the carriage stands at the home switch, pulled off by $27: that place is 0 mm of the rail. Its machine
coordinate differs: -$27 when the axis homes to its positive end, -travel + $27 when to its negative end (gnea GRBL
keeps all machine space negative), 0 if the firmware sets the origin there. The travel lies on the side that homing does
not go to: the axis' bit in $23 set (homes to negative) means growing machine coordinates away from home, unset falling
ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from focusrail_drivers.base import DriverError, Travel
from focusrail_drivers.rails.grbl_options import GrblOptions
from focusrail_drivers.rails.grbl_protocol import Settings

_REPORTED_MM = 0.0006  # positions are reported to 0.001 mm: this far from the truth at most
_MARGIN_S = 5.0  # on top of what a motion should take


@dataclass(frozen=True, slots=True)
class Geometry:
    """One axis: options and settings together. `origin_at_switch`: home is machine zero."""

    options: GrblOptions
    settings: Settings
    origin_at_switch: bool

    @property
    def sign(self) -> int:
        """+1 if machine coordinates grow away from home, else -1: rail = sign * (machine - machine at home)."""
        direction = self.options.direction
        if direction == "auto":
            return 1 if self.options.homing == "none" or self.settings.homes_to_negative else -1
        return 1 if direction == "positive" else -1

    def rail_mm(self, machine_mm: float, origin_mm: float) -> float:
        """A machine coordinate as a rail position, when homing left the axis at `origin_mm`."""
        return round(self.sign * (machine_mm - origin_mm), 6)  # without the noise of the subtraction

    def on_step(self, machine_mm: float) -> float:
        """The nearest place the motor can stand at."""
        return round(machine_mm * self.settings.steps_per_mm) / self.settings.steps_per_mm

    def same(self, one_mm: float, other_mm: float) -> bool:
        """Whether two machine coordinates are the same microstep, as far as reports can tell."""
        return abs(one_mm - other_mm) <= 0.5 * self.settings.resolution_mm + _REPORTED_MM

    @property
    def home_mm(self) -> float:
        """Where homing leaves the axis, in machine coordinates, by the settings (limits.c of gnea GRBL)."""
        if self.origin_at_switch:
            return 0.0
        pull_off_mm = self.settings.homing_pull_off_mm
        return self.on_step(-self.settings.travel_mm + pull_off_mm if self.settings.homes_to_negative else -pull_off_mm)

    @property
    def travel(self) -> Travel:
        """The configured travel, cut to what soft limits let us reach: beyond them the controller locks itself."""
        configured = self.options.travel
        if not (self.settings.soft_limits and self.options.homing == "switch"):
            return configured
        # One step inside: GRBL compares in single precision.
        step_mm = self.settings.resolution_mm
        low_mm = min(0.0, step_mm - (0.0 if self.origin_at_switch else self.settings.homing_pull_off_mm))
        high_mm = self.settings.travel_mm - self.settings.homing_pull_off_mm - step_mm
        try:
            return Travel(max(configured.min_mm, low_mm), min(configured.max_mm, high_mm))
        except ValueError as error:
            raise DriverError(
                f"the controller's soft limits end at {high_mm:g} mm, before the configured travel of {configured}; "
                "set its $130 to $132 to the rail's length"
            ) from error

    def remarks(self) -> list[str]:
        """What is amiss, for people."""
        remarks = []
        if not self.settings.motor_stays_on:
            remarks.append("$1 is not 255: the motor is released between moves and the carriage creeps")
        if self.options.homing == "switch" and not self.settings.homing_enabled:
            remarks.append("$22=0: homing is off")
        if self.travel != self.options.travel:
            remarks.append(f"soft limits narrow the travel to {self.travel}")
        return remarks

    @property
    def feed_mm_min(self) -> float:
        """The configured feed, or the axis' own limit ($110 to $112)."""
        return min(self.options.feed_mm_min, self.settings.max_feed_mm_min)

    @property
    def stopping_s(self) -> float:
        """How long a feed hold takes at full feed."""
        return self.feed_mm_min / 60 / self.settings.acceleration_mm_s2

    def move_limit_s(self, distance_mm: float) -> float:
        """When a move of this length must have ended: twice as long as planned, and a margin."""
        return 2 * (60 * abs(distance_mm) / self.feed_mm_min + 2 * self.stopping_s) + _MARGIN_S

    @property
    def homing_limit_s(self) -> float:
        """When homing must have ended: three axes may be homed in turn, each searching 1.5 times its travel."""
        own = self.settings
        search_s = 60 * 1.5 * own.all_travels_mm / own.homing_seek_mm_min
        locate_s = 60 * own.homing_pull_off_mm * (2 / own.homing_seek_mm_min + 5 / own.homing_feed_mm_min)
        slowing_s = 4 * own.homing_seek_mm_min / 60 / own.acceleration_mm_s2
        return search_s + 3 * (locate_s + slowing_s + 4 * own.homing_debounce_s) + 2 * _MARGIN_S
