"""The depth map: where along the rail is each pixel sharpest, and how sure is that?"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from focusrail.stacking.arrays import Plane
from focusrail.stacking.canvas import stripes

# Below this many times the noise level the sharpest of many frames is only the luckiest; at twice that it is sure.
_UNSURE = 3.0
_COARSE_SHARE = 0.03  # how much a coarser scale has to say where a pixel is sure of itself
_SMALLEST_PX = 4
_MEDIAN_PX = 5
_SHARES = np.arange(256, dtype=np.float32) * np.float32(1 / 255)


def confidence(measure: Plane, noise: float) -> Plane:
    """0 where the focus measure drowns in noise, 1 where it stands out with its neighbours; (height, width) float32."""
    # In 256 steps: a median of bytes is many times faster than one of floats.
    scale = 255 / (_UNSURE * max(noise, 1e-6))
    sure = np.empty(measure.shape, np.float32)
    for inner, outer, within in _stripes(len(measure), halo=_MEDIAN_PX // 2):
        level = cv2.addWeighted(measure[outer], scale, measure[outer], 0, -255.5, dtype=cv2.CV_8U)
        sure[inner] = cv2.LUT(cv2.medianBlur(level, _MEDIAN_PX)[within], _SHARES)
    return sure


def depth_map(position: Plane, sure: Plane) -> Plane:
    """Positions with speckle removed and unsure pixels filled from their surroundings, (height, width) float32.

    A median drops lone outliers; then every scale of a pyramid of confidence-weighted means fills what the next finer
    one is unsure of (normalised convolution: Knutsson and Westin 1993, doi:10.1109/CVPR.1993.341081).
    """
    depth = np.empty(position.shape, np.float32)
    for inner, outer, within in _stripes(len(position), halo=_MEDIAN_PX // 2):
        depth[inner] = cv2.medianBlur(position[outer], _MEDIAN_PX)[within]
    # What no scale is sure of comes out as zero: let that be a depth of this stack, not the end of the rail.
    middle = float(np.median(depth[::8, ::8]))
    depth -= np.float32(middle)
    _fill(depth, sure)
    depth += np.float32(middle)
    return depth


def _fill(position: Plane, sure: Plane) -> None:
    """Fill `position` in place."""
    height, width = position.shape
    if min(height, width) <= _SMALLEST_PX:
        total = float(sure.sum())
        mean = float((position * sure).sum() / total) if total > 0 else float(np.median(position))
        position += (mean - position) * (1 - sure)
        return
    coarse, coarse_sure = _halved(position, sure)
    # Where a coarse pixel has seen anything sure at all it is worth more than its share: confidence spreads.
    coarse_sure *= 4
    _fill(coarse, np.minimum(1, coarse_sure, out=coarse_sure))
    for inner, _, _ in _stripes(height, halo=0):
        # Pixels between the centres of the coarse ones: one row more on either side.
        top, bottom = inner.start // 2, (inner.stop + 1) // 2
        above = min(top, 1)
        part = coarse[top - above : bottom + 1]
        wide = cv2.resize(part, (2 * part.shape[1], 2 * part.shape[0]), interpolation=cv2.INTER_LINEAR)
        start = 2 * above
        filled = wide[start : start + inner.stop - inner.start, :width]
        here = position[inner]
        here -= filled
        here *= sure[inner] * np.float32(1 - _COARSE_SHARE)
        here += filled


def _halved(position: Plane, sure: Plane) -> tuple[Plane, Plane]:
    """Confidence-weighted means of two by two pixels, and their mean confidence.

    An odd last row or column counts twice.
    """
    height, width = position.shape
    size = ((height + 1) // 2, (width + 1) // 2)
    coarse, coarse_sure = np.empty(size, np.float32), np.empty(size, np.float32)
    for inner, _, _ in _stripes(height, halo=0):
        rows = slice(inner.start // 2, (inner.stop + 1) // 2)
        trust, worth = sure[inner], position[inner] * sure[inner]
        odd = (inner.stop - inner.start) % 2, width % 2
        if any(odd):
            trust, worth = (cv2.copyMakeBorder(p, 0, odd[0], 0, odd[1], cv2.BORDER_REPLICATE) for p in (trust, worth))
        half = (size[1], rows.stop - rows.start)
        weight = cv2.resize(trust, half, interpolation=cv2.INTER_AREA)
        coarse_sure[rows] = weight
        coarse[rows] = cv2.resize(worth, half, interpolation=cv2.INTER_AREA) / np.maximum(weight, 1e-6)
    return coarse, coarse_sure


def _stripes(height: int, *, halo: int) -> Iterator[tuple[slice, slice, slice]]:
    """Rows of a stripe, those rows with a halo, and where the former are within the latter."""
    for stripe in stripes(height, halo_px=halo):
        yield stripe.rows, slice(stripe.halo_top, stripe.halo_bottom), stripe.inner
