"""A camera on the emulated board, by whichever pynq is installed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from focusrail_drivers.clock import VirtualClock


@dataclass
class Bench:
    """An accelerator's open board, its camera's stream, and a clock that jumps."""

    accelerator: Any
    stream: Any
    clock: VirtualClock
    emulated: Any  # the emulated board

    def picture(self, timeout_s: float = 2.0) -> npt.NDArray[np.uint8]:
        """The next frame, as whoever owns the board takes it."""
        capture = self.stream.begin(timeout_s)
        while not capture.step():
            self.clock.wait(0.001)
        return capture.frame().copy()


@pytest.fixture
def bench(tmp_path):
    """A camera at 1280x720, 60 frames a second, opened."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pynq's own, on a machine that is no board
        device = pytest.importorskip(
            "focusrail_drivers.accelerators.kv260_emulator.device", reason="needs pynq", exc_type=ImportError
        )
    from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
    from focusrail_drivers.kv260_mipi.modes import mode_of
    from focusrail_drivers.kv260_mipi.stream import MipiStream

    installed = device.install()
    clock = VirtualClock()
    options = Kv260Accelerator.Options(
        overlay=str(device.overlay_files(tmp_path)), tile_height_px=64, tile_width_px=96, frame_timeout_s=0.1, shift=1
    )
    accelerator = Kv260Accelerator(options, clock)
    accelerator.open()
    stream = MipiStream(accelerator.board, mode_of("1280x720@60"))
    made = Bench(accelerator, stream, clock, installed.board)
    yield made
    accelerator.close()
