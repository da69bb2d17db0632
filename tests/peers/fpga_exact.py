"""The FPGA's service with the processor in the FPGA's place, and in a mood. Run as a script: SOCKET MOOD."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.accelerators.kv260.exact import Kv260Exact
from focusrail_drivers.accelerators.kv260.options import ShiftSetting
from focusrail_drivers.base import AcceleratorLost, DeviceNotFound, DriverError
from focusrail_drivers.clock import Clock
from focusrail_drivers.fpga_service.ownership import sole_owner
from focusrail_drivers.fpga_service.service import serve_device

SLOW_S = 0.2
BAD = 13  # a picture that begins with this brings the mood out
LONG_SHIFT, LONG_SHIFT_S = 4, 1.6  # in the mood "long", settling this one takes so long: longer than a session waits


class Moody(Kv260Exact):
    """Computes what the KV260 computes. Is opened and closed as a device is."""

    def __init__(self, mood: str, clock: Clock) -> None:
        self._mood, self._wait_by, self._opened = mood, clock, 0
        super().__init__()

    @property
    def shift(self) -> reference.Shift:
        return self._shift

    @shift.setter
    def shift(self, shift: reference.Shift) -> None:
        if self._mood == "long" and shift == LONG_SHIFT:
            self._wait_by.wait(LONG_SHIFT_S)
        self._shift = shift

    def open(self) -> str:
        self._opened += 1
        if self._mood == "absent":
            raise DeviceNotFound("there is no board at all")
        if self._mood == "lost for good" and self._opened > 1:
            raise DeviceNotFound("the board has left")
        return f"the processor, opened {self._opened} times"

    def close(self) -> None:
        Path(sys.argv[1]).with_name("rested").touch()

    def check_setting(self, shift: ShiftSetting) -> None:
        if self._mood == "choosy" and shift not in {1, LONG_SHIFT}:
            raise DriverError(f"shift {shift} cannot be used: choose another")

    def measure(self, luma_tile: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
        if self._mood == "slow":
            self._wait_by.wait(SLOW_S)
        if luma_tile[0, 0] == BAD:
            self._misbehave()
        return super().measure(luma_tile)

    def _misbehave(self) -> None:
        if self._mood == "deadly":
            os._exit(3)
        if self._mood == "stuck":
            time.sleep(600)  # by no clock of ours, as a download does
        if self._mood == "long":
            for _ in range(40):
                self._wait_by.wait(0.1)
        if self._mood.startswith("lost"):
            raise AcceleratorLost("the pipeline failed 4 times in a row")
        if self._mood == "buggy":
            raise ZeroDivisionError("a bug")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    at = Path(sys.argv[1])
    with sole_owner(at):
        serve_device(lambda clock: Moody(sys.argv[2], clock), at, stuck_after_s=2.0, reopen_after_s=2.0)
