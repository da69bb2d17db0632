"""The whole service: `serve` owns the FPGA, opens it and serves until it is told to end."""

from __future__ import annotations

import importlib
import logging
import signal
import tempfile
import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.base import DeviceNotFound
from focusrail_drivers.clock import Clock
from focusrail_drivers.fpga_service import scores
from focusrail_drivers.fpga_service.camera import CameraDesk
from focusrail_drivers.fpga_service.fpga import REOPEN_AFTER_S, STUCK_AFTER_S, Device, Fpga
from focusrail_drivers.fpga_service.kept_memory import KeptMemory
from focusrail_drivers.fpga_service.ownership import sole_owner
from focusrail_drivers.fpga_service.server import Server
from focusrail_drivers.fpga_service.session import Handlers

SOCKET = Path("/run/focusrail-fpga/socket")


class ServedKv260(Kv260Accelerator):
    """Opened for whatever shifts the clients will say; each is told with `open` whether it can have its own."""

    def open(self) -> str:
        return self.load()


def serve(
    options: Kv260Accelerator.Options,
    socket: Path = SOCKET,
    *,
    device: str | None = None,
    handlers: Handlers | None = None,
) -> None:
    """Serve the KV260's focus measure at `socket` until SIGTERM or SIGINT; for the main thread.

    `options` say which overlay and how it is run; their shift is not used, for each client settles its own. `device`
    names a module that puts another board in pynq's place (`using_device`). Raises DriverError: DeviceInUse when
    another process owns the FPGA.
    """
    with ExitStack() as stack:
        stack.enter_context(sole_owner(socket))
        if device is not None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="focusrail-fpga-")))
            options = using_device(device, options, folder)
        serve_device(lambda clock: ServedKv260(options, clock), socket, handlers=handlers)


def serve_device(
    make: Callable[[Clock], Device],
    socket: Path,
    *,
    handlers: Handlers | None = None,
    stuck_after_s: float = STUCK_AFTER_S,
    reopen_after_s: float = REOPEN_AFTER_S,
) -> None:
    """Serve what `make` makes, which gets the clock that it must wait by. As `serve`, but nothing is locked.

    `handlers` answer requests; without any, those of the focus measure and the camera do.
    """
    logging.getLogger(__package__).setLevel(logging.INFO)  # who connects belongs into the journal
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        opened = KeptMemory().renew
        fpga = Fpga(make, opened=opened, stuck_after_s=stuck_after_s, reopen_after_s=reopen_after_s)
        Server(socket, fpga, handlers or _handlers()).run(stop)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handlers() -> Handlers:
    return {**scores.HANDLERS, **CameraDesk().handlers}


def using_device(module: str, options: Kv260Accelerator.Options, folder: Path) -> Kv260Accelerator.Options:
    """Let a module make its device pynq's active one, by its `install()`; return the options to use with it.

    If the overlay of `options` is no file, and the module has a function `overlay_files(folder)` that writes one, that
    one is taken. Raises DeviceNotFound.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pynq's own, on a machine that is no board
            found = importlib.import_module(module)
            found.install()
    except (ImportError, AttributeError, ValueError) as error:
        raise DeviceNotFound(f"{module} cannot stand in for a board: {error}") from error
    if Path(options.overlay).exists() or not hasattr(found, "overlay_files"):
        return options
    return replace(options, overlay=str(found.overlay_files(folder)))
