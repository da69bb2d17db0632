"""The focus peak: for every pixel of half the size, the largest energy and those of the frames just before and after.

That is all that the depth needs to be found between the frames (depth_map.py), and it is 2.5 bytes a pixel of the
canvas. Half the size, because an energy is that of a neighbourhood, and there it was measured to be surer.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.stacking import kernels
from focusrail.stacking.arrays import Image
from focusrail.stacking.canvas import Stripe
from focusrail.stacking.focus_measure import Scores, energy, halved_energy, noise_floor
from focusrail_drivers.base import Accelerator


@dataclass(frozen=True, slots=True)
class Peak:
    """What a tracker has seen. Frames are numbered in the order in which they were folded in, from 0."""

    state: npt.NDArray[np.uint16]  # (5, height // 2, width // 2), see kernels.track
    noise: float  # the energy that noise alone makes
    positions: tuple[float, ...]  # of the frames by number


class PeakTracker:
    """Follows the energy sqrt(E1 E2) of each pixel over the frames, E1 and E2 at full and at half size."""

    def __init__(self, first: Image, accelerator: Accelerator) -> None:
        """`first` is the first frame, whole; its flat parts tell the noise."""
        height, width = first.shape[:2]
        self._scale = scale = accelerator.configure()
        self._state = np.zeros((5, height // 2, width // 2), np.uint16)
        self._floors = (
            noise_floor(first, lambda luma: halved_energy(accelerator.measure(luma), scale)),
            noise_floor(first, lambda luma: energy(accelerator.measure(cv2.pyrDown(luma)), scale)),
        )
        self._positions: list[float] = []

    def begin(self, position: float) -> int:
        """A frame's number."""
        self._positions.append(position)
        return len(self._positions) - 1

    def add(self, stripe: Stripe, scores: Scores, number: int) -> None:
        """Fold in a stripe of a frame, from any thread. Stripes and their halos begin at even rows."""
        top, bottom = stripe.inner.start // 2, stripe.inner.stop // 2
        rows = slice(stripe.top // 2, stripe.bottom // 2)
        fine = halved_energy(scores.fine, self._scale)[top:bottom]
        coarse = energy(scores.coarse, self._scale)[top:bottom]
        kernels.track(fine, coarse, floors=self._floors, state=self._state[:, rows], now=number)

    def peak(self) -> Peak:
        """What has been seen so far; the arrays go on changing."""
        fine, coarse = self._floors
        return Peak(self._state, 2 * float(np.sqrt(fine * coarse)), tuple(self._positions))
