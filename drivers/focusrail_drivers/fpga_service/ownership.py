"""One FPGA, one owner: a lock beside the service's socket, held by whatever process drives the FPGA itself."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from focusrail_drivers.base import DeviceInUse, DriverError


@contextmanager
def sole_owner(socket: Path) -> Iterator[None]:
    """Be the FPGA's owner meanwhile: the service, or a self-test in its place. The kernel frees what a kill leaves.

    `socket` is the service's, whether it is there or not. Raises DeviceInUse, with the number of the other process.
    """
    lock = socket.with_name(f"{socket.name}.lock")
    try:
        lock.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = _locked(lock)
    except PermissionError as error:
        raise DriverError(f"{lock} is root's, as the FPGA is ({error}); run this as root") from error
    except OSError as error:
        raise DriverError(f"{lock} cannot be locked: {error}") from error
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(descriptor)  # the file stays: who removes one that somebody waits for makes two owners


def _locked(lock: Path) -> int:
    while True:
        # Not even readable by others: whoever can open it can lock it.
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), lock.stat()):
                    return descriptor
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise DeviceInUse(
                f"the FPGA is owned by process {owner}; if that is the service: systemctl stop focusrail-fpga"
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # it was removed meanwhile, by hand
