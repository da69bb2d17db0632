"""Focus measures: how sharp is each pixel? All are LoB, the Laplacian of the blurred image.

Two of them. `lob` takes any odd kernel sizes and gives |LoB| exactly. The energy behind the `soft` method squares the
scores of an accelerator (3x3 binomial, 4-neighbour Laplacian) and smooths them, so that it also runs in an FPGA.
Compared with thirty other focus measures in Pertuz, Puig, Garcia 2013, doi:10.1016/j.patcog.2012.11.011.
"""

from __future__ import annotations

import cv2
import numpy as np

from focusrail.stacking.arrays import Image, Luma, Plane
from focusrail_drivers.base import Accelerator, ScoreScale

# The energy's smoothing: sigma of one pixel, cut off at three.
_ENERGY_SIGMA_PX = 1.0
_ENERGY_RADIUS_PX = 3
# Even, since half-size rows pair up: reduction and enlargement reach 2 + 2, LoB and smoothing twice theirs.
ENERGY_HALO_PX = 2 * (2 + _ENERGY_RADIUS_PX) + 6


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
    blurred = cv2.GaussianBlur(grey, (blur_px, blur_px), 0) if blur_px > 1 else grey
    depth = cv2.CV_16S if grey.dtype == np.uint8 and laplacian_px <= 5 else cv2.CV_32F
    laplacian = cv2.Laplacian(blurred, depth, ksize=laplacian_px)
    return np.abs(laplacian, out=laplacian)


def energy(luma_tile: Luma, accelerator: Accelerator, scale: ScoreScale) -> Plane:
    """Gaussian(|LoB|^2) in squared grey levels, (height, width) float32, from an 8-bit luma tile."""
    score = accelerator.measure(luma_tile).astype(np.float32)
    score *= 1 / scale.scale
    np.multiply(score, score, out=score)
    size = 2 * _ENERGY_RADIUS_PX + 1
    return cv2.GaussianBlur(score, (size, size), _ENERGY_SIGMA_PX, dst=score)


def coarse_energy(luma_tile: Luma, accelerator: Accelerator, scale: ScoreScale) -> Plane:
    """The energy of the picture at half its size, (height, width) of the tile, float32.

    The tile's first row must be an even row of the picture, so that every tile halves it alike.
    """
    half = energy(cv2.pyrDown(luma_tile), accelerator, scale)
    return cv2.pyrUp(half, dstsize=(luma_tile.shape[1], luma_tile.shape[0]))
