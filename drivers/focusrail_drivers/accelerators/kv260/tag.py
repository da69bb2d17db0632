"""The third plane of a frame carries a number, so that what comes back says which tile it was and how it was filtered.

A few bright pixels in the plane's first and last rows stand for the bits. They pass the same two filters as the
picture. What they must look like then is known from the reference, and depends on the number, both kernels and the
shift: a frame that is stale, torn, or was filtered with the values of before is told by its third plane.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260 import reference

NUMBERS = 1 << 16
_STRIP_PX = 8
_PITCH_PX = 4  # each pixel's answer is 5 px wide
_PER_ROW = 8


def write(number: int, frame: npt.NDArray[np.uint8]) -> None:
    """Put `number` (0 to 65535) at the top and its complement at the bottom of a frame (height, width, 3)."""
    top, bottom = _strips(number, frame.shape[1])
    frame[:_STRIP_PX, :, 2], frame[-_STRIP_PX:, :, 2] = top, bottom


def is_answer(frame: npt.NDArray[np.uint8], number: int, shift: int) -> bool:
    """Whether a frame that came back is the one with this number, filtered with this shift, from first to last row."""
    # Beyond the bits and what they spread to, the plane is black before and after.
    columns = min(frame.shape[1], _PITCH_PX * _PER_ROW + 2 * reference.HALO_PX)
    top, bottom = _strips(number, columns)
    gap = np.zeros((2 * reference.HALO_PX, columns), np.uint8)
    answer = reference.graph(np.concatenate([top, gap, bottom]), shift)
    came = frame[:_STRIP_PX, :, 2], frame[-_STRIP_PX:, :, 2]
    bits = all(
        np.array_equal(strip[:, :columns], wanted)
        for strip, wanted in zip(came, (answer[:_STRIP_PX], answer[-_STRIP_PX:]), strict=True)
    )
    return bits and not any(strip[:, columns:].any() for strip in came)


def _strips(number: int, width_px: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    bits = (number >> np.arange(16) & 1).astype(bool).reshape(2, _PER_ROW)
    strips = []
    for each in (bits, ~bits):
        strip = np.zeros((_STRIP_PX, width_px), np.uint8)
        first = _PITCH_PX // 2
        strip[first::_PITCH_PX, first : _PITCH_PX * _PER_ROW : _PITCH_PX] = np.where(each, 255, 0)
        strips.append(strip)
    return strips[0], strips[1]
