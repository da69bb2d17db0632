"""Focus peaks: what an accumulator has to keep of each pixel's sharpness over position, so that depth can be found.

The energy of the sharpest frame, of the frames just before and after it, and which one it was: enough for a parabola
through three points, whatever the number of frames. All at half the canvas's size, since a focus measure looks at
several pixels anyway, and as 16-bit codes: 2.5 bytes for a full-size pixel in all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from focusrail.stacking.arrays import Luma, Plane
from focusrail_drivers.base import Accelerator, ScoreScale

_ENERGY_SIGMA_PX, _ENERGY_SIZE_PX = 1.0, 7  # of half-size pixels
_LEAST_NOISE = 1e-2  # squared grey levels; rounding to 8 bits alone makes this much
_NOISE_PERCENTILE = 20


def half_shape(height: int, width: int) -> tuple[int, int]:
    """The shape of half-size planes of a canvas of (height, width): pixel (y, x) covers rows 2y and 2y + 1."""
    return (height + 1) // 2, (width + 1) // 2


# Full-size rows around a tile that its energies depend on: halving 2, LoB and smoothing at half size (2 + 3) x 2.
PEAK_HALO_PX = 12


def energies(luma_tile: Luma, accelerator: Accelerator, scale: ScoreScale) -> tuple[Plane, Plane]:
    """Fine and coarse energy, half size, float32 in squared grey levels, from an 8-bit luma tile.

    Fine: LoB^2 of the full size, averaged over 2 x 2 pixels. Coarse: LoB^2 of the picture at half its size. Both then
    smoothed. The tile's first row must be an even row of the picture, so that every tile halves it alike.
    """
    height, width = half_shape(*luma_tile.shape)
    bottom, right = 2 * height - luma_tile.shape[0], 2 * width - luma_tile.shape[1]
    square = _square(luma_tile, accelerator, scale)
    if bottom or right:
        square = cv2.copyMakeBorder(square, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    fine = _smooth(cv2.resize(square, (width, height), interpolation=cv2.INTER_AREA))
    return fine, _smooth(_square(cv2.pyrDown(luma_tile), accelerator, scale))


def _square(grey: Luma, accelerator: Accelerator, scale: ScoreScale) -> Plane:
    score = accelerator.measure(grey).astype(np.float32)
    score *= 1 / scale.scale
    return cv2.multiply(score, score, dst=score)


def _smooth(square: Plane) -> Plane:
    return cv2.GaussianBlur(square, (_ENERGY_SIZE_PX, _ENERGY_SIZE_PX), _ENERGY_SIGMA_PX)


@dataclass(frozen=True, slots=True)
class Floor:
    """What noise alone makes of the fine and the coarse energy, squared grey levels; the same for a whole stack."""

    fine: float
    coarse: float

    @staticmethod
    def of(fine: Plane, coarse: Plane) -> Floor:
        """From energies of the first frame, or of parts of it."""
        low = [float(np.percentile(plane, _NOISE_PERCENTILE)) for plane in (fine, coarse)]
        return Floor(max(_LEAST_NOISE, low[0]), max(_LEAST_NOISE, low[1]))

    @property
    def noise(self) -> float:
        """The joint energy that noise alone makes."""
        return 2 * (self.fine * self.coarse) ** 0.5

    def joint(self, fine: Plane, coarse: Plane) -> Plane:
        """sqrt((fine + floor) (coarse + floor)): noise and texture behind a thin thing are loud at one scale only."""
        joint: Plane = (fine + np.float32(self.fine)) * (coarse + np.float32(self.coarse))
        return cv2.sqrt(joint, dst=joint)


def encode(energy: Plane) -> Plane:
    """uint16 codes of positive float32: its exponent and the upper 8 bits of its mantissa, so exact to 0.2 %.

    A larger energy never has a smaller code, so that codes can be compared as they are.
    """
    bits = np.ascontiguousarray(energy, np.float32).view(np.uint32)
    return ((bits + np.uint32(1 << 14)) >> np.uint32(15)).astype(np.uint16)


def decode(codes: Plane) -> Plane:
    """float32 energies of uint16 codes; 0 of 0."""
    bits: Plane = codes.astype(np.uint32)
    return np.left_shift(bits, np.uint32(15), out=bits).view(np.float32)


@dataclass(frozen=True, slots=True)
class FocusPeaks:
    """Half-size planes, (height, width) uint16. Empty before the first frame."""

    best: Plane  # code of the largest energy so far; of equals, the earliest
    before: Plane  # code of the energy of the frame folded just before that; 0: there was none
    after: Plane  # code of the energy of the frame folded just after that; 0: there is none yet
    rank: Plane  # how many frames were folded before the best one; frames left out do not count
    last: Plane = field(repr=False)  # code of the energy of the frame folded last

    @staticmethod
    def empty(height: int, width: int) -> FocusPeaks:
        """For half-size planes of (height, width)."""
        return FocusPeaks(*(np.zeros((height, width), np.uint16) for _ in range(5)))

    def add(self, codes: Plane, rank: int, rows: slice = slice(None)) -> None:
        """Fold in these half-size rows of the frame that `rank` frames were folded before; in place."""
        best, before, after, of, last = (p[rows] for p in (self.best, self.before, self.after, self.rank, self.last))
        won: Plane = codes > best
        if rank > 0:
            np.copyto(after, codes, where=~won & (of == rank - 1))
        np.copyto(before, last, where=won)
        np.copyto(after, np.uint16(0), where=won)
        np.copyto(best, codes, where=won)
        np.copyto(of, np.uint16(rank), where=won)
        np.copyto(last, codes)

    def window(self, rows: slice, columns: slice) -> FocusPeaks:
        """A part of the planes, without copying."""
        planes = (self.best, self.before, self.after, self.rank, self.last)
        return FocusPeaks(*(plane[rows, columns] for plane in planes))
