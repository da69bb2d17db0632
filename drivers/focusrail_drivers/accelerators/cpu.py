"""The focus measure on the processor, in exact integers: compiled (lob.c), or else by OpenCV, to the same result."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers import native
from focusrail_drivers.base import ScoreScale
from focusrail_drivers.clock import Clock

_LIBRARY = native.load(__file__, "libaccelerators.so")
# The 3x3 binomial (1 2 1)/4 squared, followed by the 4-neighbour Laplacian, is separable into two passes: along an axis
# second difference and binomial make (1 0 -2 0 1) and (1 2 1), across it (1 2 1) is convolved with 1. Divided by
# nothing, the sum is 16 times the LoB and fits 16 bits.
_SECOND_DIFFERENCE = np.array([1, 0, -2, 0, 1], np.float32)
_BINOMIAL = np.array([1, 2, 1], np.float32)


class CpuAccelerator:
    """|LoB| of 8-bit luma: 3x3 binomial, then the 4-neighbour Laplacian, times 16, exact."""

    @dataclass(frozen=True, slots=True)
    class Options:
        """Nothing can be set."""

        __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __init__(self, options: Options | None = None, clock: Clock | None = None) -> None:
        """There is nothing to keep."""

    def configure(self) -> ScoreScale:
        return ScoreScale(scale=16.0, saturation=16 * 255, halo_px=2, tile=None)

    def measure(self, luma_tile: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
        if _LIBRARY is None:
            return measure_plainly(luma_tile)
        luma = np.ascontiguousarray(luma_tile)
        score = np.empty(luma.shape, np.uint16)
        height, width = luma.shape
        if _LIBRARY.lob(ctypes.c_void_p(luma.ctypes.data), height, width, ctypes.c_void_p(score.ctypes.data)):
            raise MemoryError
        return score


def measure_plainly(luma_tile: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """The same by OpenCV."""
    border = cv2.BORDER_REFLECT_101
    along = cv2.sepFilter2D(luma_tile, cv2.CV_16S, _SECOND_DIFFERENCE, _BINOMIAL, borderType=border)
    across = cv2.sepFilter2D(luma_tile, cv2.CV_16S, _BINOMIAL, _SECOND_DIFFERENCE, borderType=border)
    cv2.add(along, across, dst=along)
    return np.abs(along, out=along).view(np.uint16)
