"""|LoB| of 8-bit luma in exact integers: compiled (lob.c), or else by OpenCV, to the same result."""

from __future__ import annotations

import ctypes

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers import native

_LIBRARY = native.load(__file__, "libaccelerators.so")
# The 3x3 binomial (1 2 1)/4 squared, followed by the 4-neighbour Laplacian, is separable into two passes: along an axis
# second difference and binomial make (1 0 -2 0 1) and (1 2 1), across it (1 2 1) is convolved with 1. Divided by
# nothing, the sum is 16 times the LoB and fits 16 bits.
_SECOND_DIFFERENCE = np.array([1, 0, -2, 0, 1], np.float32)
_BINOMIAL = np.array([1, 2, 1], np.float32)


def score(luma: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """(height, width) of luma to 16 times |LoB|, borders by REFLECT_101."""
    if _LIBRARY is None:
        return score_plainly(luma)
    luma = np.ascontiguousarray(luma)
    out = np.empty(luma.shape, np.uint16)
    height, width = luma.shape
    if _LIBRARY.lob(ctypes.c_void_p(luma.ctypes.data), height, width, ctypes.c_void_p(out.ctypes.data)):
        raise MemoryError
    return out


def score_plainly(luma: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """The same by OpenCV."""
    border = cv2.BORDER_REFLECT_101
    along = cv2.sepFilter2D(luma, cv2.CV_16S, _SECOND_DIFFERENCE, _BINOMIAL, borderType=border)
    across = cv2.sepFilter2D(luma, cv2.CV_16S, _BINOMIAL, _SECOND_DIFFERENCE, borderType=border)
    cv2.add(along, across, dst=along)
    return np.abs(along, out=along).view(np.uint16)
