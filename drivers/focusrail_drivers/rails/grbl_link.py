"""The conversation with a GRBL controller: one line out, one answer back, and everything else as it comes.

The stream is ordered, and that is what proof rests on: a status report read after the `ok` of a sync was made after the
motion had ended, whichever `?` it answers. An `ok` alone proves nothing: GRBL even sends one for a sync that a reset
broke off, just before its banner.
"""

from __future__ import annotations

import threading

from focusrail_drivers.base import DeviceTimeout, PositionUnknown, ProtocolError
from focusrail_drivers.clock import Clock
from focusrail_drivers.rails.grbl_protocol import (
    ALARMS,
    FEED_HOLD,
    SOFT_LIMIT_ALARM,
    SOFT_RESET,
    STATUS_QUERY,
    Alarm,
    Axis,
    Banner,
    Information,
    Message,
    Ok,
    Refused,
    Status,
    parse,
)
from focusrail_drivers.rails.grbl_protocol import AXES as _AXES
from focusrail_drivers.transport.serial_line import SerialLine

_SLICE_S = 0.02  # how soon a waiting owner sees that it is to stop
_QUERY_AGAIN_S = 0.25  # a reset swallows a pending `?`
_REST_POLL_S = 0.05
_POLL_S = 0.2  # GRBL asks for no more than 5 to 10 queries a second
_MOST_WAITING = 5000  # lines that may have piled up since the last command
_LOCKED = 9  # error:9, g-code while an alarm is on
_WCO_TURNS = 40  # GRBL sends the work offset every 10th to 30th report


class CommandRefused(ProtocolError):
    """The controller answered `error:N`; the line did nothing."""

    def __init__(self, line: str, answer: Refused) -> None:
        super().__init__(f"the controller refused {line!r}: {answer}")
        self.code = answer.code


class AlarmRaised(PositionUnknown):
    """The controller raised an alarm while a line was waiting for its answer."""

    def __init__(self, alarm: Alarm) -> None:
        super().__init__(f"the controller raised {alarm}")
        self.code = alarm.code


class ControllerReset(PositionUnknown):
    """A banner came that nobody asked for, or the controller is locked as after one."""


class Interrupted(Exception):
    """The wait was broken off, because a halt was asked for or the controller was put on hold."""

    def __init__(self, status: Status | None = None) -> None:
        super().__init__()
        self.status = status


class GrblLink:
    """Lines and answers. All but `write_realtime` belong to the thread that holds the rail.

    `doubt` says why the controller's position cannot be believed, None while nothing speaks against it. It is set by
    what the controller sends, and cleared only by the rail, after homing.
    """

    def __init__(self, line: SerialLine, clock: Clock, *, axis: Axis, answer_timeout_s: float) -> None:
        self._line = line
        self._clock = clock
        self._axis = _AXES.index(axis)
        self._answer_timeout_s = answer_timeout_s
        self._resetting = False
        self._in_step = True  # no answer of an earlier line is still to come
        self._work_offset_mm: tuple[float, ...] | None = None
        self.doubt: str | None = None
        self.banner: str | None = None  # the last one seen
        self.status: Status | None = None  # the last one seen, by whoever asked
        self.homed: bool | None = None  # what grblHAL said of it last; gnea GRBL says nothing

    # --- receiving ----------------------------------------------------------------------------------------------------

    def _receive(self, timeout_s: float) -> Message | None:
        """The next message within `timeout_s`; takes note of what changes our picture of the controller."""
        text = self._line.read_line(timeout_s)
        if text is None:
            return None
        message = parse(text)
        match message:
            case Banner():
                self.banner = message.text
                self._work_offset_mm = None
                self._in_step = True  # a reset drops every line that was waiting
                if not self._resetting:
                    self._doubt(f"the controller was reset ({message.text!r})")
                self._resetting = False  # one reset, one banner: a second one was not asked for
            case Alarm(code):
                # A soft limit refuses before the first step; everything else ends motion without counting.
                if code != SOFT_LIMIT_ALARM:
                    self._doubt(f"the controller raised {message}")
            case Status():
                self.status = message
                self.homed = self.homed if message.homed is None else message.homed
                if message.work_offset_mm is not None:
                    self._work_offset_mm = message.work_offset_mm
        return message

    def _doubt(self, reason: str) -> None:
        self.doubt = self.doubt or reason  # the first reason is the cause, the others follow from it

    def drain(self) -> None:
        """Take note of what arrived while nobody listened: a banner, an alarm, a late answer."""
        for _ in range(_MOST_WAITING):
            if self._receive(0) is None:
                return
        raise ProtocolError("the port sends without end; this is no GRBL controller, or the baud rate is wrong")

    def wait_for_banner(self, timeout_s: float | None = None) -> bool:
        """Listen only; whether the controller introduced itself."""
        deadline_s = self._clock.monotonic_s() + (self._answer_timeout_s if timeout_s is None else timeout_s)
        while self._clock.monotonic_s() < deadline_s:
            if isinstance(self._receive(_SLICE_S), Banner):
                return True
        return False

    # --- asking -------------------------------------------------------------------------------------------------------

    def write_realtime(self, data: bytes) -> None:
        """Send realtime bytes. From any thread."""
        self._line.write(data)

    def command(
        self,
        text: str,
        *,
        timeout_s: float | None = None,
        interrupt: threading.Event | None = None,
        watch: bool = False,
    ) -> list[str]:
        """Send one line, wait for its `ok`, return the lines that came before it.

        With `interrupt`, the wait ends with Interrupted once the event is set. With `watch`, the status is asked for
        meanwhile: a controller that falls silent, is held or locked is noticed long before the deadline.
        Raises CommandRefused, AlarmRaised, ControllerReset, DeviceTimeout, ConnectionLost.
        """
        believed = self.doubt is None
        self.drain()
        if believed and self.doubt is not None:
            # A reset since the last answer: without a homing lock, this line would be obeyed from the wrong place.
            raise ControllerReset(f"{self.doubt} just before {text!r}; home again")
        if not self._in_step:
            # A late answer to an earlier line would be taken for this line's.
            raise DeviceTimeout("the controller left an earlier line unanswered; home again, which resets it")
        if interrupt is not None and interrupt.is_set():
            raise Interrupted
        self._in_step = False
        start_s = heard_s = asked_s = self._clock.monotonic_s()
        deadline_s = start_s + (self._answer_timeout_s if timeout_s is None else timeout_s)
        self._line.write_line(text)
        before: list[str] = []
        while True:
            message = self._receive(_SLICE_S)
            now_s = self._clock.monotonic_s()
            if message is not None:
                heard_s = now_s
                if self._answers(message, text, watch=watch):
                    return before
                if isinstance(message, Information):
                    before.append(message.text)
            if interrupt is not None and interrupt.is_set():
                raise Interrupted
            if now_s >= deadline_s:
                raise DeviceTimeout(f"no answer to {text!r} within {now_s - start_s:.1f} s")
            if watch and now_s - heard_s > self._answer_timeout_s:
                raise DeviceTimeout(f"the controller fell silent for {now_s - heard_s:.1f} s during {text!r}")
            if watch and now_s - asked_s >= _POLL_S:
                asked_s = now_s
                self._line.write(STATUS_QUERY)

    def _answers(self, message: Message, text: str, *, watch: bool) -> bool:
        """Whether this is the `ok` to line `text`. Raises for whatever ends the wait otherwise."""
        match message:
            case Ok():
                self._in_step = True
                return True
            case Refused():
                self._in_step = True
                if message.code == _LOCKED:
                    self._doubt("the controller is locked (error:9)")
                    raise ControllerReset(f"{self.doubt} before {text!r}; home again")
                raise CommandRefused(text, message)
            case Alarm():
                raise AlarmRaised(message)
            case Banner():
                raise ControllerReset(f"the controller was reset during {text!r} ({message.text!r}); home again")
            case Status(state="Alarm" | "Sleep") if watch:
                self._doubt(f"the controller is in state {message.state}")
                raise ControllerReset(f"the controller went to {message.state} during {text!r}; home again")
            case Status() if watch and (message.standing_in_hold or message.state == "Door"):
                raise Interrupted(message)
            case _:
                return False

    def query(self, timeout_s: float | None = None) -> Status:
        """Ask for the status until one comes. Raises DeviceTimeout, ConnectionLost."""
        self.drain()
        start_s = self._clock.monotonic_s()
        limit_s = self._answer_timeout_s if timeout_s is None else timeout_s
        asked_s: float | None = None
        while True:
            now_s = self._clock.monotonic_s()
            if now_s - start_s >= limit_s:
                raise DeviceTimeout(f"the controller sent no status within {limit_s:g} s; is it switched on?")
            if asked_s is None or now_s - asked_s >= _QUERY_AGAIN_S:
                asked_s = now_s
                self._line.write(STATUS_QUERY)
            message = self._receive(_SLICE_S)
            if isinstance(message, Status):
                return message

    def machine_mm(self, status: Status) -> float:
        """Where the axis is in machine coordinates (mm), from MPos, or from WPos and the work offset ($10)."""
        for _ in range(_WCO_TURNS):
            if status.machine_mm is not None and len(status.machine_mm) > self._axis:
                return status.machine_mm[self._axis]
            offset = self._work_offset_mm
            if status.work_mm is not None and offset is not None and len(status.work_mm) > self._axis < len(offset):
                return status.work_mm[self._axis] + offset[self._axis]
            status = self.query()
        raise ProtocolError(f"the controller reports no position of axis {_AXES[self._axis]} (set $10=1)")

    def come_to_rest(self, timeout_s: float) -> float | None:
        """Feed hold, and wait it out; return the machine coordinate then (mm), None if no rest was seen."""
        self._line.write(FEED_HOLD)
        deadline_s = self._clock.monotonic_s() + timeout_s
        last_mm: float | None = None
        while self._clock.monotonic_s() < deadline_s:
            try:
                status = self.query()
            except DeviceTimeout:
                return None  # silent after a limit alarm
            if status.standing_in_hold:
                return self.machine_mm(status)
            if status.state in ("Alarm", "Sleep"):
                return None
            here_mm = None if status.moving else self.machine_mm(status)
            # Idle once may be a move that has not begun yet; twice at the same place is as good as it gets.
            if here_mm is not None and here_mm == last_mm:
                return here_mm
            last_mm = here_mm
            self._clock.wait(_REST_POLL_S)
        return None

    # --- resetting ----------------------------------------------------------------------------------------------------

    def reset(self, *, locked_is_fine: bool = False) -> Status:
        """Soft reset: drops the queue and whatever line was waiting; return the status afterwards.

        The position survives if nothing moved; if something did, ALARM:3 comes and `doubt` says so. A controller that
        comes back locked is doubted too, unless it is known why. Raises DeviceTimeout, ConnectionLost.
        """
        self._resetting = True
        try:
            self._line.write(SOFT_RESET)
            if not self.wait_for_banner():
                # A critical alarm being printed just then throws a pending reset away (protocol.c): once more.
                self._line.write(SOFT_RESET)
                if not self.wait_for_banner():
                    raise DeviceTimeout("the controller does not answer a soft reset; switch it off and on")
            status = self.query()
            self.drain()
        finally:
            self._resetting = False
        if status.state == "Alarm" and not locked_is_fine:
            code = int(status.substate) if status.substate.isdigit() else None
            meaning = f" ({ALARMS[code]})" if code is not None and code in ALARMS else ""
            self._doubt(f"the controller is locked after a reset{meaning}")
        return status

    @property
    def in_step(self) -> bool:
        """Whether no line is waiting for its answer; if one is, only `reset` helps."""
        return self._in_step
