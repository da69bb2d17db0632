"""Large images made small, quickly: for the report, the contact sheet and whoever looks on. Arrays in, arrays out."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from focusrail.worker.pictures import Picture

_SAMPLES = 6  # along a side of a thumbnail's pixel: enough that noise and patterns do not show


def reduced(image: NDArray[Any], longest_px: int) -> tuple[NDArray[Any], float]:
    """The image or plane at most `longest_px` along its longer side, and by what factor it was reduced (at most 1).

    Halved as often as that goes: means of two by two pixels cost a tenth of those of any other areas.
    """
    longest = max(image.shape[:2])
    if longest <= longest_px:
        return image, 1.0
    width, height = _reduced_size(image, longest_px)
    small = image
    while min(small.shape[:2]) > 1 and max(small.shape[:2]) >= 2 * longest_px:
        even = small[: small.shape[0] // 2 * 2, : small.shape[1] // 2 * 2]
        small = cv2.resize(even, (even.shape[1] // 2, even.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA), longest_px / longest


def _reduced_size(image: NDArray[Any], longest_px: int) -> tuple[int, int]:
    height, width = image.shape[:2]
    zoom = longest_px / max(height, width)
    return max(1, round(width * zoom)), max(1, round(height * zoom))


def thumbnail(image: NDArray[Any], longest_px: int = 128) -> Picture:
    """The image reduced (never enlarged) to `longest_px` along its longer side; of a large one not all pixels count.

    image: (height, width) or (height, width, 3), uint8 or uint16. Returns (height', width', 3) uint8 BGR.
    """
    small = image
    if max(image.shape[:2]) > 2 * _SAMPLES * longest_px:
        small = cv2.resize(image, _reduced_size(image, _SAMPLES * longest_px), interpolation=cv2.INTER_LINEAR)
    small = reduced(small, longest_px)[0]
    if small.dtype == np.uint16:
        small = (small >> 8).astype(np.uint8)
    if small.ndim == 2:
        small = np.repeat(small[:, :, None], 3, axis=2)
    return np.array(small, dtype=np.uint8, copy=True)
