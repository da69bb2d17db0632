"""A key or a foot pedal that Linux knows as an input device: whatever USB or Bluetooth sends as a keyboard does."""

from __future__ import annotations

import errno
import fcntl
import select
import struct
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import CLOCK_MONOTONIC
from typing import Any, Protocol

from focusrail_drivers.base import ConnectionLost, Contact, DeviceInUse, DeviceNotFound, DriverError
from focusrail_drivers.clock import Clock

_EVIOCSCLOCKID = 0x400445A0  # linux/input.h: which clock times the events; by itself it is the wall's, which is set
_EV_SYN, _EV_KEY = 0, 1  # linux/input-event-codes.h
_SYN_REPORT, _SYN_DROPPED = 0, 3
_REPEATED = 2  # the value of a key that is held; 1: it goes down, 0: up


class InputEvent(Protocol):
    """struct input_event."""

    @property
    def sec(self) -> int: ...
    @property
    def usec(self) -> int: ...
    @property
    def type(self) -> int: ...
    @property
    def code(self) -> int: ...
    @property
    def value(self) -> int: ...


@dataclass(slots=True)
class KeyContact:
    """From a device's events to one contact, which is closed while any of its keys is down."""

    keys: frozenset[int]
    are_down: Callable[[], Iterable[int]]  # all keys that are, as the device says when it is asked
    _down: set[int] = field(default_factory=set)
    _lost: bool = False  # the kernel has dropped events: what follows until the next report is torn

    def heard(self, event: InputEvent) -> Contact | None:
        """What an event does to the contact, if anything."""
        before = bool(self._down)
        if event.type == _EV_SYN and event.code == _SYN_DROPPED:
            self._lost = True
        elif event.type == _EV_SYN and event.code == _SYN_REPORT and self._lost:
            self._lost, self._down = False, {key for key in self.are_down() if key in self.keys}
        elif event.type == _EV_KEY and event.code in self.keys and event.value != _REPEATED and not self._lost:
            (self._down.add if event.value else self._down.discard)(event.code)
        now = bool(self._down)
        return Contact(now, event.sec + event.usec / 1e6) if now != before else None


class EvdevButton:
    """A key of an input device, or any of its keys. Implements `Button`."""

    @dataclass(frozen=True, slots=True)
    class Options:
        """Which device, and which of its keys."""

        device: Path  # by a name that stays: /dev/input/by-id/...-event-kbd
        key: str | None = None  # KEY_B, BTN_LEFT, ... (evtest tells); None: any key of this device
        grab: bool = False  # nobody else gets its keys: a pedal that types letters does not type them anywhere

    def __init__(self, options: EvdevButton.Options, clock: Clock) -> None:
        self._options, self._clock = options, clock
        self._device: Any = None  # an evdev.InputDevice
        self._contact: KeyContact | None = None
        self._coming: deque[Contact] = deque()

    def open(self) -> str:
        self.close()
        evdev, path = _library(), self._options.device
        try:
            device = evdev.InputDevice(str(path))
        except OSError as error:
            raise _refused(error, path) from error
        try:
            keys = self._keys(evdev.ecodes.ecodes, device.capabilities().get(_EV_KEY, []), device.name)
            fcntl.ioctl(device.fd, _EVIOCSCLOCKID, struct.pack("i", CLOCK_MONOTONIC))
            if self._options.grab:
                device.grab()
        except OSError as error:
            device.close()
            raise _refused(error, path) from error
        except DriverError:
            device.close()
            raise
        self._device, self._contact = device, KeyContact(keys, device.active_keys)
        return f"{self._options.key or 'any key'} of {device.name} at {path}"

    def _keys(self, codes: dict[str, int], there: Iterable[int], name: str) -> frozenset[int]:
        there, key = frozenset(there), self._options.key
        if key is None:
            if not there:
                raise DeviceNotFound(f"{self._options.device} ({name}) has no keys: name another device")
            return there
        if key not in codes or codes[key] not in there:
            known = sorted(word for word, code in codes.items() if code in there and word.startswith(("KEY_", "BTN_")))
            few = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
            raise DeviceNotFound(f"{self._options.device} ({name}) has no key {key}; it has: {few or 'none'}")
        return frozenset({codes[key]})

    def close(self) -> None:
        device, self._device = self._device, None
        self._coming.clear()
        if device is not None:
            try:
                device.close()
            except OSError:  # it was gone already
                return

    def wait(self, timeout_s: float) -> Contact | None:
        if self._device is None or self._contact is None:
            raise ConnectionLost("the button is not open")
        if not self._coming:
            try:
                if not select.select([self._device.fd], [], [], timeout_s)[0]:
                    return None
                heard = [self._contact.heard(event) for event in self._device.read()]
            except BlockingIOError:
                return None
            except OSError as error:
                raise ConnectionLost(f"{self._options.device} is gone: {error.strerror}") from error
            self._coming += (contact for contact in heard if contact is not None)
        return self._coming.popleft() if self._coming else None


def _library() -> Any:
    try:
        import evdev  # noqa: PLC0415 - optional
    except ImportError as error:
        raise DriverError("the Python package evdev is missing: pip install 'focusrail[evdev]'") from error
    return evdev


def input_devices() -> list[str]:
    """All that have a name that stays."""
    return sorted(str(path) for path in Path("/dev/input/by-id").glob("*-event-*"))


def _refused(error: OSError, path: Path) -> DriverError:
    if error.errno == errno.EBUSY:
        return DeviceInUse(f"{path} is grabbed by another program")
    if error.errno in (errno.EACCES, errno.EPERM):
        return DeviceNotFound(f"{path} may not be used by this user: it is for the group input")
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return DeviceNotFound(f"there is no input device {path}; there are: {', '.join(input_devices()) or 'none'}")
    return DeviceNotFound(f"{path} is no input device: {error.strerror}")
