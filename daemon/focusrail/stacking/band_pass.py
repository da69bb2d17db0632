"""What two frames are compared by: a band of middle frequencies, its contrast made even, at several sizes.

Neither exposure nor the slow change of sharpness across the picture is left in it to be mistaken for movement.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.stacking.arrays import Luma, Plane, Transform

Values = npt.NDArray[np.float64]

_BAND_SIGMAS = (1.0, 2.5)  # px: below the first noise and aliasing, above the second blurred background
_STRENGTH_PX = 17  # twice a box of this: the neighbourhood within which contrast is made equal
NOISE_PERCENTILE, NOISE_FACTOR, LEAST_NOISE = 10, 2.0, 0.02
CELL_PX = 2  # strength is kept at this reduction
_LEAST_LEVEL_PX = 48  # the coarsest level's shorter side is at least this
TEXTURED = 0.5  # mean square of the normalised band: above, there is more than noise
BLOCK_PX = 8
GROUP = 2  # blocks a side that vote together on whether two pictures agree
_LEVELS = 4


@dataclass(frozen=True, slots=True)
class Level:
    """One frame at one size."""

    band: Plane  # (height, width) float32, about unit variance where there is texture
    strength: Plane  # (height / 2, width / 2) float32, squared grey levels


def pyramid(luma: Luma) -> tuple[Level, ...]:
    """A frame's levels, finest first; none when it is smaller than 48 pixels."""
    levels: list[Level] = []
    plane = luma.astype(np.float32)
    while min(plane.shape) >= _LEAST_LEVEL_PX and len(levels) < _LEVELS:
        levels.append(_level(plane))
        plane = cv2.resize(plane, (plane.shape[1] // 2, plane.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return tuple(levels)


def _level(plane: Plane) -> Level:
    fine, coarse = (cv2.GaussianBlur(plane, (0, 0), sigma) for sigma in _BAND_SIGMAS)
    band = np.subtract(fine, coarse, out=fine)
    square = np.multiply(band, band, out=coarse)
    height, width = square.shape
    strength = cv2.resize(square, (width // CELL_PX, height // CELL_PX), interpolation=cv2.INTER_AREA)
    box = (_STRENGTH_PX, _STRENGTH_PX)
    mean = cv2.boxFilter(cv2.boxFilter(square, -1, box), -1, box)
    noise = float(np.percentile(mean[::4, ::4], NOISE_PERCENTILE))
    mean += max(NOISE_FACTOR * noise, LEAST_NOISE)
    band /= cv2.sqrt(mean)
    return Level(band, strength)


def textured(levels: tuple[Level, ...]) -> int:
    """How many groups of blocks of a frame show more than noise."""
    if not levels:
        return 0
    return int(np.count_nonzero(means(levels[0].band ** 2, BLOCK_PX * GROUP) > TEXTURED))


def scaling(level: int) -> Transform:
    """From a level's pixels to the finest one's."""
    factor = 2.0**level
    offset = (factor - 1) / 2
    return np.array([[factor, 0, offset], [0, factor, offset], [0, 0, 1]])


def means(plane: Plane, size: int) -> Values:
    """Means over whole squares, (rows, columns) float64."""
    rows, columns = plane.shape[0] // size, plane.shape[1] // size
    if rows == 0 or columns == 0:
        return np.zeros((0, 0))
    whole = plane[: rows * size, : columns * size]
    return cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float64)


def shift_between(frame: tuple[Level, ...], target: tuple[Level, ...]) -> Transform:
    """A first guess by phase correlation on the coarsest level (Kuglin and Hines 1975)."""
    a, b = frame[-1].band.copy(), target[-1].band.copy()  # OpenCV applies the window to its arguments themselves
    window = cv2.createHanningWindow(a.shape[::-1], cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(a, b, window)
    shift = np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)
    to_finest = scaling(len(frame) - 1)
    return to_finest @ shift @ np.linalg.inv(to_finest)
