"""The thin lens: how large the disc is that a point out of focus makes, and what that disc looks like in pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Lens:
    """A thin lens of `numerical_aperture` that images a field at `px_per_mm` pixels per mm in the subject."""

    numerical_aperture: float
    px_per_mm: float

    @property
    def circle_px_per_mm(self) -> float:
        """Radius of the circle of confusion for each mm of defocus, in px: the cone of half-angle asin(NA)."""
        return math.tan(math.asin(self.numerical_aperture)) * self.px_per_mm

    def circle_radius_px(self, defocus_mm: float) -> float:
        """Radius of the circle of confusion of a point `defocus_mm` in front of or behind the plane in focus."""
        return abs(defocus_mm) * self.circle_px_per_mm


def disc_kernel(radius_px: float) -> Plane:
    """A uniform disc as a filter kernel, (n, n) float32 with sum 1, n odd, each weight the covered area of its pixel.

    Coverage is measured on a 16 times finer grid. Radii below half a pixel give the identity.
    """
    fine = 16
    half = max(0, math.ceil(radius_px - 0.5))
    n = 2 * half + 1
    at = (np.arange(n * fine, dtype=np.float32) + 0.5) / fine - n / 2
    # A soft edge one fine cell wide keeps the area right where the grid would alias.
    distance = np.sqrt(at[:, None] ** 2 + at[None, :] ** 2)
    inside = np.clip((radius_px - distance) * fine + 0.5, 0.0, 1.0)
    kernel = inside.reshape(n, fine, n, fine).mean(axis=(1, 3))
    return np.asarray(kernel / kernel.sum(), dtype=np.float32) if radius_px > 0 else np.ones((1, 1), np.float32)


def kernel_variance(kernel: Plane) -> float:
    """Second moment of a kernel along one axis, in px^2; of an ideal disc it is radius^2 / 4."""
    half = kernel.shape[0] // 2
    at = np.arange(-half, half + 1, dtype=np.float64)
    return float((kernel.sum(axis=0) * at**2).sum())
