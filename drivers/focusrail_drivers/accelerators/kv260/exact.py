"""The KV260's scores from the processor: the same to the bit, so that it can take over in the middle of a shoot.

Compiled (exact.c), or else by OpenCV.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers import native
from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.accelerators.kv260.options import ShiftSetting, check_shift, in_words, settle_shift
from focusrail_drivers.base import ScoreScale
from focusrail_drivers.clock import Clock

_LIBRARY = native.load(__file__, "libkv260.so")
_Wide = npt.NDArray[np.int16]


class Kv260Exact:
    """reference.score, quicker: the Laplacian is computed once for both planes, in 16 bits, and without padding."""

    @dataclass(frozen=True, slots=True)
    class Options:
        """The arithmetic: `shift` is 0 (finest) to 4, bracket (0 and 3 joined), or auto: one of these by a probe."""

        __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

        shift: ShiftSetting = "auto"

        def __post_init__(self) -> None:
            check_shift(self.shift)

    def __init__(self, options: Options | None = None, clock: Clock | None = None) -> None:
        self._setting = (options or self.Options()).shift
        self.shift: reference.Shift = settle_shift(self._setting, None)

    def probe(self, luma_tile: npt.NDArray[np.uint8]) -> str:
        """Let `auto` choose the shift by this (height, width) of luma; before a shoot, for scores change with it."""
        self.shift = settle_shift(self._setting, luma_tile)
        return in_words(self.shift)

    @classmethod
    def settled(cls, setting: ShiftSetting, shift: reference.Shift) -> Kv260Exact:
        """One with this setting that is settled at this shift; a probe settles it anew."""
        made = cls(cls.Options(setting))
        made.shift = shift
        return made

    def configure(self) -> ScoreScale:
        return reference.score_scale(self.shift)

    def check_setting(self, shift: ShiftSetting) -> None:
        """As Kv260Accelerator; here all are exact."""

    def measure(self, luma_tile: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
        return score(luma_tile, self.shift)


def score(luma: npt.NDArray[np.uint8], shift: reference.Shift) -> npt.NDArray[np.uint16]:
    """As reference.score: (height, width) of luma to its scores, borders by REFLECT_101."""
    if _LIBRARY is None:
        return score_plainly(luma, shift)
    luma = np.ascontiguousarray(luma)
    out = np.empty(luma.shape, np.uint16)
    shifts = (shift, shift) if isinstance(shift, int) else reference.BRACKET_SHIFTS
    height, width = luma.shape
    if _LIBRARY.kv260_score(
        ctypes.c_void_p(luma.ctypes.data), height, width, *shifts, ctypes.c_void_p(out.ctypes.data)
    ):
        raise MemoryError
    return out


def score_plainly(luma: npt.NDArray[np.uint8], shift: reference.Shift) -> npt.NDArray[np.uint16]:
    """The same by OpenCV. Both kernels are symmetric: the Laplacian of a mirrored picture is the mirrored Laplacian."""
    laplacian = cv2.Laplacian(luma, cv2.CV_16S, ksize=1, borderType=cv2.BORDER_REFLECT_101)
    sums = _binomial(cv2.subtract(0, laplacian, dtype=cv2.CV_8U)), _binomial(cv2.add(laplacian, 0, dtype=cv2.CV_8U))
    if isinstance(shift, int):
        return _distance(*(_shifted(each, shift) for each in sums)).reshape(luma.shape)
    fine, coarse = ([_shifted(each, by) for each in sums] for by in reference.BRACKET_SHIFTS)
    joined = _distance(*coarse)
    joined <<= reference.BRACKET_SHIFTS[1] - reference.BRACKET_SHIFTS[0]
    np.copyto(joined, _distance(*fine), where=cv2.max(*fine) < reference.MAX_VALUE)
    return joined.reshape(luma.shape)


def _binomial(plane: npt.NDArray[np.uint8]) -> _Wide:
    weights = np.array([1, 2, 1], np.float32)
    return cv2.sepFilter2D(plane, cv2.CV_16S, weights, weights, borderType=cv2.BORDER_REFLECT_101)


def _shifted(sums: _Wide, shift: int) -> _Wide:
    return np.minimum(sums >> shift, reference.MAX_VALUE)


def _distance(negative: _Wide, positive: _Wide) -> npt.NDArray[np.uint16]:
    return cv2.absdiff(negative, positive).view(np.uint16)
