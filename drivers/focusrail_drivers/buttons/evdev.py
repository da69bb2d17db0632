"""A key or a foot pedal that Linux knows as an input device: whatever USB or Bluetooth sends as a keyboard does."""

from __future__ import annotations

import errno
import select
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from focusrail_drivers.base import ConnectionLost, Contact, DeviceInUse, DeviceNotFound, DriverError
from focusrail_drivers.buttons.input_device import EV_KEY, EV_SYN, SYN_DROPPED, SYN_REPORT, InputDevice, InputEvent
from focusrail_drivers.buttons.key_names import CODES, key_name
from focusrail_drivers.clock import Clock

_REPEATED = 2  # the value of a key that is held; 1: it goes down, 0: up
_FEW = 20


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
        if event.type == EV_SYN and event.code == SYN_DROPPED:
            self._lost = True
        elif event.type == EV_SYN and event.code == SYN_REPORT and self._lost:
            self._lost, self._down = False, {key for key in self.are_down() if key in self.keys}
        elif event.type == EV_KEY and event.code in self.keys and event.value != _REPEATED and not self._lost:
            (self._down.add if event.value else self._down.discard)(event.code)
        now = bool(self._down)
        return Contact(now, event.at_s) if now != before else None


class EvdevButton:
    """A key of an input device, or any of its keys. Implements `Button`."""

    @dataclass(frozen=True, slots=True)
    class Options:
        """Which device, and which of its keys."""

        device: Path  # by a name that stays: /dev/input/by-id/...-event-kbd
        key: str | int | None = None  # KEY_B, BTN_LEFT, ... or its number (evtest tells); None: any key of this device
        grab: bool = False  # nobody else gets its keys: a pedal that types letters does not type them anywhere

    def __init__(self, options: EvdevButton.Options, clock: Clock) -> None:
        self._options = options
        self._device: InputDevice | None = None
        self._contact = KeyContact(frozenset(), list)
        self._coming: deque[Contact] = deque()

    def open(self) -> str:
        self.close()
        path, key = self._options.device, self._options.key
        try:
            device = InputDevice(path, grab=self._options.grab)
        except OSError as error:
            raise _refused(error, path) from error
        try:
            keys = self._wanted(device)
        except DriverError:
            device.close()
            raise
        self._device, self._contact = device, KeyContact(keys, device.keys_down)
        return f"{'any key' if key is None else key} of {device.name} at {path}"

    def _wanted(self, device: InputDevice) -> frozenset[int]:
        there, key = sorted(device.keys), self._options.key
        if key is None and there:
            return device.keys
        code = CODES.get(key) if isinstance(key, str) else key
        if code not in there:
            known = ", ".join(key_name(one) for one in there[:_FEW]) + (", ..." if len(there) > _FEW else "")
            what = "no keys" if key is None else f"no key {key}"
            raise DeviceNotFound(f"{self._options.device} ({device.name}) has {what}; it has: {known or 'none'}")
        return frozenset({code})

    def close(self) -> None:
        device, self._device = self._device, None
        self._coming.clear()
        if device is not None:
            device.close()

    def wait(self, timeout_s: float) -> Contact | None:
        if self._device is None:
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


def input_devices() -> list[str]:
    """All that have a name that stays."""
    return sorted(str(path) for path in Path("/dev/input/by-id").glob("*-event-*"))


def _refused(error: OSError, path: Path) -> DriverError:
    if error.errno == errno.EBUSY:
        return DeviceInUse(f"{path} is grabbed by another program")
    if error.errno in (errno.EACCES, errno.EPERM):
        return DeviceNotFound(f"{path} may not be read by this user: it is for the group that owns it (ls -l)")
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return DeviceNotFound(f"there is no input device {path}; there are: {', '.join(input_devices()) or 'none'}")
    return DeviceNotFound(f"{path} is no input device: {error.strerror}")
