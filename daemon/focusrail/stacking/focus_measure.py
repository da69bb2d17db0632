"""Focus measures: how sharp is each pixel? All are LoB, the Laplacian of the blurred image.

Two of them. `lob` takes any odd kernel sizes and gives |LoB| exactly. The energy behind the `soft` method squares the
scores of an accelerator (3x3 binomial, 4-neighbour Laplacian) and smooths them, so that it also runs in an FPGA.
Compared with thirty other focus measures in Pertuz, Puig, Garcia 2013, doi:10.1016/j.patcog.2012.11.011.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from focusrail.stacking import kernels
from focusrail.stacking.arrays import Image, Luma, Plane, Tile
from focusrail_drivers.base import Accelerator, ScoreScale

# The energy's smoothing: a Gaussian of one pixel, cut off at three; its middle and one side.
_SMOOTHING = np.ascontiguousarray(cv2.getGaussianKernel(7, 1.0)[3:, 0].astype(np.float32))
# Even, since half-size rows pair up: reduction and enlargement reach 2 + 2, LoB and smoothing twice theirs.
ENERGY_HALO_PX = 2 * (2 + 3) + 6
_FLOOR_PERCENTILE = 20
_FLOOR_STRIPES = 16
_LEAST_FLOOR = 1e-2  # squared grey levels; rounding to 8 bits alone makes this much


def luma(image: Image) -> Luma:
    """Rec. 601 luma, (height, width), the image's own dtype."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def luma8(image: Image) -> Luma:
    """Luma rounded to 8 bits, as accelerators take it."""
    grey = luma(image)
    return grey if grey.dtype == np.uint8 else cv2.convertScaleAbs(grey, alpha=1 / 257)


def lob_halo_px(blur_px: int, laplacian_px: int) -> int:
    """How many rows around a tile its LoB depends on."""
    return blur_px // 2 + max(1, laplacian_px // 2)


def lob(grey: Luma, *, blur_px: int, laplacian_px: int) -> Plane:
    """|Laplacian(Gaussian(grey))|, (height, width): int16 where that holds every value exactly, else float32.

    The Laplacian of kernel size 5 reaches 128 times the grey level's range, which is just inside int16 for 8 bits, and
    int16 moves a quarter of the bytes of float64. Sizes above 7 leave float32's exact integers: values are rounded.
    """
    if (blur_px, laplacian_px) == (5, 5) and grey.dtype == np.uint8 and (fast := kernels.lob5(grey)) is not None:
        return fast
    blurred = cv2.GaussianBlur(grey, (blur_px, blur_px), 0) if blur_px > 1 else grey
    depth = cv2.CV_16S if grey.dtype == np.uint8 and laplacian_px <= 5 else cv2.CV_32F
    laplacian = cv2.Laplacian(blurred, depth, ksize=laplacian_px)
    return np.abs(laplacian, out=laplacian)


@dataclass(frozen=True, slots=True)
class Scores:
    """|LoB| of a luma tile as an accelerator gives it, at full and at half size: (height, width) uint16."""

    fine: Plane
    coarse: Plane

    @staticmethod
    def of(luma_tile: Luma, accelerator: Accelerator) -> Scores:
        """Measure an 8-bit tile whose first row is an even row of the picture, so that every tile halves it alike."""
        return Scores(accelerator.measure(luma_tile), accelerator.measure(cv2.pyrDown(luma_tile)))


def energy(score: Plane, scale: ScoreScale, more: Plane | None = None) -> Plane:
    """Gaussian(|LoB|^2) in squared grey levels, (height, width) float32; that of `more` is added first."""
    return kernels.energy(score, more, scale=1 / scale.scale, kernel=_SMOOTHING)


def halved_energy(score: Plane, scale: ScoreScale) -> Plane:
    """The same at half the size, of means of 2 x 2: half the size rounded up, float32."""
    return kernels.energy(score, scale=1 / scale.scale, kernel=_SMOOTHING, halved=True)


def smooth_energy(squares: Plane) -> Plane:
    """The energy's smoothing of a float32 plane."""
    return kernels.smooth(squares, _SMOOTHING)


def enlarged(plane: Plane, size: tuple[int, int]) -> Plane:
    """A half-size plane at (width, height) px."""
    return cv2.pyrUp(plane, dstsize=size)


def noise_floor(frame: Image, measure: Callable[[Tile], Plane]) -> float:
    """What noise makes of a flat area: the 20th percentile of an energy over evenly spread stripes of a frame."""
    step = max(1, frame.shape[0] // _FLOOR_STRIPES)
    parts = (kernels.split(frame[y : y + 24]) for y in range(0, frame.shape[0], step))
    return plane_floor(np.concatenate([measure(part).ravel() for part in parts]))


def plane_floor(energies: Plane) -> float:
    """The same of energies of a whole frame."""
    return max(_LEAST_FLOOR, float(np.percentile(energies, _FLOOR_PERCENTILE)))
