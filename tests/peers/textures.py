"""Pictures made of noise at every scale: they have features everywhere, and what a warp did to them is known."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[Any]
Transform = npt.NDArray[np.float64]


def texture(height: int, width: int, *, seed: int = 0) -> Image:
    """(height, width, 3) uint8 BGR, mean about 128, neither black nor clipped."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cell in (3, 5, 8, 16, 32, 64):
        coarse = random.standard_normal((height // cell + 3, width // cell + 3, 3)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * cell**0.2
    total *= 40 / total.std()
    return np.clip(total + 128, 8, 247).astype(np.uint8)


def grey_texture(height: int, width: int, *, seed: int = 0) -> Image:
    """(height, width) uint8."""
    return cv2.cvtColor(texture(height, width, seed=seed), cv2.COLOR_BGR2GRAY)


def similarity(*, scale: float = 1.0, degrees: float = 0.0, x: float = 0.0, y: float = 0.0) -> Transform:
    """Turn and scale about the origin, then shift."""
    a, b = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[a, -b, x], [b, a, y], [0, 0, 1]], np.float64)


def about(transform: Transform, size: tuple[int, int]) -> Transform:
    """The transform about the centre of a picture of (width, height)."""
    centre = similarity(x=(size[0] - 1) / 2, y=(size[1] - 1) / 2)
    return centre @ transform @ np.linalg.inv(centre)


def view(world: Image, transform: Transform, size: tuple[int, int]) -> Image:
    """What a frame of (width, height) sees of the world; the transform takes the frame's pixels to the world's."""
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(world, transform, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
