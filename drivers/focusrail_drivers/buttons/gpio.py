"""A button between a GPIO line and ground (or supply), by libgpiod. The kernel debounces it and times its edges."""

from __future__ import annotations

import errno
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from focusrail_drivers.base import ConnectionLost, Contact, DeviceInUse, DeviceNotFound, DriverError
from focusrail_drivers.clock import Clock

if TYPE_CHECKING:
    from gpiod import LineRequest

_BIAS = {"pull_up": "PULL_UP", "pull_down": "PULL_DOWN", "none": "DISABLED", "as_is": "AS_IS"}


class GpioButton:
    """A line of a GPIO chip. Implements `Button`."""

    @dataclass(frozen=True, slots=True)
    class Options:
        """Which line, and how it is wired."""

        line: int | str  # its number on the chip, or its name (gpioinfo lists both)
        chip: Path = Path("/dev/gpiochip0")
        active_low: bool = True  # pressed is low: the button connects the line to ground
        bias: Literal["pull_up", "pull_down", "none", "as_is"] = "pull_up"  # none: there is a resistor on the board
        debounce_s: float = 0.005  # by the kernel; what bounces for longer is left to button.debounce_s

    def __init__(self, options: GpioButton.Options, clock: Clock) -> None:
        self._options = options
        self._request: LineRequest | None = None
        self._coming: deque[Contact] = deque()

    def open(self) -> str:
        self.close()
        gpiod, wanted = _library(), self._options
        settings = gpiod.LineSettings(
            direction=gpiod.line.Direction.INPUT,
            edge_detection=gpiod.line.Edge.BOTH,
            bias=gpiod.line.Bias[_BIAS[wanted.bias]],
            active_low=wanted.active_low,
            debounce_period=timedelta(seconds=wanted.debounce_s),
            event_clock=gpiod.line.Clock.MONOTONIC,
        )
        try:
            if not gpiod.is_gpiochip_device(str(wanted.chip)):
                raise DeviceNotFound(_no_chip(wanted.chip))
            with gpiod.Chip(str(wanted.chip)) as chip:
                line, called = chip.line_offset_from_id(wanted.line), chip.get_info().label
                self._request = chip.request_lines({line: settings}, consumer="focusrail")
        except (OSError, ValueError) as error:
            raise _refused(error, wanted) from error
        return f"button on line {wanted.line} of {wanted.chip} ({called})"

    def close(self) -> None:
        request, self._request = self._request, None
        self._coming.clear()
        if request is not None:
            request.release()

    def wait(self, timeout_s: float) -> Contact | None:
        request = self._request
        if request is None:
            raise ConnectionLost("the button is not open")
        if not self._coming:
            try:
                if not request.wait_edge_events(timedelta(seconds=timeout_s)):
                    return None
                events = request.read_edge_events()
            except OSError as error:  # the chip is gone: it was plugged in by USB
                raise ConnectionLost(f"the button on {self._options.chip} is gone: {error.strerror}") from error
            self._coming += (
                Contact(event.event_type is event.Type.RISING_EDGE, event.timestamp_ns / 1e9) for event in events
            )
        return self._coming.popleft()


def _library() -> Any:
    try:
        import gpiod  # noqa: PLC0415 - optional
    except ImportError as error:
        raise DriverError("the Python package gpiod is missing: pip install 'focusrail[gpio]'") from error
    if not hasattr(gpiod, "request_lines"):
        raise DriverError("the Python package gpiod is older than 2.0: pip install 'focusrail[gpio]'")
    return gpiod


def _no_chip(path: Path) -> str:
    there = ", ".join(sorted(str(one) for one in Path("/dev").glob("gpiochip*"))) or "none"
    return f"there is no GPIO chip {path}; there are: {there}"


def _refused(error: OSError | ValueError, wanted: GpioButton.Options) -> DriverError:
    number = error.errno if isinstance(error, OSError) else errno.EINVAL
    line = f"line {wanted.line} of {wanted.chip}"
    if number == errno.EBUSY:
        return DeviceInUse(f"{line} is used by something else (gpioinfo tells by what)")
    if number in (errno.EACCES, errno.EPERM):
        return DeviceNotFound(f"{wanted.chip} may not be used by this user: it is for the group that owns it (ls -l)")
    if number in (errno.ENOENT, errno.EINVAL, errno.ENXIO):
        return DeviceNotFound(f"there is no {line}, or it cannot be wired so (gpioinfo lists all lines): {error}")
    return DriverError(f"{line}: {error}")
