"""The depth map: where along the rail is each pixel sharpest, and how sure is that?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.stacking.arrays import Plane
from focusrail.stacking.canvas import STRIPE_ROWS
from focusrail.stacking.focus_peak import FocusPeaks, decode

# Confidence is the probability that the depth is right to one step: 1 / (1 + exp(-x)), where x is a sum of these
# weights times what tells right from wrong. Fitted to simulated scenes, whose truth is known: see docs/algorithms.md.
_OFFSET = -5.1
_PER_ENERGY = 1.95  # times ln(energy / noise), which stops to count at _ENOUGH: more light is not more truth
_ENOUGH = 60.0
_PER_ROUGHNESS = -0.65  # times ln(how far the depth departs from the plane of its neighbourhood, in steps)
_ROUGH_PX = 7  # the neighbourhood's side, in half-size pixels
_LEAST_ROUGHNESS, _MOST_ROUGHNESS = 0.01, 10.0
_PER_LOCAL_ENERGY = (
    1.48  # times ln(energy / largest within two pixels): what is dim beside something bright is its halo
)
# Of a peak beyond the first or last frame two points do not tell how far beyond it is: from so many steps on its
# confidence is multiplied by this.
_OUTSIDE_STEPS, _OUTSIDE_SHARE = 0.1, 0.4
SURE = 0.9  # what is surer than this may be relied upon
_HOLE = 0.2  # below this confidence a depth is no measurement
_MEASURED = 0.35  # above this it is not mixed with its surroundings
_STRONG = 30.0  # times the noise: peaks that tell the stack's usual curvature
_GAP_STEPS = 2.5  # frames further apart are no neighbours: the end of a pass, or frames that are missing
_ENERGY_FLOOR = 1e-12
# What `lob` goes by, which keeps no peaks: below this many times the noise level the sharpest of many frames is only
# the luckiest; at twice that it is sure.
_UNSURE = 3.0
_COARSE_SHARE = 0.03  # how much a coarser scale has to say where a pixel is sure of itself
_SMALLEST_PX = 4


@dataclass(frozen=True, slots=True)
class DepthMap:
    """Where each pixel is sharpest. All planes (height, width)."""

    depth: Plane  # float32, in the unit of the positions; where there is a hole, a guess from its surroundings
    confidence: Plane  # float32, 0..1: the probability that the depth is right to one step between frames
    hole: Plane  # bool: nothing was measured here


def find_depth(
    peaks: FocusPeaks, positions: Sequence[float], *, noise: float, crop: tuple[int, int, int, int]
) -> DepthMap:
    """The depth of the canvas's part `crop` (x, y, width, height in full-size pixels).

    `positions` are those of the frames folded, in that order: evenly spaced or not, ascending or not. `noise` is the
    energy that noise alone makes.
    """
    x, y, width, height = crop
    rows, columns = slice(y // 2, (y + height + 1) // 2), slice(x // 2, (x + width + 1) // 2)
    seen = peaks.window(rows, columns)
    table = _Spacing.of(positions)
    position, outside = _vertices(seen, table, noise=noise)
    position = cv2.medianBlur(position, 5)  # lone outliers
    sure = _probability(seen, position, outside, noise=noise, step=table.step)
    filled = _fill_holes(position, sure)
    window = (slice(y % 2, y % 2 + height), slice(x % 2, x % 2 + width))
    confidence_full = _enlarged(sure)[window]
    hole = _nearest((sure < _HOLE).astype(np.uint8))[window].astype(bool)
    return DepthMap(_enlarged(filled, most_apart=0.5 * table.step)[window], confidence_full, hole)


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


def _vertices(peaks: FocusPeaks, spacing: _Spacing, *, noise: float) -> tuple[Plane, Plane]:
    """Position of the energy's peak, and from 0 to 1 whether it lies outside the stack; (height, width) float32.

    The vertex of a parabola through the logarithm of three energies: exact where energy over position is a Gaussian
    (Nayar and Nakagawa 1994, doi:10.1109/34.308479). Where the best frame has one neighbour only, as at the ends of
    the stack: of a parabola as curved as the others are.
    """
    shape = peaks.best.shape
    usual = _usual_curvature(peaks, spacing, noise=noise)
    position, outside = np.empty(shape, np.float32), np.empty(shape, np.float32)
    low, high = np.float32(spacing.position.min()), np.float32(spacing.position.max())
    for top in range(0, shape[0], STRIPE_ROWS):
        rows = slice(top, top + STRIPE_ROWS)
        stripe = peaks.window(rows, slice(None))
        found = _offsets(stripe, spacing, usual=usual)
        found += np.take(spacing.position.astype(np.float32), stripe.rank)
        outside[rows] = np.maximum(low - found, found - high)
        np.clip(found, low, high, out=position[rows])
    outside *= np.float32(1 / (_OUTSIDE_STEPS * spacing.step))
    return position, np.clip(outside, 0, 1, out=outside)


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
    np.exp(-score, out=score)
    score += 1
    share = outside * np.float32(_OUTSIDE_SHARE - 1) + 1
    return np.divide(share, score, out=score)


def _roughness(position: Plane) -> Plane:
    """Root mean square departure from the neighbourhood's mean, which for a plane is nothing, however steep."""
    size = (_ROUGH_PX, _ROUGH_PX)
    apart = position - cv2.blur(position, size)
    return cv2.sqrt(cv2.blur(cv2.multiply(apart, apart, dst=apart), size))


def _fill_holes(position: Plane, sure: Plane) -> Plane:
    middle = np.float32(np.median(position[::8, ::8]))
    filled = _fill(position - middle, sure * sure)
    filled += middle
    weight = np.clip((sure - np.float32(_HOLE)) * np.float32(1 / (_MEASURED - _HOLE)), 0, 1)
    filled += (position - filled) * weight
    return filled


def _enlarged(plane: Plane, most_apart: float | None = None) -> Plane:
    """Twice the size: smooth, but without values in between where neighbours differ by more than `most_apart`."""
    height, width = plane.shape
    smooth = cv2.resize(plane, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
    if most_apart is not None:
        hard = _nearest(plane)
        np.copyto(smooth, hard, where=cv2.absdiff(smooth, hard) > most_apart)
    return smooth


def _nearest(plane: Plane) -> Plane:
    height, width = plane.shape
    return cv2.resize(plane, (2 * width, 2 * height), interpolation=cv2.INTER_NEAREST)


def confidence(measure: Plane, noise: float) -> Plane:
    """0 where the focus measure drowns in noise, 1 where it stands out with its neighbours; (height, width) float32."""
    # In 256 steps: a median of bytes is many times faster than one of floats.
    scale = 255 / (_UNSURE * max(noise, 1e-6))
    sure = np.empty(measure.shape, np.uint8)
    for top in range(0, len(measure), STRIPE_ROWS):
        rows = slice(top, top + STRIPE_ROWS)
        sure[rows] = np.clip(measure[rows] * np.float32(scale) - 255, 0, 255)
    return cv2.medianBlur(sure, 5) * np.float32(1 / 255)


def depth_map(position: Plane, sure: Plane) -> Plane:
    """Positions with speckle removed and unsure pixels filled from their surroundings, (height, width) float32.

    A median drops lone outliers; then every scale of a pyramid of confidence-weighted means fills what the next finer
    one is unsure of (normalised convolution: Knutsson and Westin 1993, doi:10.1109/CVPR.1993.341081).
    """
    smooth = cv2.medianBlur(position, 5)
    # What no scale is sure of comes out as zero: let that be a depth of this stack, not the end of the rail.
    middle = np.float32(np.median(smooth[::8, ::8]))
    return _fill(smooth - middle, sure) + middle


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
