"""A rail on a GRBL 1.1 or grblHAL controller, over a serial port.

**Positions.** Rail zero is where homing leaves the carriage; `grbl_geometry` says how that maps to the controller's
coordinates. Without a home switch (`homing: none`) `home()` takes the present place as 0 mm: bring the carriage there
by hand or, once it has been "homed" anywhere, by moving, and home again. Away from home is then growing machine
coordinates, unless `direction` says otherwise.

**Trust.** The position is believed from `home()` until something speaks against it: a banner nobody asked for, any
alarm but a refused target, a soft reset at speed, a controller that comes back locked. After opening it is unknown:
GRBL cannot say whether it was homed. The reset that `halt` makes is different: it comes after a feed hold has come to
rest, and must find the axis where the hold left it. An axis that stands elsewhere than it was left is not believed
either: the banner may have been lost.

With `trust_position_on_open`, a controller that sent no banner, is Idle and has homing on is believed to stand in the
coordinates of its last homing: such a controller starts locked, so only `$H` or `$X` got it out. If it is known where
it was left, it must count the same (`confirm`); without a home switch, that alone makes it believed. Set it only where
nobody sends `$X`, nobody turns the screw by hand, and the motor's supply never fails alone: USB keeps the controller
counting while the motor loses its place, and nothing in the protocol shows it.

**Done** means: the move was accepted, a sync behind it was answered, and the status after that says Idle at the target.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import NoReturn

from focusrail_drivers.base import (
    ConnectionLost,
    DeviceTimeout,
    DriverError,
    Halted,
    OutOfTravel,
    PositionUnknown,
    RailStatus,
    Travel,
)
from focusrail_drivers.clock import Clock
from focusrail_drivers.rails.grbl_geometry import Geometry
from focusrail_drivers.rails.grbl_greeting import greet
from focusrail_drivers.rails.grbl_link import AlarmRaised, CommandRefused, ControllerReset, GrblLink, Interrupted
from focusrail_drivers.rails.grbl_options import GrblOptions
from focusrail_drivers.rails.grbl_protocol import (
    FEED_HOLD,
    FEED_OVERRIDE_100,
    SOFT_RESET,
    SYNC,
    Status,
)
from focusrail_drivers.rails.grbl_states import States
from focusrail_drivers.transport.serial_line import SerialLine

log = logging.getLogger(__name__)


class GrblRail:
    """The carriage on one axis of a GRBL controller. The module says when it believes a position.

    The clock must run by itself: deadlines are for a device that does.
    """

    Options = GrblOptions

    def __init__(self, options: GrblOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._travel = options.travel
        self._line = SerialLine(options.port, options.baud, assert_dtr=options.assert_dtr)
        self._link: GrblLink | None = None
        self._geometry: Geometry | None = None
        self._origin_mm: float | None = None  # machine coordinate of rail zero, once homed
        self._last_machine_mm: float | None = None
        self._homing = self._untouched = False
        self._busy = threading.Lock()  # who holds it reads the line; everybody else only writes realtime bytes
        self._halting = threading.Event()
        self._states = States(clock, options.answer_timeout_s, self._halting)
        self._stopping = False  # `_stop` is at work, or has just been, for the call that holds the line

    # --- connecting ---------------------------------------------------------------------------------------------------

    @property
    def travel(self) -> Travel:
        """The configured reach; once open, no more than the controller's soft limits allow."""
        return self._travel

    @property
    def resolution_mm(self) -> float:
        """One microstep, from the controller's steps/mm; before opening, the 0.001 mm it reports in."""
        return self._geometry.settings.resolution_mm if self._geometry else 0.001

    def open(self) -> str:
        """Connect, without moving anything; return one line on the controller, with what is amiss in its settings.

        Raises DeviceNotFound, DeviceInUse; ProtocolError for what is no GRBL 1.1; DriverError for impossible settings.
        """
        self.close()
        self._line.open()
        options = self._options
        try:
            met = greet(self._line, options, self._clock)
            geometry = self._geometry = met.geometry
            self._travel = geometry.travel
            self._halting.clear()
            self._untouched = met.untouched
            homed = met.untouched and self.finds_home and geometry.settings.homing_enabled
            if homed and options.trust_position_on_open:
                self._origin_mm = geometry.home_mm
                met.link.doubt = None
        except BaseException:
            self.close()
            raise
        self._link = met.link
        line = f"{met.name} at {options.port}, axis {options.axis}, {geometry.settings.steps_per_mm:g} steps/mm"
        remarks = geometry.remarks()
        for remark in remarks:
            log.warning("%s: %s", line, remark)
        return "; ".join([line, *remarks])

    @property
    def finds_home(self) -> bool:
        """Whether there is a home switch; without one, `home` declares the present place to be 0 mm."""
        return self._options.homing == "switch"

    @property
    def zero_mm(self) -> float | None:
        """The machine coordinate of rail zero; None while the position is not to be believed."""
        return None if self._link is None or self._link.doubt is not None else self._origin_mm

    def confirm(self, position_mm: float, zero_mm: float) -> bool:
        """With `trust_position_on_open`: True if the controller still counts as it was left. If not, home first.

        A rail without a home switch takes up its position here, one that has a switch did so when it was opened.
        """
        if not (self._options.trust_position_on_open and self._untouched):
            return False
        with self._operation() as link:
            axis, known_mm = self._axis, self._origin_mm
            left_mm, found_mm = zero_mm + axis.sign * position_mm, link.machine_mm(self._states.idle(link))
            if not axis.same(found_mm, left_mm) or (known_mm is not None and not axis.same(known_mm, zero_mm)):
                link.doubt = f"the controller was left at {left_mm:.3f} mm (machine) and is at {found_mm:.3f} mm"
            if link.doubt is not None:
                self._origin_mm = None
                return False
            self._origin_mm, self._last_machine_mm = zero_mm, left_mm
            return True

    def close(self) -> None:
        """Let go of the port. Never raises; closing twice is fine. What was known of the position is forgotten."""
        self._link = None
        self._origin_mm = self._last_machine_mm = None
        self._line.close()

    # --- coordinates --------------------------------------------------------------------------------------------------

    @property
    def _axis(self) -> Geometry:
        if self._geometry is None:
            raise ConnectionLost(f"{self._options.port} is not open; connect first")
        return self._geometry

    def _rail_mm(self, link: GrblLink, machine_mm: float | None) -> float | None:
        """A machine coordinate as a rail position; None while the position is not to be believed."""
        if machine_mm is None or self._origin_mm is None or link.doubt is not None:
            return None
        return self._axis.rail_mm(machine_mm, self._origin_mm)

    # --- who talks to the controller ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _operation(self) -> Iterator[GrblLink]:
        """Hold the line for one call of the owner. An Interrupted inside becomes a stop and a Halted."""
        self._busy.acquire()
        try:
            link = self._link
            if link is None:
                raise ConnectionLost(f"{self._options.port} is not open; connect first")
            try:
                if self._halting.is_set():  # a halt() is under way whose `!` has put the controller on hold
                    raise Interrupted
                yield link
            except Interrupted as interruption:
                own = interruption.status if not self._halting.is_set() else None
                cause = f"by the controller's own input ({own.state})" if own else ""
                position_mm = self._stop(link)
                where = "at an unknown place; home first" if position_mm is None else f"at {position_mm:.4f} mm"
                raise Halted(" ".join(filter(None, ("halted", cause, where))), position_mm) from None
        finally:
            self._leave()

    def _leave(self) -> None:
        """Give the line back; a halt that found it taken in the last moment left the rest of its work to us."""
        self._stopping = False
        self._busy.release()
        while self._halting.is_set() and self._busy.acquire(blocking=False):
            try:
                self._halting.clear()
                if (link := self._link) is not None:
                    self._stop(link)
            except DriverError as error:
                log.warning("halt: %s", error)
            finally:
                self._stopping = False
                self._busy.release()

    def halt(self) -> None:
        """Stop now: decelerate, drop what is queued. Safe from any thread, any number of times.

        The first byte goes out at once. If a call of the owner is waiting, it finishes the stop and raises Halted;
        otherwise it is finished here, which takes up to a few seconds. While homing only a reset stops GRBL.
        While an earlier halt is still being carried out there is nothing to add: another byte would only begin it anew.
        """
        if self._link is None or self._halting.is_set() or self._stopping:
            return
        try:
            self._line.write(SOFT_RESET if self._homing else FEED_HOLD)
        except DriverError as error:
            log.warning("halt: %s", error)  # the owner meets the same fault, and reports it
        finally:
            # After the write: whoever sees the event and then resets knows that no byte of this halt is still to come.
            self._halting.set()
        if self._busy.acquire(blocking=False):
            self._leave()

    def _stop(self, link: GrblLink) -> float | None:
        """Come to rest, empty the controller's queue, return the rail position (mm), None if it is lost.

        Cleared first, the event will be seen if another halt's `!` follows, even one that arrives behind our reset;
        that can only be one that began before `_stopping` was set.
        """
        self._stopping = True
        self._halting.clear()
        if self._homing:
            link.doubt = "homing was halted"
            link.reset()
            return None
        held_mm = link.come_to_rest(self._axis.stopping_s + self._options.answer_timeout_s)
        status = link.reset()
        machine_mm = link.machine_mm(status)
        if held_mm is None or not self._axis.same(machine_mm, held_mm):
            link.doubt = link.doubt or "the controller was reset before it stood still"
        self._last_machine_mm = machine_mm
        return self._rail_mm(link, machine_mm)

    # --- moving -------------------------------------------------------------------------------------------------------

    def home(self) -> float:
        """Find the home switch and call that place 0 mm; without a switch, call the present place so. Returns 0.0.

        Raises PositionUnknown (homing failed), Halted, DeviceTimeout, ConnectionLost; DriverError if $22=0.
        """
        with self._operation() as link:
            self._origin_mm = None
            link.drain()
            status: Status | None = None
            if link.in_step:
                with contextlib.suppress(DeviceTimeout):
                    status = link.query()
            if status is None or status.state not in ("Idle", "Alarm"):
                link.reset()
            link.doubt = None  # from here on, homing answers for the position
            if self._options.homing == "switch":
                self._seek_switch(link)
            else:
                with contextlib.suppress(CommandRefused):
                    link.command("$X", interrupt=self._halting)  # does nothing unless it is locked
            self._last_machine_mm = self._axis.on_step(link.machine_mm(self._states.idle(link)))
            if link.doubt is not None:
                raise PositionUnknown(f"homing failed: {link.doubt}; home again")
            self._origin_mm = self._last_machine_mm
            return 0.0

    def _seek_switch(self, link: GrblLink) -> None:
        limit_s = self._axis.homing_limit_s
        self._homing = True
        try:
            link.command(self._options.home_command, timeout_s=limit_s, interrupt=self._halting)
            # Startup lines ($N) run after homing, and may move.
            link.command(SYNC, timeout_s=limit_s, interrupt=self._halting)
        except (Interrupted, DriverError) as error:
            self._give_up_homing(link, error)
        finally:
            self._homing = False

    def _give_up_homing(self, link: GrblLink, error: Interrupted | DriverError) -> NoReturn:
        """Make sure that no homing goes on; raise what the error means. A `$H` just behind a reset is obeyed."""
        if not self._halting.is_set():
            match error:
                case CommandRefused(code=5):
                    raise DriverError(
                        "homing is off in the controller: set $22=1, or configure homing: none"
                    ) from error
                case AlarmRaised():
                    self._states.unlock_after(link, error, self._axis)
                case DeviceTimeout() | ControllerReset():
                    link.doubt = link.doubt or "homing did not end"
                    with contextlib.suppress(DeviceTimeout):
                        link.reset()
        if isinstance(error, Interrupted) or self._halting.is_set():
            self._stop(link)
            raise Halted("halted while homing; home again", None) from None
        raise error

    def move_to(self, position_mm: float) -> float:
        """Go to `position_mm`, wait until standing there, return the place (mm), which is on a microstep.

        Raises OutOfTravel (nothing has moved), PositionUnknown, Halted, DeviceTimeout, ConnectionLost, ProtocolError.
        """
        if position_mm not in self._travel:
            raise OutOfTravel(f"{position_mm:g} mm is outside the travel of {self._travel}; nothing has moved")
        with self._operation() as link:
            link.drain()
            origin_mm = self._trusted_origin_mm(link)
            start_mm = link.machine_mm(self._states.idle(link))
            self._compare_with_last(link, start_mm)
            self._trusted_origin_mm(link)  # a banner may have come with the status
            target_mm = self._axis.on_step(origin_mm + self._axis.sign * position_mm)
            limit_s = self._axis.move_limit_s(target_mm - start_mm)
            try:
                link.write_realtime(FEED_OVERRIDE_100)  # a pendant may have left another pace
                # Units and modes with every move: whatever reset or other program came before, this line is complete.
                move = f"G21 G90 G94 G53 G1 {self._options.axis}{target_mm:.5f} F{self._axis.feed_mm_min:.2f}"
                link.command(move, interrupt=self._halting)
                link.command(SYNC, timeout_s=limit_s, interrupt=self._halting, watch=True)
                self._states.arrived(link, self._axis, target_mm)
            except AlarmRaised as error:
                self._states.unlock_after(link, error, self._axis, start_mm=start_mm, position_mm=position_mm)
            except DeviceTimeout as error:
                stopped_mm = self._stop_after(link)
                where = "its place is unknown" if stopped_mm is None else f"stopped at {stopped_mm:.4f} mm"
                raise DeviceTimeout(f"the move to {position_mm:g} mm did not finish: {error}; {where}") from error
            self._last_machine_mm = target_mm
            return self._axis.rail_mm(target_mm, origin_mm)

    def _trusted_origin_mm(self, link: GrblLink) -> float:
        if self._origin_mm is None or link.doubt is not None:
            self._origin_mm = None
            reason = link.doubt or "the rail has not been homed since it was opened"
            if link.doubt is None and not self._options.trust_position_on_open:
                reason += " (nothing is kept from the last command without trust_position_on_open)"
            raise PositionUnknown(f"{reason}; home first")
        return self._origin_mm

    def _compare_with_last(self, link: GrblLink, machine_mm: float) -> None:
        """Doubt a standing axis that is not where it was left: noise may swallow the banner of a reset controller."""
        last_mm = self._last_machine_mm
        if last_mm is None:
            self._last_machine_mm = machine_mm
        elif not self._axis.same(machine_mm, last_mm):
            link.doubt = link.doubt or (
                f"the controller was left at {last_mm:.3f} mm (machine) and is at {machine_mm:.3f} mm: "
                "it was reset, or moved by somebody else"
            )

    def _stop_after(self, link: GrblLink) -> float | None:
        """Stop a controller that has missed a deadline; a second failure must not hide the first."""
        try:
            return self._stop(link)
        except DriverError as error:
            link.doubt = link.doubt or f"it could not be stopped: {error}"
            return None

    def status(self) -> RailStatus:
        """Where the rail is. From any thread; while the owner is at work, what the owner saw last."""
        link = self._link
        if link is None:
            return RailStatus(None, moving=False, detail="not connected")
        machine_mm, status, fault = self._last_machine_mm, link.status, ""
        if self._busy.acquire(blocking=False):
            try:
                status = link.query()
                reported_mm = link.machine_mm(status)
                self._compare_with_last(link, reported_mm)
                # Reports are rounded to 0.001 mm: where the last move ended is known better.
                machine_mm = self._last_machine_mm
            except DriverError as error:
                machine_mm, fault = None, str(error)
            finally:
                self._leave()
        elif status is not None and status.machine_mm is not None:
            with contextlib.suppress(DriverError, IndexError):
                machine_mm = status.machine_mm["XYZ".index(self._options.axis)]
        if fault:
            return RailStatus(None, moving=False, detail=fault)
        detail = "Home" if self._homing else status.state if status else ""
        moving = self._homing or bool(status and status.moving)
        if link.doubt:
            detail = f"{detail}; {link.doubt}"
        return RailStatus(self._rail_mm(link, machine_mm), moving=moving, detail=detail)
