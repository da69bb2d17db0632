"""The FPGA's service with an emulated board, in threads of the test's own process: the test may change the scene."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.accelerators.kv260.remote import RemoteKv260
from focusrail_drivers.base import Photograph
from focusrail_drivers.clock import SystemClock
from focusrail_drivers.fpga_service import scores
from focusrail_drivers.fpga_service.camera import CameraDesk
from focusrail_drivers.fpga_service.fpga import Fpga
from focusrail_drivers.fpga_service.server import Server
from focusrail_drivers.fpga_service.service import ServedKv260
from focusrail_drivers.kv260_mipi.camera import Kv260MipiCamera

_START_S = 20.0


@dataclass(frozen=True)
class Served:
    """A service, and the emulated board that it owns."""

    board: Any
    socket: Path

    def camera(self, **options: Any) -> Kv260MipiCamera:
        """A client of its camera, unopened."""
        given = {"mode": "1280x720@60", "socket": self.socket, "timeout_s": 2.0, "patience_s": 5.0, **options}
        return Kv260MipiCamera(Kv260MipiCamera.Options(**given), SystemClock())

    def accelerator(self) -> RemoteKv260:
        """A client of its focus measure, open."""
        made = RemoteKv260(RemoteKv260.Options(socket=self.socket, shift=1))
        made.open()
        return made


@contextmanager
def serving(folder: Path, *, tile_height_px: int = 64, tile_width_px: int = 96) -> Iterator[Served]:
    """A service with a socket in `folder`. For who has pynq."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pynq's own, on a machine that is no board
        from focusrail_drivers.accelerators.kv260_emulator import device

        board = device.install().board
        overlay = str(device.overlay_files(folder / "overlay"))
    options = Kv260Accelerator.Options(
        overlay=overlay, tile_height_px=tile_height_px, tile_width_px=tile_width_px, shift=1, frame_timeout_s=0.2
    )
    socket, stop = folder / "socket", threading.Event()
    fpga = Fpga(lambda clock: ServedKv260(options, clock), reopen_after_s=0.0)
    server = Server(socket, fpga, {**scores.HANDLERS, **CameraDesk().handlers})
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    deadline_s = time.monotonic() + _START_S
    while not socket.exists() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    try:
        yield Served(board, socket)
    finally:
        stop.set()
        thread.join()


def decoded(photograph: Photograph) -> npt.NDArray[np.uint8]:
    """A delivered picture as (height, width, 3) BGR."""
    assert photograph.media_type == "image/png"
    picture = cv2.imdecode(np.frombuffer(photograph.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None and picture.dtype == np.uint8
    return np.asarray(picture, np.uint8)
