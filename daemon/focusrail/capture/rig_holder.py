"""Who holds the rig: one process at a time, for one operation or between operations, too."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from focusrail.capture.rig import Rig, open_rig
from focusrail.config.schema import Config
from focusrail.errors import ShootInUse
from focusrail.store.durable import make_folder
from focusrail_drivers.base import ConnectionLost, DeviceNotFound, RailStatus, Travel
from focusrail_drivers.clock import Clock


class RigHolder:
    """Opens the rig of a configuration where it is not kept open, and knows who else holds it."""

    def __init__(self, config: Config, clock: Clock) -> None:
        """Touches no device."""
        self._config, self._clock = config, clock
        self._lock_file = config.store.root / ".rig.lock"
        self.halted_by = signal.SIGINT  # what another process sends to this one, to halt what it does with the rig
        self._held = ExitStack()
        self._kept: Rig | None = None

    @contextmanager
    def open(self, *, with_camera: bool = True) -> Iterator[Rig]:
        """The rig, for one operation; the one that is kept, if one is. Raises DriverError, ShootInUse.

        A kept one is let go of when a device is lost meanwhile.
        """
        rig = self._kept
        if rig is None:
            with (
                only_owner(self._lock_file, self.halted_by),
                open_rig(self._config, self._clock, with_camera=with_camera) as rig,
            ):
                yield rig
            return
        try:
            yield rig
        except (ConnectionLost, DeviceNotFound):
            self.let_go()
            raise

    def keep(self) -> str:
        """Open the rig and keep it open; return what its devices call themselves. Raises DriverError, ShootInUse.

        All calls that use the rig must come from one thread then.
        """
        if self._kept is None:
            with ExitStack() as held:
                held.enter_context(only_owner(self._lock_file, self.halted_by))
                rig = held.enter_context(open_rig(self._config, self._clock))
                _ = rig.carriage.travel  # soft limits that leave nothing of it: to be told now
                self._kept, self._held = rig, held.pop_all()
        return self._kept.name

    def let_go(self) -> None:
        """Close the rig, if it is kept open."""
        self._kept = None
        self._held.close()

    @property
    def kept(self) -> Rig | None:
        """The rig, while it is kept open."""
        return self._kept

    def look(self) -> tuple[str, RailStatus | None, Travel | None]:
        """What the kept rig calls itself, where its rail is, and how far it may go. From any thread."""
        rig = self._kept
        return ("", None, None) if rig is None else (rig.name, rig.carriage.status(), rig.carriage.travel)

    def reach(self) -> tuple[Travel, float]:
        """The travel and the smallest step (mm) of the kept rig. Raises DeviceNotFound while it is not open."""
        rig = self._kept
        if rig is None:
            raise DeviceNotFound("the rig is not open")
        return rig.carriage.travel, rig.carriage.resolution_mm

    def halt_elsewhere(self) -> bool:
        """Halt the rail of the process that holds the rig, and what that does with it; False when none does."""
        return halt_owner(self._lock_file)

    def held_elsewhere(self) -> int | None:
        """The process that holds the rig, as far as it is for us to see."""
        return holder(self._lock_file)


@contextmanager
def only_owner(lock_file: Path, halted_by: signal.Signals = signal.SIGINT) -> Iterator[None]:
    """Be the only process that drives the rig; ends with the process, whatever ends it. Raises ShootInUse.

    Whoever wants this process to halt sends it `halted_by`.
    """
    make_folder(lock_file.parent)
    with lock_file.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ShootInUse("another focusrail process holds the rig; wait for it to end, or stop it") from None
        file.truncate(0)
        file.write(f"{os.getpid()} {halted_by.name}")
        file.flush()
        yield


def holder(lock_file: Path) -> int | None:
    """The process that holds the rig; None: nobody does, or it is not for us to see."""
    with suppress(OSError):
        owner = _owner(lock_file)
        return None if owner is None else owner[0]
    return None


def halt_owner(lock_file: Path) -> bool:
    """Halt the rail of the process that holds the rig, and what that does with it; False when none does."""
    try:
        owner = _owner(lock_file)
        if owner is None or owner[0] == os.getpid():  # whose own halting is quicker
            return False
        os.kill(*owner)
        return True
    except (FileNotFoundError, ProcessLookupError):
        return False
    except PermissionError as error:
        raise ShootInUse(
            f"another user's focusrail process holds the rig ({lock_file}): stop it as that user, or as root"
        ) from error


def _owner(lock_file: Path) -> tuple[int, signal.Signals] | None:
    with lock_file.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            with suppress(ValueError, KeyError):
                pid, _, name = file.read().partition(" ")
                return int(pid), signal.Signals[name or "SIGINT"]  # an older version has not said
    return None
