"""A rail that exists only in arithmetic, and yet takes its time, has play in its screw and shakes when it stops."""

from __future__ import annotations

import math
import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from focusrail_drivers.base import (
    ConnectionLost,
    DeviceTimeout,
    Halted,
    OutOfTravel,
    PositionUnknown,
    RailStatus,
    Travel,
)
from focusrail_drivers.rails.trapezoid import Braking, Trapezoid

if TYPE_CHECKING:
    from focusrail_drivers.clock import Clock

# Dry friction ends a vibration for good: after so many decay times the carriage stands exactly still.
STILL_AFTER_DECAYS = 5.0


class SimulatedRail:
    """A stepper rail with play, vibration and faults; implements `Rail` and `TrueCarriage`.

    Homing ends with a move away from the switch. So a carriage that approaches from below stands where the rail says;
    one that approaches from above stands `backlash_mm` further out than the rail says.
    """

    @dataclass(frozen=True, slots=True)
    class Options:
        """The mechanics. Faults are off unless named; moves are counted from 0 since the rail was made."""

        __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

        min_mm: float = 0.0
        max_mm: float = 60.0
        start_mm: float = 8.0  # where the carriage stands at power-on; the rail does not know, unless `homed`
        homed: bool = False  # True: the controller kept its position, no homing needed
        steps_per_mm: float = 1600.0  # microsteps: a 2 mm screw, 200 steps, 1/16
        max_speed_mm_s: float = 5.0
        acceleration_mm_s2: float = 40.0
        backlash_mm: float = 0.06
        home_repeatability_mm: float = 0.0  # standard deviation of the switch; 0: always the same place
        axial_vibration_um: float = 2.0  # amplitude right after a stop, along the axis
        lateral_vibration_um: float = 8.0  # and across it
        vibration_hz: float = 28.0
        vibration_decay_s: float = 0.06
        seed: int = 0  # of the home switch's scatter
        fail_home: bool = False  # the home switch is never found
        lose_steps_at_move: int | None = None  # this move stalls and loses `lost_steps`, unnoticed by the controller
        lost_steps: int = 160
        reset_at_move: int | None = None  # the controller restarts half-way through this move
        stuck_at_move: int | None = None  # this move never returns, as a driver that hangs

        def __post_init__(self) -> None:
            if not self.min_mm < self.max_mm:
                raise ValueError(f"max_mm: {self.max_mm} is not beyond min_mm {self.min_mm}")
            if not self.min_mm <= self.start_mm <= self.max_mm:
                raise ValueError(f"start_mm: {self.start_mm} lies outside {self.min_mm} to {self.max_mm} mm")
            for name in ("steps_per_mm", "max_speed_mm_s", "acceleration_mm_s2", "vibration_hz", "vibration_decay_s"):
                if not 0 < getattr(self, name) < math.inf:
                    raise ValueError(f"{name}: {getattr(self, name)} is not positive")
            for name in (
                "backlash_mm", "home_repeatability_mm", "axial_vibration_um", "lateral_vibration_um", "lost_steps",
            ):  # fmt: skip
                if not 0 <= getattr(self, name) < math.inf:
                    raise ValueError(f"{name}: {getattr(self, name)} is negative")
            if self.backlash_mm >= self.max_mm - self.min_mm:
                raise ValueError(f"backlash_mm: {self.backlash_mm} is more than the travel")

    def __init__(self, options: Options, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._travel = Travel(options.min_mm, options.max_mm)
        self._lock = threading.Lock()  # guards everything below; never held while waiting
        self._halt = threading.Event()
        self._open = False
        self._known = options.homed
        self._steps = self._nearest_step(options.start_mm)  # what the controller counts, from the origin
        # What the controller's count and the motor differ by: lost steps, and the scatter of the home switch.
        self._slip_mm = 0.0
        self._carriage_mm = self._steps / options.steps_per_mm
        self._motion: Trapezoid | Braking | None = None
        self._stopped_s = -math.inf
        self._shake = 0.0
        self._moves = 0
        self._homings = 0

    # --- the contract -------------------------------------------------------------------------------------------------

    @property
    def travel(self) -> Travel:
        """How far the mechanics reach."""
        return self._travel

    @property
    def resolution_mm(self) -> float:
        """One microstep."""
        return 1.0 / self._options.steps_per_mm

    def open(self) -> str:
        """Connect; nothing moves. The position is unknown until homed, unless the options say otherwise."""
        self._open = True
        return f"simulated rail, {self._travel}, {self._options.steps_per_mm:g} steps/mm"

    def close(self) -> None:
        """Let go of the rail; the controller keeps its power and its count."""
        self._open = False

    def believe(self, position_mm: float) -> bool:
        """A simulated controller has kept its power since the last program ended, with the play taken up from below."""
        self._require_open()
        with self._lock:
            if self._known or self._moves or self._homings or position_mm not in self._travel:
                return False
            self._steps = self._nearest_step(position_mm)
            self._carriage_mm = self._steps / self._options.steps_per_mm
            self._known = True
            return True

    def home(self) -> float:
        """Run to the switch, back off, and call that `min_mm`. Raises Halted, DeviceTimeout if there is no switch."""
        self._require_open()
        self._halt.clear()
        options = self._options
        with self._lock:
            self._known = False
            to_switch_mm = self._motor_mm() - options.min_mm + options.backlash_mm
        if options.fail_home:
            to_switch_mm = options.max_mm - options.min_mm  # the whole travel, stalling at its end
        self._run_blind(-to_switch_mm, speed_mm_s=options.max_speed_mm_s)
        if options.fail_home:
            raise DeviceTimeout(f"no home switch within {to_switch_mm:g} mm; check the switch and its cable")
        # Off the switch again, so that the screw's play is taken up away from the switch.
        self._run_blind(options.backlash_mm, speed_mm_s=options.max_speed_mm_s / 5)
        with self._lock:
            # The scatter goes one way only: the carriage cannot stand behind the end of its travel.
            scatter = random.Random(f"{options.seed} {self._homings}").gauss(0, 1)
            self._homings += 1
            self._steps = self._nearest_step(options.min_mm)
            at_mm = self._steps / options.steps_per_mm
            self._carriage_mm = min(
                max(at_mm + abs(float(scatter)) * options.home_repeatability_mm, options.min_mm), options.max_mm
            )
            self._slip_mm = at_mm - self._carriage_mm
            self._known = True
            return at_mm

    def move_to(self, position_mm: float) -> float:
        """Go to the step nearest `position_mm`; return where the controller believes it stands.

        Raises PositionUnknown, OutOfTravel (nothing moved), Halted, and ConnectionLost if the rail is not open.
        """
        self._require_open()
        self._halt.clear()
        options = self._options
        with self._lock:
            if not self._known:
                raise PositionUnknown(
                    f"the rail does not know where it is; home it before moving to {position_mm:g} mm"
                )
            if position_mm not in self._travel:
                raise OutOfTravel(f"{position_mm:g} mm lies outside the travel {self._travel}; nothing moved")
            target = self._nearest_step(position_mm)
            number = self._moves
            self._moves += 1
            motion = self._start(target / options.steps_per_mm, speed_mm_s=options.max_speed_mm_s)
        if number == options.stuck_at_move:
            threading.Event().wait()
        resets = number == options.reset_at_move
        halted = self._clock.wait(motion.duration_s / 2 if resets else motion.duration_s, until=self._halt)
        if halted:
            reached_mm = self._brake(motion)
            raise Halted(f"halted at {reached_mm:.4f} mm on the way to {position_mm:g} mm", reached_mm)
        with self._lock:
            if resets:
                self._finish(motion.position_mm(self._clock.monotonic_s()))
                self._known = False
                raise PositionUnknown(f"the controller was reset on the way to {position_mm:g} mm; home before moving")
            if number == options.lose_steps_at_move:
                self._slip_mm += math.copysign(
                    min(options.lost_steps, abs(target - self._steps)) / options.steps_per_mm, target - self._steps
                )
            self._finish(target / options.steps_per_mm)
            return self._steps / options.steps_per_mm

    def halt(self) -> None:
        """Stop now, with the usual deceleration. Safe from any thread, any number of times."""
        self._halt.set()

    def status(self) -> RailStatus:
        """Where the controller believes the carriage to be."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            position_mm = self._motion.position_mm(now_s) if self._motion else self._steps / self._options.steps_per_mm
            detail = "simulated" if self._open else "simulated, not open"
            return RailStatus(position_mm if self._known else None, moving=self._motion is not None, detail=detail)

    # --- the truth ----------------------------------------------------------------------------------------------------

    def true_position_mm(self) -> float:
        """Where the carriage really stands now, play and axial vibration included."""
        with self._lock:
            carriage_mm = self._carried_to(self._motor_mm())
            shaken_mm = carriage_mm + self._options.axial_vibration_um / 1000 * self._vibration(0.0)
            return min(max(shaken_mm, self._travel.min_mm), self._travel.max_mm)

    def lateral_mm(self) -> tuple[float, float]:
        """(x, y): how far vibration holds the carriage off its line now."""
        with self._lock:
            amplitude_mm = self._options.lateral_vibration_um / 1000
            # Two modes of the column, slightly out of phase: the camera draws a narrow ellipse.
            return 0.5 * amplitude_mm * self._vibration(math.pi / 3), amplitude_mm * self._vibration(math.pi / 2)

    # --- inside; with the lock held -----------------------------------------------------------------------------------

    def _nearest_step(self, position_mm: float) -> int:
        # Always from the origin: adding up rounded increments would drift over a long stack.
        return round(position_mm * self._options.steps_per_mm)

    def _motor_mm(self) -> float:
        told_mm = (
            self._motion.position_mm(self._clock.monotonic_s())
            if self._motion
            else self._steps / self._options.steps_per_mm
        )
        return told_mm - self._slip_mm

    def _carried_to(self, motor_mm: float) -> float:
        # The nut has play: pushed outward it sits at the motor's position, pulled home it trails by the backlash.
        carriage_mm = min(max(self._carriage_mm, motor_mm), motor_mm + self._options.backlash_mm)
        return min(max(carriage_mm, self._travel.min_mm), self._travel.max_mm)

    def _start(self, target_mm: float, *, speed_mm_s: float) -> Trapezoid:
        from_mm = self._steps / self._options.steps_per_mm
        motion = Trapezoid(
            from_mm, target_mm, speed_mm_s=speed_mm_s, acceleration_mm_s2=self._options.acceleration_mm_s2,
            started_s=self._clock.monotonic_s(),
        )  # fmt: skip
        self._motion = motion
        return motion

    def _finish(self, position_mm: float) -> None:
        motion = self._motion
        self._motion = None
        self._steps = self._nearest_step(position_mm)
        motor_mm = self._steps / self._options.steps_per_mm - self._slip_mm
        if motor_mm > self._travel.max_mm or motor_mm + self._options.backlash_mm < self._travel.min_mm:
            # The carriage stands against the end of the rail: the motor stalls there and the count runs away from it.
            end_mm = min(max(motor_mm, self._travel.min_mm - self._options.backlash_mm), self._travel.max_mm)
            self._slip_mm += motor_mm - end_mm
            motor_mm = end_mm
        self._carriage_mm = self._carried_to(motor_mm)
        if motion is not None and motion.duration_s > 0:
            self._stopped_s = self._clock.monotonic_s()
            # A deceleration shorter than the swing is a mere tap: it excites less than a long one.
            ramp_s = motion.peak_speed_mm_s / self._options.acceleration_mm_s2
            self._shake = min(1.0, 2 * math.pi * self._options.vibration_hz * ramp_s)

    def _vibration(self, phase: float) -> float:
        # Damped swing after the last stop, 1 at its largest; nothing while moving: then motion blur rules anyway.
        since_s = self._clock.monotonic_s() - self._stopped_s
        decays = since_s / self._options.vibration_decay_s
        if self._motion is not None or not decays < STILL_AFTER_DECAYS:
            return 0.0
        floor = math.exp(-STILL_AFTER_DECAYS)
        envelope = (math.exp(-decays) - floor) / (1.0 - floor)
        return self._shake * envelope * math.sin(2 * math.pi * self._options.vibration_hz * since_s + phase)

    # --- inside; without the lock -------------------------------------------------------------------------------------

    def _require_open(self) -> None:
        if not self._open:
            raise ConnectionLost("the simulated rail is not open")

    def _brake(self, motion: Trapezoid) -> float:
        with self._lock:
            braking = motion.braking_from(self._clock.monotonic_s())
            self._motion = braking
        self._clock.wait(braking.duration_s)
        with self._lock:
            self._finish(braking.position_mm(self._clock.monotonic_s()))
            return self._steps / self._options.steps_per_mm

    def _run_blind(self, distance_mm: float, *, speed_mm_s: float) -> None:
        # Homing moves by distance, not to a position: the controller does not know where it is.
        with self._lock:
            motion = self._start(self._steps / self._options.steps_per_mm + distance_mm, speed_mm_s=speed_mm_s)
        if self._clock.wait(motion.duration_s, until=self._halt):
            self._brake(motion)
            raise Halted("halted while homing; the position is unknown")
        with self._lock:
            self._finish(motion.target_mm)
