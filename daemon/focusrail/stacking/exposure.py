"""Exposure normalisation: one gain a frame against flicker of lamp, flash or shutter."""

from __future__ import annotations

import cv2
import numpy as np

from focusrail.stacking.arrays import Luma, Transform

# Black pixels (a dark ground, an unexposed border) say nothing about exposure, clipped ones lie about it.
_DARKEST, _BRIGHTEST = 4, 250
_LEAST_SHARE = 0.02  # of the pixels that must be usable
_LARGEST_GAIN = 4.0
_COARSE_PX = 256  # exposure needs no more than this many pixels along the longer side


class ExposureReference:
    """The reference frame's brightness, against which every frame's gain is found."""

    def __init__(self, reference8: Luma) -> None:
        height, width = reference8.shape
        self._factor = max(1.0, max(height, width) / _COARSE_PX)
        self._size = (max(1, round(width / self._factor)), max(1, round(height / self._factor)))
        # Full-size pixels to coarse pixels.
        fx, fy = self._size[0] / width, self._size[1] / height
        self._coarse = np.array([[fx, 0, (fx - 1) / 2], [0, fy, (fy - 1) / 2], [0, 0, 1]], np.float64)
        self._reference = self._reduce(reference8)

    def gain(self, luma8: Luma, transform: Transform) -> float:
        """What to multiply a frame with, so that it is as bright as the reference where both can be compared."""
        to_reference = self._coarse @ transform @ np.linalg.inv(self._coarse)
        moved = cv2.warpPerspective(self._reduce(luma8), to_reference, self._size, borderValue=0)
        usable = (np.minimum(moved, self._reference) > _DARKEST) & (np.maximum(moved, self._reference) < _BRIGHTEST)
        if np.count_nonzero(usable) < _LEAST_SHARE * usable.size:
            return 1.0
        # Defocus moves light about and keeps its sum: a ratio of sums is right where a ratio of pixels is not.
        gain = float(self._reference[usable].sum(dtype=np.float64) / moved[usable].sum(dtype=np.float64))
        return float(np.clip(gain, 1 / _LARGEST_GAIN, _LARGEST_GAIN))

    def _reduce(self, luma8: Luma) -> Luma:
        return cv2.resize(luma8, self._size, interpolation=cv2.INTER_AREA).astype(np.float32)
