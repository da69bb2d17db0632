"""The pipeline: frames in index order go in, one fused image comes out. Memory does not grow with their number.

`examine`, `register` and `fuse` are apart, so that a caller can examine frame k+2 and register frame k+1 while frame k
is being fused. `examine` may be called from any thread, `register` from one and `fuse` from one, in index order.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import cv2
import numpy as np

from focusrail.errors import FrameSizeDiffers, NotRegistered, TooFewFrames
from focusrail.model.method import Method
from focusrail.model.outputs import Outputs
from focusrail.stacking import kernels
from focusrail.stacking.accumulators import accumulator
from focusrail.stacking.arrays import Allocate, Gain, Image, Plane, Transform
from focusrail.stacking.canvas import STRIPE_ROWS, Stripe, ValidArea
from focusrail.stacking.depth_map import DepthMap, Won, find_depth
from focusrail.stacking.exposure import ExposureReference
from focusrail.stacking.features import Found, Reduced
from focusrail.stacking.focus_measure import Scores, luma8
from focusrail.stacking.focus_peak import PeakTracker
from focusrail.stacking.fusion import Accumulator, Fused
from focusrail.stacking.laying import Laid, lay_stripe, stripes_of
from focusrail.stacking.reach import Unreached, unreached
from focusrail.stacking.registration import Registrar, Seen, reduce, see
from focusrail.stacking.resynthesis import FirstLook, SecondLook, resynthesise
from focusrail.stacking.slabs import Slab, Slabs
from focusrail_drivers.base import Accelerator, AdaptsToPicture

_NO_MORE = Outputs()
Spectator = Callable[[str, int, Stripe, Plane], None]  # stage, frame index, stripe, the stripe's own rows


@dataclass(frozen=True, slots=True)
class Examined:
    """A frame with what can be seen in it alone."""

    frame: Image
    small: Image  # the same, reduced for registration and exposure
    reduced: Reduced  # its luma
    seen: Seen | None  # None where transforms are known beforehand, or frames lie on each other already


@dataclass(frozen=True, slots=True)
class Registered:
    """A frame with its place on the canvas."""

    index: int
    position: float
    frame: Image
    found: Found
    gain: Gain


@dataclass(frozen=True, slots=True)
class Result:
    """The finished stack, cropped to the area that every used frame covers."""

    fused: Fused
    crop: tuple[int, int, int, int]  # x, y, width, height on the canvas
    won: dict[int, float]  # in the order of fusing: frame index -> share of the pixels for which it is the sharpest
    tracker: PeakTracker
    halo_px: int = 0  # of the stripes that frames were warped in
    found: DepthMap | None = None  # where fusing had need of it
    by_colour: bool = False  # frames were chosen by their colour, too

    def depth(self, executor: Executor | None = None) -> DepthMap:
        """The depth map, in the unit of the positions, cropped likewise. To be asked for once, after `unreached`."""
        if self.found is not None:
            return self.found
        seen = self.tracker
        won = Won(self.fused.index, dict(zip(self.won, seen.positions, strict=True))) if self.by_colour else None
        return find_depth(seen.take(), seen.positions, noise=seen.noise, crop=self.crop, won=won, executor=executor)

    def unreached(self) -> list[Unreached]:
        """What is still getting sharper where the stack begins or ends."""
        seen = self.tracker
        return unreached(seen.peaks, seen.positions, noise=seen.noise, crop=self.crop)


class Stacker:
    """Stacks frames of one size and depth. `index` is any number below 65,536 that grows from frame to frame."""

    def __init__(
        self,
        method: Method,
        *,
        accelerator: Accelerator,
        executor: Executor,
        spectator: Spectator | None = None,
        known: dict[int, Found] | None = None,
        reference: Image | None = None,
        slab: Callable[[Slab], None] | None = None,
        outputs: Outputs = _NO_MORE,
        allocate: Allocate = np.zeros,
    ) -> None:
        """`known` transforms (from a pass made before) replace registration; `reference` then gives the exposure.

        `slab` is given every slab that `outputs` asks for, as soon as it is finished. `allocate` says where the planes
        lie that are as large as a frame.
        """
        self._method = method
        self._accelerator = accelerator
        self._executor = executor
        self._spectator = spectator
        self._allocate = allocate
        self._registrar = Registrar(method.registration)
        self._known = known
        self._exposure: ExposureReference | None = None
        self._first: tuple[tuple[int, ...], np.dtype[np.generic]] | None = None
        if reference is not None:
            self._first = reference.shape, reference.dtype
            self._exposure = ExposureReference(reduce(reference, method.registration)[0])
        self._accumulator: Accumulator | FirstLook | None = None
        self._tracker: PeakTracker | None = None
        self._valid: ValidArea | None = None
        self._slabs: Slabs | None = None
        self._slab, self._outputs = slab, outputs
        self._used: list[Laid] = []  # the frames that have been fused

    def examine(self, frame: Image) -> Examined:
        """What registration needs of a frame."""
        small, reduced = reduce(frame, self._method.registration)
        looked_at = self._known is None and not self._method.aligned
        return Examined(frame, small, reduced, see(reduced, self._method.registration) if looked_at else None)

    def register(self, examined: Examined, index: int, position: float) -> Registered:
        """Find a frame's place. Raises FrameSizeDiffers, NotRegistered: then the frame is to be left out."""
        frame = examined.frame
        if self._first is not None and (frame.shape, frame.dtype) != self._first:
            others = "the first frame is" if self._known is None else "the others are"
            own, theirs = _size(frame.shape, frame.dtype), _size(*self._first)
            raise FrameSizeDiffers(f"is {own}, {others} {theirs}: take out what is of another size")
        if examined.seen is not None:
            found = self._registrar.add(examined.seen, position)
        elif self._method.aligned:
            found = Found()
        elif self._known is not None and index in self._known:
            found = self._known[index]
        else:
            raise NotRegistered("could not be registered beforehand")
        self._first = (frame.shape, frame.dtype)
        gain = self._gain(examined, found.transform) if self._method.normalise_exposure else kernels.UNCHANGED
        return Registered(index, position, frame, found, gain)

    def _gain(self, examined: Examined, transform: Transform) -> Gain:
        if self._exposure is None:
            self._exposure = ExposureReference(examined.small)
        to_full = examined.reduced.to_full()
        return self._exposure.gain(examined.small, np.linalg.inv(to_full) @ transform @ to_full)

    def fuse(self, registered: Registered) -> float:
        """Fold a registered frame in; return its mean focus measure (grey levels)."""
        frame = registered.frame
        height, width = frame.shape[:2]
        if self._accumulator is None:
            if isinstance(self._accelerator, AdaptsToPicture):
                self._accelerator.probe(luma8(frame))
            if self._method.two_passes:
                self._accumulator = FirstLook(self._accelerator)
            else:
                self._accumulator = self._make_accumulator(height, width, frame.dtype)
            self._tracker = PeakTracker(frame, self._accelerator, self._allocate)
            self._valid = ValidArea(width, height)
            self._slabs = self._begin_slabs(height, width)
        assert self._valid is not None
        assert self._tracker is not None
        self._valid.add(registered.found.transform)
        number = self._tracker.begin(registered.position)
        transform, gain, index = registered.found.transform, registered.gain, registered.index
        self._used.append(Laid(index, transform, gain))
        self._accumulator.begin(frame, transform, gain, index)
        if self._slabs is not None:
            self._slabs.begin(frame, transform, gain, index)
        cut = stripes_of(height, self._method, halo_px=self._accumulator.halo_px)
        focus = sum(self._executor.map(lambda s: self._fold(registered, s, number), cut)) / (height * width)
        self._accumulator.end(index)
        if self._slabs is not None:
            self._slabs.end(index)
        return focus

    def _make_accumulator(self, height: int, width: int, dtype: np.dtype[np.generic]) -> Accumulator:
        return accumulator(height, width, self._method, dtype, accelerator=self._accelerator, allocate=self._allocate)

    def _begin_slabs(self, height: int, width: int) -> Slabs | None:
        if self._slab is None or not self._outputs.slab_frames:
            return None

        def make() -> Accumulator:
            return self._make_accumulator(height, width, np.dtype(np.uint16))

        return Slabs(self._outputs.slab_frames, self._outputs.slab_overlap, make=make, done=self._slab)

    def _fold(self, registered: Registered, stripe: Stripe, number: int) -> float:
        assert self._accumulator is not None
        assert self._tracker is not None
        tile = lay_stripe(registered.frame, registered.found.transform, stripe, self._method, gain=registered.gain)
        luma = kernels.luma(tile)
        scores = Scores.of(luma, self._accelerator)
        measure = self._accumulator.add(stripe, tile, luma, scores, registered.index)
        self._tracker.add(stripe, scores, number)
        if self._slabs is not None:
            self._slabs.add(stripe, tile, luma, scores, registered.index)
        if self._spectator is not None:
            aligned = kernels.join(tile[:, stripe.inner], registered.frame.dtype)
            self._spectator("aligned", registered.index, stripe, aligned)
            self._spectator("measure", registered.index, stripe, measure)
        return float(cv2.sumElems(scores.fine[stripe.inner])[0]) / self._accelerator.configure().scale

    def finish(self, look: SecondLook | None = None) -> Result:
        """The result of all frames so far; a method of two passes takes a second `look` at them.

        Raises TooFewFrames when there are fewer than two, or no common area.
        """
        if self._accumulator is None or self._tracker is None or self._valid is None or len(self._used) < 2:
            raise TooFewFrames(f"a stack needs two frames that can be used, there is {len(self._used)}")
        if self._slabs is not None:
            self._slabs.finish()
            self._slabs = None
        crop = x, y, w, h = self._covered()
        if w == 0 or h == 0:
            raise TooFewFrames("the frames have no area in common: they are probably not of one stack")
        depth = None
        if isinstance(self._accumulator, FirstLook):
            assert look is not None, "this method takes two passes"
            fused, depth = self._look_again(look, crop)
        else:
            window = (slice(y, y + h), slice(x, x + w))
            whole = self._accumulator.finish()
            fused = Fused(whole.image[window], whole.index[window])
        counts = np.zeros(self._used[-1].index + 1, np.int64)
        for top in range(0, h, STRIPE_ROWS):
            counts += np.bincount(fused.index[top : top + STRIPE_ROWS].ravel(), minlength=len(counts))
        won = {one.index: float(counts[one.index] / (w * h)) for one in self._used}
        by_colour = self._method.fusion == "bands"
        return Result(fused, crop, won, self._tracker, self._accumulator.halo_px, depth, by_colour)

    def _look_again(self, look: SecondLook, crop: tuple[int, int, int, int]) -> tuple[Fused, DepthMap]:
        seen, executor = self._tracker, self._executor
        assert seen is not None
        depth = find_depth(seen.peaks, seen.positions, noise=seen.noise, crop=crop, executor=executor)
        fused = resynthesise(
            depth.depth, seen.positions, self._used, look=look, method=self._method, crop=crop, executor=executor,
            allocate=self._allocate,
        )  # fmt: skip
        return fused, depth

    def glance(self, *, longest_px: int) -> Image | None:
        """The composite so far, as much of it as all its frames cover, reduced to about `longest_px` on the canvas.

        None before the first frame, and while a method of two passes has only begun. Not while `fuse` runs.
        """
        if self._accumulator is None or isinstance(self._accumulator, FirstLook) or self._first is None:
            return None
        step = max(1, max(self._first[0][:2]) // longest_px)
        x, y, w, h = (-(-length // step) for length in self._shown())
        return np.ascontiguousarray(self._accumulator.glance(step)[y : y + h, x : x + w])

    def glance_depth(self, *, longest_px: int) -> DepthMap | None:
        """The depth so far of what `glance` shows, from so few pixels that it is at most `longest_px` wide and high.

        None before the first frame. Not while `fuse` runs.
        """
        seen = self._tracker
        if seen is None:
            return None
        each = -(-2 * max(seen.peaks.best.shape) // longest_px)
        some = seen.peaks.window(*(slice(each // 2, None, each),) * 2)
        x, y, w, h = (-(-length // each) for length in self._shown())
        crop = (x, y, min(w, 2 * some.best.shape[1] - x), min(h, 2 * some.best.shape[0] - y))
        return find_depth(some, seen.positions, noise=seen.noise, crop=crop, executor=self._executor)

    def _covered(self) -> tuple[int, int, int, int]:
        """x, y, width and height of what all frames cover so far; of the whole canvas where nothing is cropped."""
        assert self._first is not None
        assert self._valid is not None
        height, width = self._first[0][:2]
        return self._valid.rectangle() if self._method.crop else (0, 0, width, height)

    def _shown(self) -> tuple[int, int, int, int]:
        """The same for those who look on: of the whole canvas, too, where the frames share little."""
        assert self._first is not None
        height, width = self._first[0][:2]
        _, _, w, h = covered = self._covered()
        return covered if 4 * w * h >= width * height else (0, 0, width, height)


def _size(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> str:
    return f"{shape[1]} x {shape[0]} px at {dtype.itemsize * 8} bit"


def relative_to(found: dict[int, Found], reference: int) -> dict[int, Found]:
    """Transforms to the first frame, turned into transforms to the frame `reference`."""
    inverse: Transform = np.linalg.inv(found[reference].transform)
    turned = {}
    for index, one in found.items():
        transform = inverse @ one.transform
        turned[index] = replace(one, transform=transform / transform[2, 2])
    return turned


def smallest_field(found: dict[int, Found], size: tuple[int, int]) -> int:
    """The frame of (width, height) pixels that shows the least of the scene: every other one covers all of it.

    Of equals, the earliest.
    """
    outline = np.array([[(0, 0), (size[0], 0), size, (0, size[1])]], np.float64)

    def area(index: int) -> float:
        x, y = cv2.perspectiveTransform(outline, found[index].transform)[0].T
        return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))

    return min(sorted(found), key=area)
