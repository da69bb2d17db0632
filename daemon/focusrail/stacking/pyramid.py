"""Fusion by a Laplacian pyramid: at every scale and place the coefficient of the frame that is liveliest there.

Hairs that cross stay whole, since each scale decides by itself; noise is picked, too, and contrast is built up, for the
loudest wins everywhere. (Burt and Adelson 1983, doi:10.1145/245.247; the selection by smoothed energy is that of Burt
and Kolczynski 1993, doi:10.1109/ICCV.1993.378222.)
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.stacking import kernels
from focusrail.stacking.arrays import Allocate, Gain, Image, Luma, Plane, Tile, Transform
from focusrail.stacking.canvas import STRIPE_ROWS, Stripe, stripes
from focusrail.stacking.focus_measure import ENERGY_HALO_PX, Scores, energy, smooth_energy
from focusrail.stacking.fusion import Fused
from focusrail_drivers.base import Accelerator

_SMALLEST_PX = 16  # the shorter side of the top is not halved below this
_MOST_LEVELS = 8
_SMOOTHING_PX = 3  # how far the energy's smoothing reaches
# Sums of three squares of 16 bits, times this, are below 2: their codes (kernels.encode) then fit into int16.
_UNIT = np.float32(2.0**-32)


class PyramidAccumulator:
    """Keeps of every coefficient the one with the largest energy around it; of the top, the mean.

    A frame is worked on as a whole, when its last stripe has come: nothing depends on where stripes begin. Values have
    15 bits, so that differences have 16.
    """

    halo_px = ENERGY_HALO_PX

    def __init__(
        self, height: int, width: int, dtype: np.dtype[np.generic], accelerator: Accelerator, allocate: Allocate
    ) -> None:
        self._dtype, self._scale = dtype, accelerator.configure()
        self._canvas = allocate((3, height, width), np.uint16)  # the frame in hand
        self._levels: list[_Level] = []
        while not self._levels or (len(self._levels) < _MOST_LEVELS and min(height, width) >= 2 * _SMALLEST_PX):
            self._levels.append(_Level(height, width, allocate))
            height, width = (height + 1) // 2, (width + 1) // 2
        self._top = np.zeros((3, height, width), np.float64)  # the sum over all frames
        self._frames = 0
        # The range of what has been seen: overlaid coefficients of different frames overshoot it.
        self._darkest, self._brightest = (allocate((*self._canvas.shape[1:], 3), dtype) for _ in range(2))
        self._darkest[...] = 255 if dtype == np.uint8 else 65535

    def begin(self, frame: Image, transform: Transform, gain: Gain, index: int) -> None:
        pass

    def add(self, stripe: Stripe, tile: Tile, luma: Luma, scores: Scores, index: int) -> Plane:
        """Put a stripe aside until the frame is whole."""
        rows, inner = stripe.rows, tile[:, stripe.inner]
        seen = kernels.join(inner, self._dtype)
        np.minimum(self._darkest[rows], seen, out=self._darkest[rows])
        np.maximum(self._brightest[rows], seen, out=self._brightest[rows])
        np.right_shift(inner, 1, out=self._canvas[:, rows])
        return energy(scores.fine, self._scale)[stripe.inner]

    def end(self, index: int) -> None:
        """Fold the frame in, level by level."""
        plane: npt.NDArray[np.int16] = self._canvas.view(np.int16)
        for level in self._levels:
            smaller = np.stack([cv2.pyrDown(channel) for channel in plane])
            for channel, small in zip(plane, smaller, strict=True):
                channel -= _larger(small, channel.shape)
            level.choose(plane, index)
            plane = smaller
        self._top += plane
        self._frames += 1

    def finish(self) -> Fused:
        plane = self._collapsed(0)
        image = np.empty((*plane.shape[1:], 3), self._dtype)
        for top in range(0, len(image), STRIPE_ROWS):
            rows = slice(top, top + STRIPE_ROWS)
            image[rows] = self._shown(plane[:, rows], self._darkest[rows], self._brightest[rows])
        return Fused(image, self._levels[0].index)

    def glance(self, step: int) -> Image:
        """As reduced as the levels are that it leaves out."""
        finest = min(step.bit_length() - 1, len(self._levels))
        plane = self._collapsed(finest)
        rows, columns = (np.arange(0, size, step) for size in self._canvas.shape[1:])
        seen = np.ascontiguousarray(plane[:, (rows >> finest)[:, None], columns >> finest])
        return self._shown(seen, self._darkest[::step, ::step], self._brightest[::step, ::step])

    def _collapsed(self, finest: int) -> npt.NDArray[np.int16]:
        """The picture at the size of a level: (3, height, width) of 15 bits."""
        plane = np.rint(self._top / max(1, self._frames)).astype(np.int16)
        for level in self._levels[finest:][::-1]:
            details = level.best.view(np.int16)
            larger = np.empty(details.shape, np.int16)  # a channel at a time: there is no memory for each of them twice
            for channel, small, detail in zip(larger, plane, details, strict=True):
                cv2.add(_larger(small, detail.shape), detail, dst=channel)  # which saturates
            plane = larger
        return plane

    def _shown(self, plane: npt.NDArray[np.int16], darkest: Plane, brightest: Plane) -> Image:
        tile = np.maximum(plane, 0).astype(np.uint16)
        tile += tile + (tile >> 14)  # white stays white
        return np.clip(kernels.join(tile, self._dtype), darkest, brightest)


class _Level:
    """The chosen coefficients of one size."""

    def __init__(self, height: int, width: int, allocate: Allocate) -> None:
        self.best = allocate((3, height, width), np.uint16)  # int16, as kernels see it
        self.index = allocate((height, width), np.uint16)
        self._largest = allocate((height, width), np.int16)  # codes of the energy
        self._largest[...] = -1

    def choose(self, details: npt.NDArray[np.int16], index: int) -> None:
        """Take the coefficients (3, height, width) where their energy is the largest so far; of equals, the later."""
        for stripe in stripes(details.shape[1], halo_px=_SMOOTHING_PX):
            squares = np.zeros((stripe.halo_bottom - stripe.halo_top, details.shape[2]), np.float32)
            for channel in details[:, stripe.halo_top : stripe.halo_bottom]:
                single = channel.astype(np.float32)
                single *= single
                squares += single
            squares *= _UNIT
            codes = kernels.encode(smooth_energy(squares)[stripe.inner]).view(np.int16)
            rows = stripe.rows
            kernels.choose(
                codes, details[:, rows].view(np.uint16), largest=self._largest[rows], best=self.best[:, rows],
                winner=self.index[rows], frame=index,
            )  # fmt: skip


def _larger(plane: Plane, shape: tuple[int, ...]) -> Plane:
    return cv2.pyrUp(plane, dstsize=(shape[1], shape[0]))
