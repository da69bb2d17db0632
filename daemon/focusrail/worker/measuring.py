"""What measures focus in one stack: the accelerator that the configuration names, and what takes its place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from focusrail.config.schema import options_type
from focusrail.errors import AcceleratorFailed
from focusrail.model.acceleration import Acceleration
from focusrail_drivers import registry
from focusrail_drivers.accelerators.cpu import CpuAccelerator
from focusrail_drivers.base import Accelerator, AdaptsToPicture, DriverError, HasDouble, OnDevice, ScoreScale
from focusrail_drivers.clock import SystemClock


class Measuring:
    """An accelerator that goes on when the one behind it is lost: its double gives the same scores. From any thread."""

    def __init__(self, wanted: Acceleration, *, tell: Callable[[str, str], None]) -> None:
        """Open it. `tell` is called with what measures from then on, and why it is not what was wanted, or nothing.

        Raises AcceleratorFailed.
        """
        self._wanted, self._tell = wanted, tell
        self._lock = threading.Lock()
        self._settled = False  # how scores are to be read
        self._choice = ""
        self.lost = ""  # why the accelerator measures no longer
        self._device = ""
        self._accelerator: Accelerator = CpuAccelerator()
        try:
            accelerator: Any = registry.load("accelerators", wanted.driver)
            options: Any = TypeAdapter(options_type("accelerators", wanted.driver)).validate_python(wanted.options)
            self._accelerator = accelerator(options, SystemClock())
            if isinstance(self._accelerator, OnDevice):
                self._device = self._accelerator.open()
        except DriverError as error:
            self._give_up(error)
        else:
            tell(self.by, "")

    @property
    def by(self) -> str:
        """What measures, in words: the driver, its setting, its device."""
        driver = f"{self._wanted.driver}, by its double on the processor" if self.lost else self._wanted.driver
        measure = ", ".join(filter(None, (driver, self._choice)))
        return measure if self.lost or not self._device else f"{measure}: {self._device}"

    def probe(self, luma_tile: npt.NDArray[np.uint8]) -> str:
        """As AdaptsToPicture, where the accelerator adapts; else nothing."""
        if isinstance(self._accelerator, AdaptsToPicture):
            self._choice = self._accelerator.probe(luma_tile)
        return self._choice

    def configure(self) -> ScoreScale:
        self._settled = True
        return self._accelerator.configure()

    def measure(self, luma_tile: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
        """As Accelerator. Raises AcceleratorFailed."""
        accelerator = self._accelerator
        try:
            return accelerator.measure(luma_tile)
        except DriverError as error:
            with self._lock:
                if self._accelerator is accelerator:  # else another thread has seen it before
                    self._give_up(error)
        return self._accelerator.measure(luma_tile)

    def close(self) -> None:
        """Let go of the device. Never raises; closing twice is fine."""
        if isinstance(self._accelerator, OnDevice):
            self._accelerator.close()

    def _give_up(self, error: DriverError) -> None:
        lost = self._accelerator
        double = lost.double() if isinstance(lost, HasDouble) else None
        if not self._wanted.may_fall_back:
            raise AcceleratorFailed(
                f"{error}; the originals are safe, and with accelerator.fallback: cpu they can be stacked without it"
            ) from error
        if double is None and self._settled:
            raise AcceleratorFailed(
                f"{error}; what it has measured cannot be gone on with by other means: stack the shoot again"
            ) from error
        self._accelerator = double if double is not None else CpuAccelerator()
        self.lost = str(error)
        if isinstance(lost, OnDevice):
            lost.close()
        self._tell(self.by, self.lost)
