"""Fusion: accumulators that fold frames in one by one and never hold more than their own planes.

After any number of frames there is one image (or weighted sum), one focus measure and one index plane. Each method
works on a stripe of the canvas at a time, so that stripes can be folded in parallel; frames come in index order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from focusrail.model.method import Method
from focusrail.stacking.arrays import Image, Plane
from focusrail.stacking.canvas import STRIPE_ROWS, Stripe
from focusrail.stacking.focus_measure import ENERGY_HALO_PX, coarse_energy, energy, lob, lob_halo_px, luma, luma8
from focusrail_drivers.base import Accelerator, ScoreScale

# Soft weights w = ((E1 + c n1) (E2 + c n2))^3, of the energies at full and at half size: the power decides how hard
# the sharpest wins, and c times the noise floors n makes flat areas average instead of picking the loudest noise. Two
# sizes, because noise, and texture behind a thin thing, are loud in one of them, and the thing itself in both. All
# measured: see docs/algorithms.md.
_FLOOR_FACTOR = 4.0
_FLOOR_PERCENTILE = 20
_LEAST_FLOOR = 1e-2  # squared grey levels; rounding to 8 bits alone makes this much
_FLOOR_STRIPES = 16  # the noise floor is read from this many stripes of the first frame


@dataclass(frozen=True, slots=True)
class Fused:
    """What a stack has become so far. Planes cover the whole canvas."""

    image: Image  # (height, width, 3), the frames' dtype
    index: Plane  # (height, width) uint16: the frame with the largest focus measure
    position: Plane  # (height, width) float32: where it is sharpest, in the unit of the frames' positions
    measure: Plane  # (height, width): the largest focus measure, proportional to |LoB|
    noise: float  # the focus measure that noise alone makes


class Accumulator(Protocol):
    """Folds registered frames into one."""

    halo_px: int

    def prepare(self, frame: Image) -> None:
        """See the first frame, whole, before it is folded in."""

    def add(self, stripe: Stripe, tile: Image, index: int, position: float) -> tuple[float, Plane | None]:
        """Fold in a stripe (with halo) of a registered frame; return the sum of its focus measure and the measure.

        Safe from several threads for different stripes. The measure is (rows, width), for whoever wants to look at it.
        """

    def finish(self, positions: list[float]) -> Fused:
        """The result so far; positions are those of the frames by index. The accumulator goes on unharmed."""

    def glance(self, step: int) -> Image:
        """Every `step`-th row and column of the image so far: cheap, for a live view."""


class LobAccumulator:
    """Keeps, for every pixel, the frame whose |LoB| is the largest; of equals, the latest."""

    def __init__(self, height: int, width: int, method: Method, dtype: np.dtype[np.generic]) -> None:
        self.halo_px = lob_halo_px(method.blur_px, method.laplacian_px)
        self._blur_px, self._laplacian_px = method.blur_px, method.laplacian_px
        measure = np.int16 if dtype == np.uint8 and method.laplacian_px <= 5 else np.float32
        self._image = np.zeros((height, width, 3), dtype)
        self._measure = np.full((height, width), -1, measure)
        self._index = np.zeros((height, width), np.uint16)
        self._noise = 0.0

    def prepare(self, frame: Image) -> None:
        """Read the noise level from evenly spread stripes."""
        self._noise = _low(frame, self._lob)

    def _lob(self, tile: Image) -> Plane:
        return lob(luma(tile), blur_px=self._blur_px, laplacian_px=self._laplacian_px)

    def add(self, stripe: Stripe, tile: Image, index: int, position: float) -> tuple[float, Plane | None]:
        measure = self._lob(tile)[stripe.inner]
        rows = stripe.rows
        won = cv2.compare(measure, self._measure[rows], cv2.CMP_GE)
        cv2.copyTo(measure, won, self._measure[rows])
        cv2.copyTo(tile[stripe.inner], won, self._image[rows])
        cv2.copyTo(np.full(measure.shape, index, np.uint16), won, self._index[rows])
        return float(cv2.sumElems(measure)[0]), measure

    def finish(self, positions: list[float]) -> Fused:
        position = np.asarray(positions, np.float32)[self._index]
        return Fused(self._image, self._index, position, self._measure, self._noise)

    def glance(self, step: int) -> Image:
        return self._image[::step, ::step].copy()


class SoftAccumulator:
    """The mean of all frames, weighted by a power of the LoB's energy above the noise floor."""

    halo_px = ENERGY_HALO_PX

    def __init__(
        self, height: int, width: int, dtype: np.dtype[np.generic], *, accelerator: Accelerator, scale: ScoreScale
    ) -> None:
        self._accelerator, self._scale, self._dtype = accelerator, scale, dtype
        self._sum = np.zeros((height, width, 3), np.float32)  # of weight x pixel
        self._weight = np.zeros((height, width), np.float32)
        self._moment = np.zeros((height, width), np.float32)  # of weight x position
        self._energy = np.full((height, width), -1, np.float32)  # the largest so far
        self._index = np.zeros((height, width), np.uint16)
        self._noise = [0.0, 0.0]  # of the fine and of the coarse energy

    def prepare(self, frame: Image) -> None:
        """Read the noise floors from evenly spread stripes; the same for all frames, so weights stay comparable."""
        fine = _low(frame, lambda tile: energy(luma8(tile), self._accelerator, self._scale))
        coarse = _low(frame, lambda tile: coarse_energy(luma8(tile), self._accelerator, self._scale))
        self._noise = [max(_LEAST_FLOOR, fine), max(_LEAST_FLOOR, coarse)]

    def add(self, stripe: Stripe, tile: Image, index: int, position: float) -> tuple[float, Plane | None]:
        grey = luma8(tile)
        measure = energy(grey, self._accelerator, self._scale)[stripe.inner]
        measure += np.float32(_FLOOR_FACTOR * self._noise[0])
        coarse = coarse_energy(grey, self._accelerator, self._scale)[stripe.inner]
        coarse += np.float32(_FLOOR_FACTOR * self._noise[1])
        measure *= coarse
        rows = stripe.rows
        weight = measure * measure
        weight *= measure
        cv2.accumulateProduct(tile[stripe.inner].astype(np.float32), cv2.merge((weight,) * 3), self._sum[rows])
        cv2.accumulate(weight, self._weight[rows])
        cv2.scaleAdd(weight, position, self._moment[rows], self._moment[rows])
        won = cv2.compare(measure, self._energy[rows], cv2.CMP_GT)
        cv2.copyTo(measure, won, self._energy[rows])
        cv2.copyTo(np.full(measure.shape, index, np.uint16), won, self._index[rows])
        magnitude = cv2.sqrt(cv2.sqrt(measure))
        return float(cv2.sumElems(magnitude)[0]), magnitude

    def finish(self, positions: list[float]) -> Fused:
        image = np.empty(self._sum.shape, self._dtype)
        position = np.empty(self._weight.shape, np.float32)
        for start in range(0, len(image), STRIPE_ROWS):
            rows = slice(start, start + STRIPE_ROWS)
            image[rows] = self._mean(self._sum[rows], self._weight[rows])
            cv2.divide(self._moment[rows], self._weight[rows], dst=position[rows])
        magnitude = cv2.sqrt(cv2.sqrt(self._energy))
        return Fused(image, self._index, position, magnitude, float((self._noise[0] * self._noise[1]) ** 0.25))

    def glance(self, step: int) -> Image:
        return self._mean(self._sum[::step, ::step].copy(), self._weight[::step, ::step].copy())

    def _mean(self, total: Plane, weight: Plane) -> Image:
        share = cv2.divide(1.0, weight)
        depth = cv2.CV_8U if self._dtype == np.uint8 else cv2.CV_16U
        return cv2.multiply(total, cv2.merge((share,) * 3), dtype=depth)  # rounds and saturates in the same pass


def _low(frame: Image, measure: Callable[[Image], Plane]) -> float:
    """The 20th percentile of a measure over evenly spread stripes of a frame: what noise makes of a flat area."""
    step = max(1, frame.shape[0] // _FLOOR_STRIPES)
    samples = [measure(frame[y : y + 24]).ravel() for y in range(0, frame.shape[0], step)]
    return float(np.percentile(np.concatenate(samples), _FLOOR_PERCENTILE))


def accumulator(
    height: int, width: int, method: Method, dtype: np.dtype[np.generic], *, accelerator: Accelerator
) -> Accumulator:
    """The accumulator of a fusion method for a canvas of (height, width)."""
    if method.fusion == "lob":
        return LobAccumulator(height, width, method, dtype)
    return SoftAccumulator(height, width, dtype, accelerator=accelerator, scale=accelerator.configure())
