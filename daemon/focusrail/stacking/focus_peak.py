"""Focus peaks: what is kept of each pixel's sharpness over position, so that its depth can be found.

The energy of the sharpest frame, of the frames just before and after it, and which one it was: enough for a parabola
through three points, whatever the number of frames. All at half the canvas's size, since a focus measure looks at
several pixels anyway, and as 16-bit codes: 2.5 bytes for a full-size pixel in all.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.stacking import kernels
from focusrail.stacking.arrays import Allocate, Image, Plane
from focusrail.stacking.canvas import Stripe
from focusrail.stacking.focus_measure import Scores, energy, halved_energy, noise_floor
from focusrail_drivers.base import Accelerator

_NEAR = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class FocusPeaks:
    """Half-size planes: pixel (y, x) covers rows 2y and 2y + 1, columns 2x and 2x + 1 of the canvas."""

    state: npt.NDArray[np.uint16]  # (5, height, width), see kernels.track

    @staticmethod
    def empty(height: int, width: int, allocate: Allocate = np.zeros) -> FocusPeaks:
        """For a canvas of (height, width)."""
        return FocusPeaks(allocate((5, (height + 1) // 2, (width + 1) // 2), np.uint16))

    @property
    def best(self) -> Plane:
        """Code of the largest energy so far; of equals, the earliest."""
        return self.state[0]

    @property
    def before(self) -> Plane:
        """Code of the energy of the frame folded just before the best; 0: there was none."""
        return self.state[1]

    @property
    def after(self) -> Plane:
        """Code of the energy of the frame folded just after the best; 0: there is none yet."""
        return self.state[2]

    @property
    def rank(self) -> Plane:
        """How many frames were folded before the best one; frames left out do not count."""
        return self.state[4]

    def window(self, rows: slice, columns: slice) -> FocusPeaks:
        """A part of the planes, without copying."""
        return FocusPeaks(self.state[:, rows, columns])


class PeakTracker:
    """Follows the energy sqrt((fine + n1) (coarse + n2)) of each pixel over the frames.

    Fine: LoB^2 of the full size, averaged over 2 x 2 pixels. Coarse: LoB^2 of the picture at half its size. Both are
    smoothed, and noise and texture behind a thin thing are loud in one of them only. Of fine, the least within a
    half-size pixel counts, since the energy of an edge reaches beyond it. n1 and n2 are what noise makes.
    """

    def __init__(self, first: Image, accelerator: Accelerator, allocate: Allocate = np.zeros) -> None:
        """`first` is the first frame, whole; its quiet parts tell the noise."""
        self._scale = scale = accelerator.configure()
        self._floors = (
            noise_floor(first, lambda part: halved_energy(accelerator.measure(kernels.luma(part)), scale)),
            noise_floor(first, lambda part: energy(accelerator.measure(cv2.pyrDown(kernels.luma(part))), scale)),
        )
        self.peaks = FocusPeaks.empty(first.shape[0], first.shape[1], allocate)
        self.positions: list[float] = []  # of the frames by their number

    @property
    def noise(self) -> float:
        """The energy that noise alone makes."""
        return 2 * (self._floors[0] * self._floors[1]) ** 0.5

    def take(self) -> FocusPeaks:
        """The peaks, no longer kept here: their memory can go as soon as the caller has seen them."""
        assert self.peaks.state.size, "they have been taken"
        taken, self.peaks = self.peaks, FocusPeaks.empty(0, 0)
        return taken

    def begin(self, position: float) -> int:
        """The number of a frame that is to be folded in next."""
        self.positions.append(position)
        return len(self.positions) - 1

    def add(self, stripe: Stripe, scores: Scores, number: int) -> None:
        """Fold in a stripe of a frame, from any thread. Stripes and their halos begin at even rows."""
        inner = slice(stripe.inner.start // 2, (stripe.inner.stop + 1) // 2)
        rows = slice(stripe.top // 2, (stripe.bottom + 1) // 2)
        fine, coarse = halved_energy(scores.fine, self._scale), energy(scores.coarse, self._scale)
        fine = cv2.erode(fine, _NEAR)
        state = self.peaks.state[:, rows]
        kernels.track(fine[inner], coarse[inner], floors=self._floors, state=state, now=number)
