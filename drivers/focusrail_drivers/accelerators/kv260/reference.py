"""What the overlay's two filters compute, to the bit: the one place that says what a score of the KV260 is.

A tile of luma I goes in as two planes, 255 - I and I. Both pass a 4-neighbour Laplacian and then a 3x3 binomial
that is shifted right. Filters give 0..255, so that the first keeps only what is positive of -L and of L, and the
score is the distance of the two planes: the binomial is linear, G*max(0, L) - G*max(0, -L) = G*L. All sums are
integers, so that a score is exact (16 |LoB| at shift 0) up to the floor of the shift and to saturation.
The order matters: a blurred image rounded to 8 bits has lost the weak differences that a Laplacian would find.

The filter's arithmetic is that of the Vitis Vision library's filter2D, which the overlay is made of
(vision/L1/include/imgproc/xf_custom_convolution.hpp): correlation, 32-bit sums, zeros outside, an arithmetic shift
without rounding, saturation to 8 bits.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers.base import ScoreScale

Plane = npt.NDArray[np.uint8]  # (height, width)
Score = npt.NDArray[np.uint16]  # (height, width)
Shift = int | Literal["bracket"]

LAPLACIAN: npt.NDArray[np.int16] = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.int16)
BINOMIAL: npt.NDArray[np.int16] = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.int16)
SHIFTS = range(5)  # of the binomial: 0 shows the weakest texture, 4 does not saturate in practice
BRACKET_SHIFTS = (0, 3)
HALO_PX = 2  # each filter spoils one row and column at a tile's edge with its zeros
MAX_VALUE = 255  # where a filter saturates
USUAL_SHIFT = 1  # what the pipeline begins with, and the self-test tries
LEAST_SURE_SHIFT = 2  # reaches |LoB| of 64 grey levels, which one pixel in a thousand of a contrasty picture exceeds
SUITABLE_SHIFTS: tuple[Shift, ...] = ("bracket", *SHIFTS[LEAST_SURE_SHIFT:])  # what suitable_shift chooses from
_HALF = (MAX_VALUE + 1) // 2
_PROBE_ROWS = 128  # at a time: of a large picture, whole planes would take more memory than fusing it
_EXACT_IN_FLOAT32 = 1 << 24


def filter2d(tile: npt.NDArray[np.uint8], kernel: npt.NDArray[np.int16], shift: int) -> npt.NDArray[np.uint8]:
    """One pass of the overlay's filter2d over an (height, width) plane, or over each of (height, width, planes).

    `kernel` is (3, 3) int16, row by row as it lies in the registers; `shift` is 0..31. Returns the tile's shape.
    """
    if kernel.shape != (3, 3):
        raise ValueError(f"filter2d has 3x3 coefficients, not {kernel.shape}")
    if not 0 <= shift <= 31:
        raise ValueError(f"filter2d shifts by 0 to 31, not by {shift}")
    # Floating point is only the fast way to the integers: below 2**24 (2**53) every partial sum is exact.
    largest_sum = MAX_VALUE * int(np.abs(kernel.astype(np.int32)).sum())
    depth = cv2.CV_32F if largest_sum < _EXACT_IN_FLOAT32 else cv2.CV_64F
    weights = kernel.astype(np.float32 if depth == cv2.CV_32F else np.float64)
    sums = cv2.filter2D(tile, depth, weights, borderType=cv2.BORDER_CONSTANT).reshape(tile.shape)
    return np.clip(sums.astype(np.int32) >> shift, 0, MAX_VALUE).astype(np.uint8)


def graph(frame: npt.NDArray[np.uint8], shift: int) -> npt.NDArray[np.uint8]:
    """What comes back for a frame (height, width, planes) sent through both filters, each plane for itself."""
    return filter2d(filter2d(frame, LAPLACIAN, 0), BINOMIAL, shift)


def planes(tile: Plane, shift: int) -> tuple[Plane, Plane]:
    """(of 255 - I, of I) as they come back for a tile of luma I, the spoilt halo included."""
    return graph(~tile, shift), graph(tile, shift)


def distance(negative: Plane, positive: Plane) -> Score:
    """The score from the two planes that came back."""
    return cv2.absdiff(negative, positive).reshape(negative.shape).astype(np.uint16)


def join(fine: tuple[Plane, Plane], coarse: tuple[Plane, Plane]) -> Score:
    """One score from the planes at both shifts of a bracket: where one of the fine ones is full, the coarse."""
    step = BRACKET_SHIFTS[1] - BRACKET_SHIFTS[0]
    full = np.maximum(*fine) == MAX_VALUE
    return np.where(full, distance(*coarse) << step, distance(*fine)).astype(np.uint16)


def tile_score(tile: Plane, shift: Shift) -> Score:
    """The score of a tile as it comes back: its outer HALO_PX rows and columns are the zero border's."""
    if isinstance(shift, int):
        return distance(*planes(tile, shift))
    fine, coarse = (planes(tile, each) for each in BRACKET_SHIFTS)
    return join(fine, coarse)


def score(luma: Plane, shift: Shift) -> Score:
    """The score of a whole picture (height, width), with borders by REFLECT_101: what an accelerator measures."""
    padded = cv2.copyMakeBorder(luma, HALO_PX, HALO_PX, HALO_PX, HALO_PX, cv2.BORDER_REFLECT_101)
    return tile_score(padded, shift)[HALO_PX:-HALO_PX, HALO_PX:-HALO_PX]


def score_scale(shift: Shift, tile: tuple[int, int] | None = None) -> ScoreScale:
    """How scores at this shift are to be read; `tile` is the (height, width) that the hardware wants."""
    fine = shift if isinstance(shift, int) else BRACKET_SHIFTS[0]
    saturation = MAX_VALUE if isinstance(shift, int) else MAX_VALUE << (BRACKET_SHIFTS[1] - BRACKET_SHIFTS[0])
    return ScoreScale(scale=16.0 / (1 << fine), saturation=saturation, halo_px=HALO_PX, tile=tile)


def suitable_shift(luma: Plane) -> Shift:
    """What to measure a stack with, by a probe (height, width): 2 to 4 where one pass will do, else the bracket.

    The finest shift at which 99.9 % of the probe's pixels stay in the lower half of the range; the other half is for
    frames that are sharper than the probe. A probe that a finer one than 2 would suit may be of something faint, where
    coarse scores cost up to 1.3 dB, or of something out of focus, where saturated ones cost 3 dB once it is sharp. The
    bracket costs nothing in either, but a second pass. (Measured: benchmarks/README.md.)
    """
    reached = np.zeros(len(SHIFTS), np.int64)
    for top in range(0, luma.shape[0], _PROBE_ROWS):
        part = luma[top : top + _PROBE_ROWS]
        signs = (filter2d(each, LAPLACIAN, 0) for each in (~part, part))
        sums = np.maximum(*(cv2.filter2D(each, cv2.CV_16S, BINOMIAL, borderType=cv2.BORDER_CONSTANT) for each in signs))
        reached += [np.count_nonzero(sums >= _HALF << shift) for shift in SHIFTS]
    shift = next((shift for shift in SHIFTS if reached[shift] <= luma.size // 1000), SHIFTS[-1])
    return shift if shift >= LEAST_SURE_SHIFT else "bracket"
