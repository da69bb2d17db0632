"""Slabs: depth intervals fused on their own, in the same pass as the whole stack. At most two are alive at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from focusrail.stacking.arrays import Gain, Image, Luma, Tile, Transform
from focusrail.stacking.canvas import Stripe
from focusrail.stacking.focus_measure import Scores
from focusrail.stacking.fusion import Accumulator


@dataclass(frozen=True, slots=True)
class Slab:
    """A finished slab: the whole canvas, uncropped."""

    first: int  # of the frames in it
    last: int
    image: Image  # (height, width, 3) uint16


@dataclass(slots=True)
class _Open:
    accumulator: Accumulator
    ends: int  # the first frame index that is beyond it
    indices: list[int] = field(default_factory=list)


class Slabs:
    """Folds frames into the slabs that they belong to, and hands over each slab when its last frame is in.

    Slab k holds the frame indices from k (frames - overlap) on, `frames` of them, whether or not some were left out: so
    its frames depend on nothing but the numbers. `overlap` is at most half of `frames`.
    """

    def __init__(
        self, frames: int, overlap: int, *, make: Callable[[], Accumulator], done: Callable[[Slab], None]
    ) -> None:
        self._frames, self._step = frames, frames - overlap
        self._make, self._done = make, done
        self._open: dict[int, _Open] = {}  # by the number of the slab
        self._last_done = -1  # frame index

    def begin(self, frame: Image, transform: Transform, gain: Gain, index: int) -> None:
        """A frame is to be folded in next, stripe by stripe, as for `Accumulator.begin`; indices grow."""
        for number in [number for number, slab in self._open.items() if slab.ends <= index]:
            self._close(number)
        newest = index // self._step
        oldest = max(0, -(-(index - self._frames + 1) // self._step))
        for number in range(oldest, newest + 1):
            if number not in self._open:
                self._open[number] = _Open(self._make(), number * self._step + self._frames)
            self._open[number].indices.append(index)
            self._open[number].accumulator.begin(frame, transform, gain, index)

    def add(self, stripe: Stripe, tile: Tile, luma: Luma, scores: Scores, index: int) -> None:
        """Fold in a stripe (with halo), as `Accumulator.add` does; from any thread."""
        for slab in self._open.values():
            slab.accumulator.add(stripe, tile, luma, scores, index)

    def end(self, index: int) -> None:
        """All stripes of the frame are in."""
        for slab in self._open.values():
            slab.accumulator.end(index)

    def finish(self) -> None:
        """No more frames: hand over what is left, but for a slab of which the one before has every frame."""
        for number in sorted(self._open):
            self._close(number)

    def _close(self, number: int) -> None:
        slab = self._open.pop(number)
        first, last = slab.indices[0], slab.indices[-1]
        if last > self._last_done:
            self._last_done = last
            self._done(Slab(first, last, slab.accumulator.finish().image))
