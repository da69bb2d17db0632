"""What the simulated camera shows while it is only looked through: its frame in fewer pixels, made quickly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers.base import CaptureFailed
from focusrail_drivers.simulation.darkroom import stage_options
from focusrail_drivers.simulation.moment import Moment
from focusrail_drivers.simulation.noise import Sensor
from focusrail_drivers.simulation.stage import stage_for

if TYPE_CHECKING:
    from focusrail_drivers.cameras.simulated import SimulatedCamera

JPEG_QUALITY = 85
# Noise is keyed by the number of the picture: those of the frames, which begin with 0, are not to be seen here.
FIRST_PREVIEW = 1 << 31
STILL_MM = 0.001  # movement that no preview shows


class Viewfinder:
    """One camera's live view. Making one paints the scene in its size: more than half a second for 800 px.

    What does not change is kept: while the carriage stands, only noise is new from picture to picture.
    """

    def __init__(self, options: SimulatedCamera.Options, *, width_px: int) -> None:
        """`width_px` is the largest width; a smaller frame is shown as it is."""
        self._options = options
        binned = max(1.0, options.width_px / width_px)
        size_px = (round(options.width_px / binned), round(options.height_px / binned))
        self._stage = stage_for(replace(stage_options(options), width_px=size_px[0], height_px=size_px[1]))
        self._sensor = Sensor(  # a pixel has the light of several, and the noise of reading each
            options.seed, options.full_well_electrons * binned**2, options.read_noise_electrons * binned,
            options.flicker, options.colour_flicker,
        )  # fmt: skip
        self._seen_from: Moment | None = None
        self._seen: npt.NDArray[np.floating[Any]] | None = None

    def picture(self, moment: Moment, number: int, *, exposure_s: float, iso: float) -> bytes:
        """A JPEG of the scene from where the carriage stands; `number` counts them from 0. Raises CaptureFailed."""
        x_mm, y_mm = moment.lateral_mm
        place = Moment(_rounded(moment.position_mm), (_rounded(x_mm), _rounded(y_mm)))
        if self._seen is None or place != self._seen_from:
            self._seen, self._seen_from = self._stage.frame([place], 0), place
        light = exposure_s / self._options.exposure_s
        counts = self._sensor.counts(self._seen.copy(), FIRST_PREVIEW + number, bits=8, light=light, gain=iso / 100)
        done, jpeg = cv2.imencode(".jpg", counts, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not done:
            raise CaptureFailed(f"OpenCV could not encode a preview of {counts.shape}")
        return jpeg.tobytes()


def _rounded(length_mm: float) -> float:
    return round(length_mm / STILL_MM) * STILL_MM
