"""The carriage: soft limits, backlash and settling, once for every rail.

Lost motion shows where the direction reverses. So every frame is approached from the same side: a move against the
approach overruns its target by the backlash and comes back. (Rik Littlefield's advice, photomacrography.net.)
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from focusrail_drivers.base import Halted, OutOfTravel, PositionUnknown, Rail, RailStatus, Travel
from focusrail_drivers.clock import Clock

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Approach:
    """How frames are approached."""

    backlash_mm: float  # lost motion to be taken up; more than the rail has costs only time
    forward: bool = True  # away from home
    settle_s: float = 0.0  # from standing to exposing


class Carriage:
    """Moves a rail within its limits. One owner thread, but `halt` and `status` from any."""

    def __init__(self, rail: Rail, clock: Clock, *, approach: Approach, soft_limits: Travel | None = None) -> None:
        """Soft limits narrow the rail's own travel and never widen it."""
        self._rail, self._clock, self._approach = rail, clock, approach
        self._soft_limits = soft_limits
        self._stop, self._standing = threading.Event(), threading.Event()
        self._standing.set()
        self._taken_up_at_mm: float | None = None  # where the last move in the approach's direction ended

    @property
    def travel(self) -> Travel:
        """Where the carriage may go. Raises OutOfTravel when the soft limits lie beside the rail's travel."""
        hard, soft = self._rail.travel, self._soft_limits
        if soft is None:
            return hard
        low_mm, high_mm = max(hard.min_mm, soft.min_mm), min(hard.max_mm, soft.max_mm)
        if not low_mm < high_mm:
            raise OutOfTravel(f"the soft limits of {soft} leave nothing of the rail's travel of {hard}")
        return Travel(low_mm, high_mm)

    @property
    def resolution_mm(self) -> float:
        """The rail's smallest step."""
        return self._rail.resolution_mm

    @property
    def finds_home(self) -> bool:
        """Whether the rail has a home switch. If not, `home` declares the present place to be home."""
        return bool(getattr(self._rail, "finds_home", True))

    def run_up_mm(self, position_mm: float) -> float:
        """Where the carriage goes first so that `position_mm` is approached with backlash taken up."""
        sign = 1.0 if self._approach.forward else -1.0
        return position_mm - sign * self._approach.backlash_mm

    def check(self, position_mm: float) -> None:
        """Raise OutOfTravel unless a frame can be made at a position."""
        if position_mm not in self.travel:
            raise OutOfTravel(f"{position_mm:.4f} mm lies outside the travel of {self.travel}")
        run_up_mm = self.run_up_mm(position_mm)
        if run_up_mm not in self.travel:
            raise OutOfTravel(
                f"{position_mm:.4f} mm is too near the end of the travel of {self.travel}: to take up backlash the "
                f"carriage must come from {run_up_mm:.4f} mm"
            )

    def home(self) -> float:
        """Find home. From then on the position is known. Raises Halted, DeviceTimeout."""
        with self._moving():
            position_mm = self._rail.home()
        log.info("rail.homed", position_mm=position_mm)
        return position_mm

    def move_to(self, position_mm: float) -> float:
        """Go to a position from the approach's side; return the position reached (mm).

        Raises OutOfTravel (nothing has moved), PositionUnknown, Halted, DeviceTimeout.
        """
        self.check(position_mm)
        began_s = self._clock.monotonic_s()
        if not self._is_approached_by_going_to(position_mm):
            self._go(self.run_up_mm(position_mm))
        reached_mm = self._go(position_mm)
        self._taken_up_at_mm = reached_mm
        log.info("rail.moved", target_mm=position_mm, reached_mm=reached_mm, took_s=self._clock.monotonic_s() - began_s)
        return reached_mm

    def go_to(self, position_mm: float) -> float:
        """Go straight to a position where no frame is made, backlash or not; return the position reached (mm).

        Raises like `move_to`.
        """
        if position_mm not in self.travel:
            raise OutOfTravel(f"{position_mm:.4f} mm lies outside the travel of {self.travel}")
        reached_mm = self._go(position_mm)
        log.info("rail.went", target_mm=position_mm, reached_mm=reached_mm)
        return reached_mm

    def settle(self, settle_s: float | None = None) -> None:
        """Wait for vibration to die down; None: as long as the rig's configuration says. Raises Halted."""
        if self._clock.wait(self._approach.settle_s if settle_s is None else settle_s, self._stop):
            raise Halted("the rail was halted while it settled", self._rail.status().position_mm)

    def halt(self) -> None:
        """Stop now, and stay until `release`. Safe from any thread but the owner's, any number of times.

        Returns when the move under way has ended, at the latest after two seconds.
        """
        self._stop.set()
        self._rail.halt()
        # A rail forgets a halt when its next move begins. One that was about to begin must not escape; but one that is
        # being stopped needs its time, and no more halts.
        for _ in range(8):
            if self._clock.wait(0.25, self._standing):
                break
            self._rail.halt()
        log.warning("rail.halted")

    def release(self) -> None:
        """Allow moves again after `halt`."""
        self._stop.clear()

    def status(self) -> RailStatus:
        """Where the rail is. Safe from any thread."""
        return self._rail.status()

    def position_mm(self) -> float:
        """Where the carriage stands. Raises PositionUnknown."""
        position_mm = self._rail.status().position_mm
        if position_mm is None:
            raise PositionUnknown("the rail does not know where it is: home it first with `focusrail rail home`")
        return position_mm

    def _is_approached_by_going_to(self, position_mm: float) -> bool:
        """Whether a direct move ends with backlash taken up: it goes on in the direction of the last approach."""
        start_mm = self._taken_up_at_mm
        if start_mm is None:
            return False
        return position_mm >= start_mm if self._approach.forward else position_mm <= start_mm

    def _go(self, position_mm: float) -> float:
        try:
            with self._moving():
                return self._rail.move_to(position_mm)
        except Halted as error:
            log.warning("rail.stopped", position_mm=error.position_mm, target_mm=position_mm)
            raise

    @contextmanager
    def _moving(self) -> Iterator[None]:
        """While a move is under way. None begins after a halt: one frame may take two, and a halt is for both."""
        self._taken_up_at_mm = None  # until it is known better: a fault leaves it so
        self._standing.clear()
        try:
            if self._stop.is_set():
                raise Halted("the rail was halted; this move has not begun", self._rail.status().position_mm)
            yield
        finally:
            self._standing.set()
