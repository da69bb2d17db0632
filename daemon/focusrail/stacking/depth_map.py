"""The depth map: where along the rail is each pixel sharpest, and how sure is that?"""

from __future__ import annotations

import cv2
import numpy as np

from focusrail.stacking.arrays import Plane
from focusrail.stacking.canvas import STRIPE_ROWS

# Below this many times the noise level the sharpest of many frames is only the luckiest; at twice that it is sure.
_UNSURE = 3.0
_COARSE_SHARE = 0.03  # how much a coarser scale has to say where a pixel is sure of itself
_SMALLEST_PX = 4


def confidence(measure: Plane, noise: float) -> Plane:
    """0 where the focus measure drowns in noise, 1 where it stands out with its neighbours; (height, width) float32."""
    # In 256 steps: a median of bytes is many times faster than one of floats.
    scale = 255 / (_UNSURE * max(noise, 1e-6))
    sure = np.empty(measure.shape, np.uint8)
    for top in range(0, len(measure), STRIPE_ROWS):
        rows = slice(top, top + STRIPE_ROWS)
        sure[rows] = np.clip(measure[rows] * np.float32(scale) - 255, 0, 255)
    return cv2.medianBlur(sure, 5) * np.float32(1 / 255)


def depth_map(position: Plane, sure: Plane) -> Plane:
    """Positions with speckle removed and unsure pixels filled from their surroundings, (height, width) float32.

    A median drops lone outliers; then every scale of a pyramid of confidence-weighted means fills what the next finer
    one is unsure of (normalised convolution: Knutsson and Westin 1993, doi:10.1109/CVPR.1993.341081).
    """
    smooth = cv2.medianBlur(position, 5)
    # What no scale is sure of comes out as zero: let that be a depth of this stack, not the end of the rail.
    middle = np.float32(np.median(smooth[::8, ::8]))
    return _fill(smooth - middle, sure) + middle


def _fill(position: Plane, sure: Plane) -> Plane:
    height, width = position.shape
    if min(height, width) <= _SMALLEST_PX:
        total = float(sure.sum())
        mean = float((position * sure).sum() / total) if total > 0 else float(np.median(position))
        return (position * sure + mean * (1 - sure)).astype(np.float32)
    size = ((width + 1) // 2, (height + 1) // 2)
    coarse_sure = cv2.resize(sure, size, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(position * sure, size, interpolation=cv2.INTER_AREA)
    coarse /= np.maximum(coarse_sure, 1e-6)
    # Where a coarse pixel has seen anything sure at all it is worth more than its share: confidence spreads.
    filled = cv2.resize(_fill(coarse, np.minimum(1, 4 * coarse_sure)), (width, height), interpolation=cv2.INTER_LINEAR)
    weight = sure * (1 - _COARSE_SHARE)
    filled += (position - filled) * weight
    return filled
