"""Exposure normalisation: a gain for each channel of a frame, against lamps that flicker in brightness and colour."""

from __future__ import annotations

import cv2
import numpy as np

from focusrail.stacking.arrays import Gain, Image, Plane, Transform
from focusrail.stacking.kernels import UNCHANGED

# Black pixels (a dark ground, an unexposed border) say nothing about exposure, clipped ones lie about it.
_DARKEST, _BRIGHTEST = 4, 250
_LEAST_SHARE = 0.02  # of the pixels that must be usable
_ENOUGH_SHARE = 0.1  # with fewer, a channel is the less believed, and the luma's gain the more
_LARGEST_GAIN = 4.0
_AROUND_PX, _APART = 9, 16.0  # contrasts that differ by so many squared grey levels make a pixel count half
_COARSE_PX = 256  # exposure needs no more than about this many pixels along the longer side
# Outside a frame: so far below black that even a little of it, mixed in at the frame's edge, is not usable.
_NOWHERE = (-1e6, -1e6, -1e6)
_LUMA = np.array((0.114, 0.587, 0.299))  # Rec. 601: of blue, green, red


class ExposureReference:
    """The reference frame's brightness and colour, against which every frame's gain is found."""

    def __init__(self, reference: Image) -> None:
        """`reference` (height, width, 3), 8 or 16 bits; so are all frames."""
        height, width = reference.shape[:2]
        self._squares = max(1, round(max(height, width) / _COARSE_PX))
        self._size = (max(1, width // self._squares), max(1, height // self._squares))
        fx, fy = (min(self._squares, side) for side in (width, height))
        # Coarse pixels to full-size pixels.
        self._to_full = np.array([[fx, 0, (fx - 1) / 2], [0, fy, (fy - 1) / 2], [0, 0, 1]], np.float64)
        self._reference = self._reduced(reference)

    def gain(self, frame: Image, transform: Transform) -> Gain:
        """What to multiply a frame's channels with, so that it looks like the reference where both can be compared."""
        to_reference = np.linalg.inv(self._to_full) @ transform @ self._to_full
        moved = cv2.warpPerspective(self._reduced(frame), to_reference, self._size, borderValue=_NOWHERE)
        moved = moved.reshape(self._reference.shape)
        luma, moved_luma = (cv2.transform(picture, _LUMA[None]) for picture in (self._reference, moved))
        alike = _alike(luma, np.where(moved_luma < 0, luma, moved_luma))
        share, ratio = _compared(luma, moved_luma, alike)
        if share < _LEAST_SHARE:
            return UNCHANGED
        gains = []
        for channel in range(3):
            seen, own = _compared(self._reference[..., channel], moved[..., channel], alike)
            belief = min(1.0, max(0.0, (seen - _LEAST_SHARE) / (_ENOUGH_SHARE - _LEAST_SHARE)))
            gains.append(float(np.clip(ratio + belief * (own - ratio), 1 / _LARGEST_GAIN, _LARGEST_GAIN)))
        return gains[0], gains[1], gains[2]

    def _reduced(self, frame: Image) -> Plane:
        """Means of whole squares, 0..255: (height, width, 3) float32."""
        width, height = self._size
        whole = frame[: height * self._squares, : width * self._squares]
        # Whole squares: by any other factor OpenCV takes four times as long.
        small = cv2.resize(whole, self._size, interpolation=cv2.INTER_AREA).astype(np.float32)
        return small.reshape(height, width, 3) * np.float32(255 / np.iinfo(frame.dtype).max)


def luma_gain(gain: Gain) -> float:
    """By how much a gain changes the brightness of grey."""
    return float(np.dot(gain, _LUMA))


def _alike(reference: Plane, moved: Plane) -> Plane:
    """How much a pixel counts: most where defocus has changed the contrast around it the least.

    Defocus keeps the sum of light, not that of what a camera makes of it by its curve.
    """
    apart = (_contrast(reference) - _contrast(moved)) * np.float32(1 / _APART)
    return 1 / (1 + apart * apart)


def _contrast(luma: Plane) -> Plane:
    """Variance around each pixel, in squared grey levels."""
    size = (_AROUND_PX, _AROUND_PX)
    mean = cv2.blur(luma, size)
    return np.asarray(cv2.blur(luma * luma, size) - mean * mean)


def _compared(reference: Plane, moved: Plane, weight: Plane) -> tuple[float, float]:
    """The share of pixels that are neither black nor clipped in either, and how much brighter the reference is there.

    Defocus moves light about and keeps its sum: a ratio of sums is right where a ratio of pixels is not.
    """
    usable = (np.minimum(moved, reference) > _DARKEST) & (np.maximum(moved, reference) < _BRIGHTEST)
    share = np.count_nonzero(usable) / usable.size
    if share == 0:
        return 0.0, 1.0
    counted = np.where(usable, weight, 0)
    return share, float((reference * counted).sum(dtype=np.float64) / (moved * counted).sum(dtype=np.float64))
