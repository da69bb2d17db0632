"""Fusion: accumulators that fold frames in one by one and never hold more than their own planes.

After any number of frames there is one image, one focus measure and one index plane. Each method works on a stripe of
the canvas at a time, so that stripes can be folded in parallel; frames come in index order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from focusrail.model.method import Method
from focusrail.stacking import kernels
from focusrail.stacking.arrays import Allocate, Gain, Image, Luma, Plane, Tile, Transform
from focusrail.stacking.canvas import STRIPE_ROWS, Stripe
from focusrail.stacking.focus_measure import ENERGY_HALO_PX, Scores, energy, enlarged, lob, lob_halo_px, noise_floor
from focusrail_drivers.base import Accelerator

# Soft weights w = ((E1 + c n1) (E2 + c n2))^3, of the energies at full and at half size: the power decides how hard
# the sharpest wins, and c times the noise floors n makes flat areas average instead of picking the loudest noise. Two
# sizes, because noise, and texture behind a thin thing, are loud in one of them, and the thing itself in both. All
# measured: see docs/algorithms.md.
_FLOOR_FACTOR, _POWER = 4.0, 3


@dataclass(frozen=True, slots=True)
class Fused:
    """What a stack has become so far. Planes cover the whole canvas."""

    image: Image  # (height, width, 3), the frames' dtype
    index: Plane  # (height, width) uint16: the frame with the largest focus measure


class Accumulator(Protocol):
    """Folds registered frames into one. They come in index order: `begin`, `add` for each stripe, `end`."""

    halo_px: int  # even

    def begin(self, frame: Image, transform: Transform, gain: Gain, index: int) -> None:
        """See a frame, whole, before its stripes come."""

    def add(self, stripe: Stripe, tile: Tile, luma: Luma, scores: Scores, index: int) -> Plane:
        """Fold in a stripe (with halo) of a registered frame, times its gain; return its focus measure, without halo.

        Safe from several threads for different stripes.
        """

    def end(self, index: int) -> None:
        """All stripes of the frame are in."""

    def finish(self) -> Fused:
        """The result so far. The accumulator goes on unharmed."""

    def glance(self, step: int) -> Image:
        """Every `step`-th row and column of the image so far: cheap, for a live view."""


class LobAccumulator:
    """Keeps, for every pixel, the frame whose |LoB| is the largest; of equals, the latest.

    The accelerator's scores where it has that of these sizes; it does not round the blurred image as OpenCV does.
    """

    def __init__(
        self, height: int, width: int, method: Method, dtype: np.dtype[np.generic], allocate: Allocate
    ) -> None:
        halo_px = lob_halo_px(method.blur_px, method.laplacian_px)
        self.halo_px = max(halo_px + halo_px % 2, ENERGY_HALO_PX)  # even, as half-size rows pair up
        self._blur_px, self._laplacian_px, self._accelerated = method.blur_px, method.laplacian_px, method.accelerated
        measure = np.int16 if method.laplacian_px <= 5 else np.float32
        self._image = allocate((3, height, width), dtype)
        self._measure = allocate((height, width), measure)
        self._measure[...] = -1
        self._index = allocate((height, width), np.uint16)

    def begin(self, frame: Image, transform: Transform, gain: Gain, index: int) -> None:
        pass

    def add(self, stripe: Stripe, tile: Tile, luma: Luma, scores: Scores, index: int) -> Plane:
        if self._accelerated:  # scores stay below 2**15
            measure = scores.fine[stripe.inner].view(np.int16)
        else:
            measure = lob(luma, blur_px=self._blur_px, laplacian_px=self._laplacian_px)[stripe.inner]
        rows = stripe.rows
        kernels.choose(
            measure, tile[:, stripe.inner], largest=self._measure[rows], best=self._image[:, rows],
            winner=self._index[rows], frame=index,
        )  # fmt: skip
        return measure

    def end(self, index: int) -> None:
        pass

    def finish(self) -> Fused:
        return Fused(cv2.merge(list(self._image)), self._index)

    def glance(self, step: int) -> Image:
        return cv2.merge(list(np.ascontiguousarray(self._image[:, ::step, ::step])))


class SoftAccumulator:
    """The mean of all frames, weighted by a power of the LoB's energy above the noise floor."""

    halo_px = ENERGY_HALO_PX

    def __init__(
        self, height: int, width: int, dtype: np.dtype[np.generic], accelerator: Accelerator, allocate: Allocate
    ) -> None:
        self._accelerator, self._scale, self._dtype = accelerator, accelerator.configure(), dtype
        self._mean = allocate((3, height, width), np.uint16)
        self._weight = allocate((height, width), np.float32)
        self._focus = allocate((height, width), np.uint16)  # the largest so far, as codes
        self._index = allocate((height, width), np.uint16)
        self._noise: tuple[float, float] | None = None  # of the fine and of the coarse energy

    def begin(self, frame: Image, transform: Transform, gain: Gain, index: int) -> None:
        """Read the noise floors from the first frame; the same for all frames, so weights stay comparable."""
        measure, scale = self._accelerator.measure, self._scale
        if self._noise is None:
            self._noise = (
                noise_floor(frame, lambda part: energy(measure(kernels.luma(part)), scale)),
                noise_floor(frame, lambda part: energy(measure(cv2.pyrDown(kernels.luma(part))), scale)),
            )

    def add(self, stripe: Stripe, tile: Tile, luma: Luma, scores: Scores, index: int) -> Plane:
        assert self._noise is not None
        size, rows = (luma.shape[1], luma.shape[0]), stripe.rows
        focus = energy(scores.fine, self._scale)[stripe.inner]
        focus += np.float32(_FLOOR_FACTOR * self._noise[0])
        coarse = enlarged(energy(scores.coarse, self._scale), size)[stripe.inner]
        coarse += np.float32(_FLOOR_FACTOR * self._noise[1])
        focus *= coarse
        kernels.blend(
            focus, tile[:, stripe.inner], mean=self._mean[:, rows], largest=self._focus[rows],
            weight=self._weight[rows], winner=self._index[rows], frame=index, power=_POWER,
        )  # fmt: skip
        return focus

    def end(self, index: int) -> None:
        pass

    def finish(self) -> Fused:
        image = np.empty((*self._index.shape, 3), self._dtype)
        for start in range(0, len(image), STRIPE_ROWS):
            rows = slice(start, start + STRIPE_ROWS)
            image[rows] = kernels.join(self._mean[:, rows], self._dtype)
        return Fused(image, self._index)

    def glance(self, step: int) -> Image:
        return kernels.join(np.ascontiguousarray(self._mean[:, ::step, ::step]), self._dtype)
