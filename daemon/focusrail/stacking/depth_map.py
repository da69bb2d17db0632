"""The depth map: where along the rail is each pixel sharpest, and how sure is that?"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.stacking.arrays import Plane
from focusrail.stacking.canvas import Stripe, stripes
from focusrail.stacking.focus_peak import FocusPeaks
from focusrail.stacking.kernels import decode

_Map: TypeAlias = Callable[[Callable[[Stripe], None], Iterable[Stripe]], Iterator[None]]

# Confidence is the probability that the depth is right to one step: 1 / (1 + exp(-x)), where x is a sum of these
# weights times what tells right from wrong. Fitted to simulated scenes, whose truth is known: see docs/algorithms.md.
_OFFSET = -5.1
_PER_ENERGY = 1.95  # times ln(energy / noise), which stops to count at _ENOUGH: more light is not more truth
_ENOUGH = 60.0
_PER_ROUGHNESS = -0.65  # times ln(how far the depth departs from the plane of its neighbourhood, in steps)
_ROUGH_PX = 7  # the neighbourhood's side, in half-size pixels
_MEDIAN_PX = 5
_HALO_PX = _MEDIAN_PX // 2 + 2 * (_ROUGH_PX // 2)
_ROWS = 128  # of a stripe: its planes stay in the cache
_LEAST_ROUGHNESS, _MOST_ROUGHNESS = 0.01, 10.0
_PER_LOCAL_ENERGY = 1.48  # times ln(energy / largest within two pixels): dim beside something bright is its halo
# Of a peak beyond the first or last frame two points do not tell how far beyond it is: from so many steps on its
# confidence is multiplied by this.
_OUTSIDE_STEPS, _OUTSIDE_SHARE = 0.1, 0.4
# A frame that won by its colour, too, and is further away than so many steps: the confidence is multiplied by this.
_APART_STEPS, _APART_SHARE = 2.5, 0.5
SURE = 0.9  # what is surer than this may be relied upon
HOLE = 0.2  # below this confidence a depth is no measurement
_MEASURED = 0.35  # above this it is not mixed with its surroundings
_STRONG = 30.0  # times the noise: peaks that tell the stack's usual curvature
_GAP_STEPS = 2.5  # frames further apart are no neighbours: the end of a pass, or frames that are missing
_ENERGY_FLOOR = 1e-12
_LEAST_SCORE = np.float32(-80.0)  # beyond it the exponential leaves single precision
_COARSE_SHARE = 0.03  # how much a coarser scale has to say where a pixel is sure of itself
_SMALLEST_PX = 4


@dataclass(frozen=True, slots=True)
class DepthMap:
    """Where each pixel is sharpest. All planes (height, width)."""

    depth: Plane  # float32, in the unit of the positions; where there is a hole, a guess from its surroundings
    step: float  # the usual distance between frames, in the same unit
    half_confidence: Plane  # confidence() at half size: float32, a pixel for two rows and columns of the canvas
    corner: tuple[int, int]  # row and column of the depth's first pixel in the enlarged half-size plane: 0 or 1

    def confidence(self) -> Plane:
        """float32, 0..1: the probability that the depth is right to one step between frames."""
        return _cut(_enlarged(self.half_confidence, most_apart=np.inf, run=map), self.corner, self.depth.shape)

    def confidence_255(self) -> npt.NDArray[np.uint8]:
        """confidence() in 8 bits, 255 for 1, without ever being a plane of floats."""
        small = cv2.convertScaleAbs(self.half_confidence, alpha=255)
        size = (2 * small.shape[1], 2 * small.shape[0])
        large = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(_cut(large, self.corner, self.depth.shape), np.uint8)

    def hole(self) -> Plane:
        """bool: nothing was measured here."""
        return self.confidence() < np.float32(HOLE)


@dataclass(frozen=True, slots=True)
class Won:
    """The frame of which each pixel was taken by a method that sees more than this one does: colour."""

    index: Plane  # (height, width) uint16, of the crop
    positions: dict[int, float]  # of the frames by their index


def find_depth(
    peaks: FocusPeaks,
    positions: Sequence[float],
    *,
    noise: float,
    crop: tuple[int, int, int, int],
    won: Won | None = None,
    executor: Executor | None = None,
) -> DepthMap:
    """The depth of the canvas's part `crop` (x, y, width, height in full-size pixels).

    `positions` are those of the frames folded, in that order: evenly spaced or not, ascending or not. `noise` is the
    energy that noise alone makes. Where `won` tells otherwise, the depth is doubted. The result does not depend
    on the executor.
    """
    run: _Map = map if executor is None else executor.map
    x, y, width, height = crop
    seen = peaks.window(slice(y // 2, (y + height + 1) // 2), slice(x // 2, (x + width + 1) // 2))
    spacing = _Spacing.of(positions)
    position, sure = _measure(seen, spacing, noise=noise, run=run)
    del peaks, seen  # perhaps nobody else has need of their memory
    _fill_holes(position, sure, run=run)
    large = _enlarged(position, most_apart=0.5 * spacing.step, run=run)
    corner = (y % 2, x % 2)
    if won is not None:
        _doubt(position, sure, won, corner, step=spacing.step, run=run)
    return DepthMap(_cut(large, corner, (height, width)), spacing.step, sure, corner)


def overshoot(peaks: FocusPeaks, positions: Sequence[float], *, noise: float) -> tuple[Plane, Plane]:
    """How many steps before the lowest and beyond the highest position each peak lies; (height, width) float32.

    Negative inside. Of a peak outside only one neighbour of the best frame is known, and its curvature is taken to be
    the usual one: so it is an estimate, and NaN where no peak tells what is usual.
    """
    spacing = _Spacing.of(positions)
    found = _offsets(peaks, spacing, usual=_usual_curvature(peaks, spacing, noise=noise)) / np.float32(spacing.step)
    at = (spacing.position / spacing.step).astype(np.float32)
    found += np.take(at, peaks.rank)
    return at.min() - found, found - at.max()


def _cut(plane: Plane, corner: tuple[int, int], shape: tuple[int, ...]) -> Plane:
    return plane[corner[0] : corner[0] + shape[0], corner[1] : corner[1] + shape[1]]


@dataclass(frozen=True, slots=True)
class _Spacing:
    """The frames' positions, and the neighbours that are near enough to fit a peak through."""

    position: npt.NDArray[np.float64]
    to_before: npt.NDArray[np.float32]  # from each frame to the one folded before it; NaN: that is no neighbour
    to_after: npt.NDArray[np.float32]
    step: float  # the usual distance of neighbours; 1 where there is none

    @staticmethod
    def of(positions: Sequence[float]) -> _Spacing:
        at = np.asarray(positions, np.float64)
        apart = np.diff(at)
        moved = np.abs(apart[apart != 0])
        step = float(np.median(moved)) if moved.size else 1.0
        near = (apart != 0) & (np.abs(apart) <= _GAP_STEPS * step)
        to_before, to_after = np.full((2, *at.shape), np.nan, np.float32)
        to_before[1:][near], to_after[:-1][near] = -apart[near], apart[near]
        to_after[to_before * to_after > 0] = np.nan  # where the rail turns round, both are on one side
        return _Spacing(at, to_before, to_after, step)


def _measure(peaks: FocusPeaks, spacing: _Spacing, *, noise: float, run: _Map) -> tuple[Plane, Plane]:
    """Positions without lone outliers and the probability that they are right, (height, width) float32."""
    height, width = peaks.best.shape
    usual = _usual_curvature(peaks, spacing, noise=noise)
    position, sure = np.empty((height, width), np.float32), np.empty((height, width), np.float32)

    def measure(stripe: Stripe) -> None:
        part = peaks.window(slice(stripe.halo_top, stripe.halo_bottom), slice(None))
        vertex, outside = _vertices(part, spacing, usual=usual)
        vertex = cv2.medianBlur(vertex, _MEDIAN_PX)
        position[stripe.rows] = vertex[stripe.inner]
        sure[stripe.rows] = _probability(part, vertex, outside, noise=noise, step=spacing.step)[stripe.inner]

    deque(run(measure, stripes(height, halo_px=_HALO_PX, rows=_ROWS)), maxlen=0)
    return position, sure


def _vertices(peaks: FocusPeaks, spacing: _Spacing, *, usual: float) -> tuple[Plane, Plane]:
    """Position of the energy's peak, and from 0 to 1 whether it lies outside the stack; (height, width) float32.

    The vertex of a parabola through the logarithm of three energies: exact where energy over position is a Gaussian
    (Nayar and Nakagawa 1994, doi:10.1109/34.308479). Where the best frame has one neighbour only, as at the ends of
    the stack: of a parabola of the usual curvature.
    """
    found = _offsets(peaks, spacing, usual=usual)
    found += np.take(spacing.position.astype(np.float32), peaks.rank)
    low, high = np.float32(spacing.position.min()), np.float32(spacing.position.max())
    outside = np.maximum(low - found, found - high)
    outside *= np.float32(1 / (_OUTSIDE_STEPS * spacing.step))
    return np.clip(found, low, high, out=found), np.clip(outside, 0, 1, out=outside)


def _offsets(peaks: FocusPeaks, spacing: _Spacing, *, usual: float) -> Plane:
    """How far from the best frame's position the peak is, float32."""
    left, right = (np.take(table, peaks.rank) for table in (spacing.to_before, spacing.to_after))
    fall_left, fall_right, curvature = _shape(peaks, left, right)
    alone_right = np.isnan(left)
    curvature[alone_right | np.isnan(right)] = usual
    np.copyto(left, right, where=alone_right)
    np.copyto(fall_left, fall_right, where=alone_right)
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = 0.5 * left + fall_left / (2 * curvature * left)
    # No neighbours, or as sharp in all three frames: then the best frame itself.
    return np.nan_to_num(vertex, copy=False, nan=0.0, posinf=0.0, neginf=0.0)


def _shape(peaks: FocusPeaks, left: Plane, right: Plane) -> tuple[Plane, Plane, Plane]:
    """By how much ln(energy) falls to the frames before and after, and the parabola's (negative) second coefficient.

    With y(t) = y0 + a t + c t^2, t from the best frame, y(left) = y0 - u and y(right) = y0 - d.
    """
    top, before, after = (np.log(np.maximum(decode(p), _ENERGY_FLOOR)) for p in (peaks.best, peaks.before, peaks.after))
    u, d = top - before, top - after
    with np.errstate(divide="ignore", invalid="ignore"):
        return u, d, (u / left - d / right) / (right - left)


def _usual_curvature(peaks: FocusPeaks, spacing: _Spacing, *, noise: float) -> float:
    """The median second coefficient of strong peaks; NaN where there are none."""
    some = peaks.window(slice(None, None, 4), slice(None, None, 4))
    left, right = (np.take(table, some.rank) for table in (spacing.to_before, spacing.to_after))
    strong = (decode(some.best) > _STRONG * noise) & np.isfinite(left) & np.isfinite(right)
    if not strong.any():
        return np.nan
    return min(float(np.median(_shape(some, left, right)[2][strong])), -1e-9 / spacing.step**2)


def _probability(peaks: FocusPeaks, position: Plane, outside: Plane, *, noise: float, step: float) -> Plane:
    """The probability that a position is right to one step, (height, width) float32."""
    energy = decode(peaks.best)
    near = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    score = np.log(energy / cv2.dilate(energy, near)) * np.float32(_PER_LOCAL_ENERGY)
    np.clip(energy * np.float32(1 / noise), 1e-6, _ENOUGH, out=energy)
    score += np.log(energy, out=energy) * np.float32(_PER_ENERGY)
    rough = _roughness(position)
    rough *= np.float32(1 / step)
    np.clip(rough, _LEAST_ROUGHNESS, _MOST_ROUGHNESS, out=rough)
    score += np.log(rough, out=rough) * np.float32(_PER_ROUGHNESS)
    score += np.float32(_OFFSET)
    np.exp(-np.maximum(score, _LEAST_SCORE, out=score), out=score)
    score += 1
    share = outside * np.float32(_OUTSIDE_SHARE - 1) + 1
    return np.divide(share, score, out=score)


def _roughness(position: Plane) -> Plane:
    """Root mean square departure from the neighbourhood's mean, which for a plane is nothing, however steep."""
    size = (_ROUGH_PX, _ROUGH_PX)
    apart = position - cv2.blur(position, size)
    mean = cv2.blur(cv2.multiply(apart, apart, dst=apart), size)
    return cv2.sqrt(np.maximum(mean, 0, out=mean))  # running sums may end below zero


def _fill_holes(position: Plane, sure: Plane, *, run: _Map) -> None:
    """Replace, in place, positions where nothing was measured by what their surroundings say."""
    middle = np.float32(np.median(position[::8, ::8]))
    position -= middle
    filled = _fill(position, sure * sure)

    def blend(stripe: Stripe) -> None:
        old, new = position[stripe.rows], filled[stripe.rows]
        share = np.clip((sure[stripe.rows] - np.float32(HOLE)) * np.float32(1 / (_MEASURED - HOLE)), 0, 1)
        old -= new
        old *= share
        old += new
        old += middle

    deque(run(blend, stripes(len(position), halo_px=0, rows=_ROWS)), maxlen=0)


def _doubt(position: Plane, sure: Plane, won: Won, corner: tuple[int, int], *, step: float, run: _Map) -> None:
    """Lower, in place, the confidence where the winner is far from the depth.

    What stands thinly before strong texture is often missed by the energy of luma, and told by its colour.
    """
    table = np.full(max(won.positions) + 1, np.nan, np.float32)
    for index, at in won.positions.items():
        table[index] = at
    rows, columns = (
        np.clip(2 * np.arange(half) - begin, 0, full - 1)
        for half, begin, full in zip(position.shape, corner, won.index.shape, strict=True)
    )

    def lower(stripe: Stripe) -> None:
        winner = np.take(table, np.take(won.index[rows[stripe.rows]], columns, axis=1))
        apart = np.abs(winner - position[stripe.rows]) > np.float32(_APART_STEPS * step)
        sure[stripe.rows][apart] *= np.float32(_APART_SHARE)

    deque(run(lower, stripes(len(position), halo_px=0, rows=_ROWS)), maxlen=0)


def _enlarged(plane: Plane, *, most_apart: float, run: _Map) -> Plane:
    """Twice the size: smooth, but without values in between where neighbours differ by more than `most_apart`."""
    height, width = plane.shape
    large = np.empty((2 * height, 2 * width), np.float32)

    def enlarge(stripe: Stripe) -> None:
        part = plane[stripe.halo_top : stripe.halo_bottom]
        size = (2 * width, 2 * len(part))
        smooth = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
        if most_apart < np.inf:
            hard = cv2.resize(part, size, interpolation=cv2.INTER_NEAREST)
            cv2.copyTo(hard, cv2.compare(cv2.absdiff(smooth, hard), most_apart, cv2.CMP_GT), smooth)
        large[2 * stripe.top : 2 * stripe.bottom] = smooth[2 * stripe.inner.start : 2 * stripe.inner.stop]

    deque(run(enlarge, stripes(height, halo_px=1, rows=_ROWS)), maxlen=0)
    return large


def _fill(position: Plane, sure: Plane) -> Plane:
    height, width = position.shape
    if min(height, width) <= _SMALLEST_PX:
        total = float(sure.sum())
        mean = float((position * sure).sum() / total) if total > 0 else float(np.median(position))
        return (position * sure + mean * (1 - sure)).astype(np.float32)
    size = ((width + 1) // 2, (height + 1) // 2)
    coarse_sure = cv2.resize(sure, size, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(position * sure, size, interpolation=cv2.INTER_AREA)
    coarse /= np.maximum(coarse_sure, 1e-6)
    # Where a coarse pixel has seen anything sure at all it is worth more than its share: confidence spreads.
    filled = cv2.resize(_fill(coarse, np.minimum(1, 4 * coarse_sure)), (width, height), interpolation=cv2.INTER_LINEAR)
    weight = sure * (1 - _COARSE_SHARE)
    filled += (position - filled) * weight
    return filled
