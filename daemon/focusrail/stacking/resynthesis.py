"""Fusion by the depth map: every pixel from the frame nearest to its depth, or from the two that it lies between.

It takes two passes. The first finds the depth, as every method does; the second looks at the frames again and takes of
each only what is wanted of it. Surfaces are as smooth as their depth, and no frame's noise is picked; where depth jumps
there is no right answer, for what is out of focus in front lies over what is sharp behind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from focusrail.errors import FrameError
from focusrail.model.method import Method
from focusrail.stacking import kernels
from focusrail.stacking.arrays import Allocate, Gain, Image, Luma, Plane, Tile, Transform
from focusrail.stacking.canvas import Stripe
from focusrail.stacking.focus_measure import ENERGY_HALO_PX, Scores, energy
from focusrail.stacking.fusion import Fused
from focusrail.stacking.laying import Laid, lay_stripe, stripes_of
from focusrail_drivers.base import Accelerator

_MIXED = 0.5  # of the way from one frame's place to the next


class FirstLook:
    """The first pass: nothing is fused. What depth needs is kept for every method (focus_peak.py)."""

    halo_px = ENERGY_HALO_PX

    def __init__(self, accelerator: Accelerator) -> None:
        self._scale = accelerator.configure()

    def begin(self, frame: Image, transform: Transform, gain: Gain, index: int) -> None:
        """As Accumulator.begin."""

    def add(self, stripe: Stripe, tile: Tile, luma: Luma, scores: Scores, index: int) -> Plane:
        """The stripe's focus measure, as of Accumulator.add."""
        return energy(scores.fine, self._scale)[stripe.inner]

    def end(self, index: int) -> None:
        """As Accumulator.end."""


@dataclass(frozen=True, slots=True)
class SecondLook:
    """How frames are looked at again."""

    read: Callable[[int], Image]  # a frame's pixels by its index; may raise FrameError; from any thread
    told: Callable[[int, int], None] = lambda _done, _total: None  # is called after each frame
    lost: Callable[[int, FrameError], None] = lambda _index, _error: None  # of a frame that is there no more


def resynthesise(
    depth: Plane,
    positions: Sequence[float],
    frames: Sequence[Laid],
    *,
    look: SecondLook,
    method: Method,
    crop: tuple[int, int, int, int],
    executor: Executor,
    allocate: Allocate = np.zeros,
) -> Fused:
    """The picture that belongs to a depth map, (height, width) in the unit of the `positions`, which `frames` have.

    `depth` covers `crop` (x, y, width, height) of the canvas. The index is that of the frame nearest in depth. A frame
    that cannot be read again is done without, and its neighbours take its place. Raises FrameError when none is left.
    The result does not depend on the executor; at most two frames are in memory at a time.
    """
    image = allocate((3, *depth.shape), np.uint16)
    at = dict(zip((frame.index for frame in frames), positions, strict=True))
    left = list(frames)
    while True:
        try:
            places = [at[frame.index] for frame in left]
            return _Composition(depth, places, left, method=method, crop=crop, image=image).made(look, executor)
        except _Gone as gone:
            look.lost(gone.index, gone.error)
            left = [frame for frame in left if frame.index != gone.index]
            if not left:
                raise gone.error from gone
            image[...] = 0


class _Gone(Exception):
    def __init__(self, index: int, error: FrameError) -> None:
        super().__init__(index)
        self.index, self.error = index, error


class _Composition:
    def __init__(
        self, depth: Plane, positions: Sequence[float], frames: Sequence[Laid], *, method: Method,
        crop: tuple[int, int, int, int], image: Tile,
    ) -> None:  # fmt: skip
        self._depth, self._frames, self._method = depth, frames, method
        self._x, self._y, self._width, self._height = crop
        # Frames at one place share alike, as where the rail stood still: depth cannot tell them apart.
        places, place_of, sharing = np.unique(positions, return_inverse=True, return_counts=True)
        self._place_of, self._sharing = [int(p) for p in place_of], sharing
        self._knots = _knots(places)
        first = [self._place_of.index(place) for place in range(len(places))]
        self._index_at = np.array([frames[k].index for k in first], np.uint16)
        self._image = image  # the sum so far

    def made(self, look: SecondLook, executor: Executor) -> Fused:
        height, dtype = 0, np.dtype(np.uint8)
        wanted: list[set[int]] = []  # of each stripe: places
        coming = executor.submit(look.read, self._frames[0].index)
        for number, frame in enumerate(self._frames):
            try:
                pixels = coming.result()
            except FrameError as error:
                raise _Gone(frame.index, error) from error
            if number + 1 < len(self._frames):
                coming = executor.submit(look.read, self._frames[number + 1].index)
            if not wanted:
                height, dtype = len(pixels), pixels.dtype
                wanted = list(executor.map(self._places_in, self._stripes(height)))
            place = self._place_of[number]
            some = [s for s, places in zip(self._stripes(height), wanted, strict=True) if place in places]
            deque(executor.map(lambda s: self._add(pixels, frame, place, s), some), maxlen=0)  # noqa: B023 - at once
            look.told(number + 1, len(self._frames))
        return self._finished(height, dtype, executor)

    def _stripes(self, height: int) -> list[Stripe]:
        # As in the first pass, since a warp's rounding may depend on where it starts.
        cut = stripes_of(height, self._method, halo_px=FirstLook.halo_px)
        return [s for s in cut if s.bottom > self._y and s.top < self._y + self._height]

    def _rows(self, stripe: Stripe) -> slice:
        """A stripe's rows within the crop."""
        return slice(max(stripe.top - self._y, 0), min(stripe.bottom - self._y, self._height))

    def _ranks(self, rows: slice) -> npt.NDArray[np.float32]:
        """Which place a pixel is taken from; a fraction: it is mixed of two."""
        return np.interp(self._depth[rows], *self._knots).astype(np.float32)

    def _places_in(self, stripe: Stripe) -> set[int]:
        ranks = self._ranks(self._rows(stripe))
        return {int(place) for rounded in (np.floor(ranks), np.ceil(ranks)) for place in np.unique(rounded)}

    def _add(self, pixels: Image, frame: Laid, place: int, stripe: Stripe) -> None:
        rows = self._rows(stripe)
        share = 1 - np.abs(self._ranks(rows) - np.float32(place))
        np.maximum(share, 0, out=share)
        share *= np.float32(1 / self._sharing[place])
        tile = lay_stripe(pixels, frame.transform, stripe, self._method, gain=frame.gain)
        top = rows.start + self._y - stripe.halo_top
        seen = tile[:, top : top + rows.stop - rows.start, self._x : self._x + self._width]
        for kept, channel in zip(self._image[:, rows], seen, strict=True):
            part = channel * share
            part += np.float32(0.5)
            total = kept.astype(np.uint32)
            total += part.astype(np.uint32)
            np.minimum(total, 65535, out=total)
            kept[...] = total

    def _finished(self, height: int, dtype: np.dtype[np.generic], executor: Executor) -> Fused:
        image = np.empty((self._height, self._width, 3), dtype)
        index = np.empty((self._height, self._width), np.uint16)

        def finish(stripe: Stripe) -> None:
            rows = self._rows(stripe)
            image[rows] = kernels.join(self._image[:, rows], dtype)
            index[rows] = np.take(self._index_at, np.rint(self._ranks(rows)).astype(np.intp))

        deque(executor.map(finish, self._stripes(height)), maxlen=0)
        return Fused(image, index)


def _knots(places: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Depths and the numbers of places at them, straight lines between: midway from place to place they mix.

    Mixing all the way is softer (0.915 of the truth's sharpness against 0.94), not mixing at all shows steps where
    frames differ in brightness, and noise; their error is the same.
    """
    if len(places) == 1:
        return places, np.zeros(1)
    gaps = np.diff(places)
    at = places[:-1, None] + gaps[:, None] * ((1 - _MIXED) / 2, (1 + _MIXED) / 2)
    number = np.arange(len(gaps))
    return at.ravel(), np.stack([number, number + 1], axis=1).ravel().astype(np.float64)
