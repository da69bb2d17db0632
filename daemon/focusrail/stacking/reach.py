"""Does a stack reach far enough? Where not, something is still getting sharper at its first or last frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from focusrail.stacking.arrays import Plane
from focusrail.stacking.depth_map import overshoot
from focusrail.stacking.focus_peak import FocusPeaks
from focusrail.stacking.kernels import decode

# On simulated stacks that are deep enough the share is 0.00 % in every ninth of the picture, whatever its noise and
# background; where they are cut off half a millimetre into the subject it is above 14 % in one of them.
_SHARE = 0.015  # of the sure pixels of a ninth
_LEAST_SURE = 0.01  # of the pixels of a ninth, or a few specks would speak for it
_STRONG = 30.0  # times the noise: what is sure
_LOCAL = 0.5  # of the largest energy within two pixels: dimmer is the halo of something bright
_BEYOND_STEPS = 0.25  # by so many steps of the rail a peak lies outside; less is the uncertainty of one at the end
_MANY_PX = 1_000_000  # of half-size planes: of larger ones every second row and column tells enough


@dataclass(frozen=True, slots=True)
class Unreached:
    """What is sharpest beyond one end of the stack."""

    number: int  # of the frame at that end, counted as they were folded in
    share: float  # of all sure pixels
    ninths: tuple[tuple[int, int], ...]  # (row, column) of 3 x 3, where it is; most of it first


def unreached(
    peaks: FocusPeaks, positions: Sequence[float], *, noise: float, crop: tuple[int, int, int, int]
) -> list[Unreached]:
    """What lies before the lowest and beyond the highest position, within `crop` (x, y, width, height).

    What has no detail, and what is so far outside that it hardly gets sharper from frame to frame, does not count: a
    background that is not meant to be in focus.
    """
    x, y, width, height = crop
    seen = peaks.window(slice(y // 2, (y + height + 1) // 2), slice(x // 2, (x + width + 1) // 2))
    energy = decode(seen.best)
    step = 2 if energy.size > _MANY_PX else 1
    some = (slice(None, None, step), slice(None, None, step))
    sure = (energy > _STRONG * noise) & (energy >= _LOCAL * cv2.dilate(energy, np.ones((5, 5), np.uint8)))
    ends = (int(np.argmin(positions)), int(np.argmax(positions)))
    found = []
    for number, over in zip(ends, overshoot(seen.window(*some), positions, noise=noise), strict=True):
        outside = sure[some] & (over > _BEYOND_STEPS)
        share = int(np.count_nonzero(outside)) / max(1, int(np.count_nonzero(sure[some])))
        if ninths := _ninths(outside, sure[some]):
            found.append(Unreached(number, share, ninths))
    return found


def _ninths(outside: Plane, sure: Plane) -> tuple[tuple[int, int], ...]:
    """The ninths in which much lies outside, most first."""
    counted = {}
    height, width = sure.shape
    for row in range(3):
        for column in range(3):
            rows = slice(row * height // 3, (row + 1) * height // 3)
            part = (rows, slice(column * width // 3, (column + 1) * width // 3))
            many, known = np.count_nonzero(outside[part]), np.count_nonzero(sure[part])
            if known > _LEAST_SURE * sure[part].size and many > _SHARE * known:
                counted[row, column] = many
    return tuple(sorted(counted, key=lambda ninth: -counted[ninth]))
