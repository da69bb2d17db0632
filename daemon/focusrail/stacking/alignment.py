"""Dense alignment: the transform between two neighbours, found on all pixels instead of on chosen points.

Both frames are reduced to a band of middle frequencies and divided by its local strength, so that neither exposure nor
the slow change of sharpness across the picture is mistaken for movement. On the remaining pattern of unit contrast,
Gauss-Newton (Lucas and Kanade 1981; with the mean of both gradients: Benhimane and Malis 2004,
doi:10.1109/IROS.2004.1389474) gives each small block its own displacement and its certainty; an M-estimator (Tukey's
biweight) fits the transform to the blocks, so that what moves by itself is outvoted. Coarse to fine on a pyramid, where
each level hands on what it knows: in a frame in which nothing is in focus, the finer levels show how the blur changes
and not where things are.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from focusrail.stacking.arrays import Transform
from focusrail.stacking.band_pass import BLOCK_PX, CELL_PX, GROUP, TEXTURED, Level, Values, means, scaling
from focusrail.stacking.blocks import Blocks, centres, compare

_STEPS = (3, 4, 4, 8)  # finest to coarsest
_ENOUGH_PX = 0.03  # a smaller step ends a level: the next would be its square
_LARGEST_STEP = 0.25  # of half the frame: nothing is found that far away
_TUKEY = 4.0  # times the robust standard deviation
_REWEIGHTINGS = 4
_SHARPNESS_POWER = 2.0  # what is in focus decides: only there is the transform that of the plane in focus
_REFOCUS_WIDTH = 0.7  # of the log ratio of strengths at which a block counts e times less
_PULL_PX2, _PULL_TRUST = 0.7, 0.1  # see _fit
_LAST_EXACT = 2  # coarsest level that is compared exactly: it may have to decide
_IN_FOCUS, _FOCUS_POWER = 3.0, 4.0  # energy against that one octave coarser, and how fast trust falls below it
_COARSER_TRUST = 0.2  # blocks of neighbouring levels overlap
_AGREE = 0.6  # correlation above which a group of blocks shows the same


@dataclass(frozen=True, slots=True)
class Aligned:
    """A transform of reduced pixels and what speaks for it."""

    transform: Transform
    textured: int  # groups of blocks that show more than noise in both frames
    agreeing: int  # of these, how many show the same after alignment
    residual_px: float  # median displacement that the agreeing ones have left, reduced pixels


def ranked(frame: tuple[Level, ...], target: tuple[Level, ...], starts: list[Transform]) -> list[Transform]:
    """The starts, that one first with which the pictures agree best on the coarsest level."""
    coarsest = len(frame) - 1
    scores = [compare(frame[-1], target[-1], _to_level(start, coarsest), exact=False).correlation() for start in starts]
    return [starts[k] for k in sorted(range(len(starts)), key=lambda k: (-scores[k], k))]


def align(frame: tuple[Level, ...], target: tuple[Level, ...], start: Transform, *, model: str, levels: int) -> Aligned:
    """The transform from `frame` to `target`, in reduced pixels of the finest level, on up to `levels` levels.

    The start must lead to within two pixels of the coarsest of them.
    """
    transform = start
    known: _Known | None = None
    for level in range(min(len(frame), levels) - 1, -1, -1):
        known = _solve(
            frame[level], target[level : level + 2], _to_level(transform, level), model,
            steps=_STEPS[level], exact=level <= _LAST_EXACT, coarser=known,
        )  # fmt: skip
        transform = _from_level(known.transform, level)
    assert known is not None
    return _judged(known.blocks, transform)


def _to_level(transform: Transform, level: int) -> Transform:
    return np.linalg.inv(scaling(level)) @ transform @ scaling(level)


def _from_level(transform: Transform, level: int) -> Transform:
    return scaling(level) @ transform @ np.linalg.inv(scaling(level))


def _jacobian(shape: tuple[int, ...], model: str) -> tuple[Values, Transform]:
    """(blocks, 2, degrees of freedom): how blocks move with each parameter; and the coordinates they are in."""
    height, width = shape
    unit = max(width, height) / 2
    normal = np.array([[1 / unit, 0, -(width - 1) / 2 / unit], [0, 1 / unit, -(height - 1) / 2 / unit], [0, 0, 1]])
    x, y = (c.ravel() for c in centres(shape))
    x, y = (x - (width - 1) / 2) / unit, (y - (height - 1) / 2) / unit
    one, zero = np.ones_like(x), np.zeros_like(x)
    if model == "translation":
        rows = [[one, zero], [zero, one]]
    elif model == "similarity":
        rows = [[x, -y, one, zero], [y, x, zero, one]]
    else:
        rows = [[x, y, one, zero, zero, zero], [zero, zero, zero, x, y, one]]
        if model == "homography":
            rows = [[*rows[0], -x * x, -x * y], [*rows[1], -x * y, -y * y]]
    return unit * np.stack([np.stack(row, axis=-1) for row in rows], axis=1), normal


def _update(parameters: Values, normal: Transform) -> Transform:
    """The small transform of pixels that parameters stand for."""
    if len(parameters) == 2:
        small = np.array([[1, 0, parameters[0]], [0, 1, parameters[1]], [0, 0, 1]])
    elif len(parameters) == 4:
        a, b, tx, ty = parameters
        small = np.array([[1 + a, -b, tx], [b, 1 + a, ty], [0, 0, 1]])
    else:
        small = np.eye(3)
        small[:2] += parameters[:6].reshape(2, 3)
        small[2, :2] = parameters[6:] if len(parameters) == 8 else 0
    return np.linalg.inv(normal) @ small @ normal


def _in_focus(blocks: Blocks, coarser: Level, trust: Values) -> float:
    """0..1, the part of what counts that is in focus: sharp texture has most of its energy in the finer band."""
    there = cv2.GaussianBlur(means(coarser.strength, BLOCK_PX // (2 * CELL_PX)), (0, 0), 1.0)
    sharp = np.minimum(blocks.weakest / (_IN_FOCUS * there + 1e-6), 1.0) ** _FOCUS_POWER
    return float(trust @ sharp.ravel()) / max(float(trust.sum()), 1e-30)


def _fit(blocks: Blocks, jacobian: Values, above: Level | None, prior: tuple[Values, Values]) -> tuple[Values, Values]:
    """The parameters on which the blocks agree, and how well they are known (the matrix of the normal equations).

    `prior` is such a matrix and the vector that belongs to it, from the coarser levels; `above` the next coarser level
    of the target.

    One more unknown is fitted and thrown away. Where sharpness rises across a block, the finer part of the pattern
    weighs more on one side than on the other, and the block seems to move along the gradient of the log of the ratio of
    strengths. How much depends on lens and texture (0.7 px^2 on simulated scenes), so it is fitted; that value is only
    leant on, since on an even slope the gradient is the same everywhere and cannot be told from a shift.
    """
    free = jacobian.shape[2]
    xx, xy, yy = blocks.xx.ravel(), blocks.xy.ravel(), blocks.yy.ravel()
    ux, uy = blocks.x.ravel(), blocks.y.ravel()
    tiny = 1e-3
    determinant = (xx + tiny) * (yy + tiny) - xy**2
    own = np.stack([((yy + tiny) * ux - xy * uy) / determinant, ((xx + tiny) * uy - xy * ux) / determinant], axis=-1)
    noise = blocks.difference.ravel() + tiny
    strength = blocks.weakest.ravel()
    trust = blocks.inside.ravel() / noise * np.exp(-((blocks.ratio.ravel() / _REFOCUS_WIDTH) ** 2))
    trust = trust * (strength / max(float(strength.max()), 1e-12)) ** _SHARPNESS_POWER
    if above is not None:
        trust = trust * _in_focus(blocks, above, trust)
    down, across = np.gradient(blocks.ratio, BLOCK_PX)
    gradient = np.stack([across, down], axis=-1).reshape(-1, 2, 1)
    design = np.concatenate([jacobian, gradient], axis=2)
    # Gauss-Newton's normal equations of every block, summed with weights.
    hx = xx[:, None] * design[:, 0] + xy[:, None] * design[:, 1]
    hy = xy[:, None] * design[:, 0] + yy[:, None] * design[:, 1]
    right = ux[:, None] * design[:, 0] + uy[:, None] * design[:, 1]
    weight, parameters, known = trust, np.zeros(free), np.zeros((free, free))
    counted = trust > 0
    for _ in range(_REWEIGHTINGS):
        matrix = (weight[:, None] * design[:, 0]).T @ hx + (weight[:, None] * design[:, 1]).T @ hy
        vector = weight @ right
        vector[free] += _PULL_TRUST * matrix[free, free] * _PULL_PX2
        matrix[free, free] *= 1 + _PULL_TRUST
        matrix[:free, :free] += prior[0]
        vector[:free] += prior[1]
        scale = np.sqrt(np.maximum(np.diag(matrix), 1e-30))
        solved = np.linalg.lstsq(matrix / np.outer(scale, scale), vector / scale, rcond=1e-9)[0] / scale
        parameters = solved[:free]
        known = matrix[:free, :free] - np.outer(matrix[:free, free], matrix[free, :free]) / scale[free] ** 2
        off = own - design @ solved
        squared = (xx * off[:, 0] ** 2 + 2 * xy * off[:, 0] * off[:, 1] + yy * off[:, 1] ** 2) / noise
        if not counted.any():
            break
        largest = max(_TUKEY**2 * 1.48**2 * float(np.median(squared[counted])), 1e-12)
        weight = trust * np.clip(1 - squared / largest, 0, None) ** 2
    return parameters, known


@dataclass(frozen=True, slots=True)
class _Known:
    """What one level and those above it have found."""

    transform: Transform  # in the level's pixels
    matrix: Values  # of the normal equations, in parameters, which are the same at all levels
    blocks: Blocks  # before the last step, which is a small one unless all is in vain


def _solve(
    frame: Level, target: tuple[Level, ...], start: Transform, model: str, *,
    steps: int, exact: bool, coarser: _Known | None,
) -> _Known:  # fmt: skip
    """Gauss-Newton from a start; `target` is the level and, unless that is the last, the next coarser one."""
    transform = start
    jacobian, normal = _jacobian(target[0].band.shape, model)
    free = jacobian.shape[2]
    prior = np.zeros((free, free)) if coarser is None else _COARSER_TRUST * coarser.matrix
    gone = np.zeros(free)
    while True:
        steps -= 1
        blocks = compare(frame, target[0], transform, exact=exact)
        above = target[1] if len(target) > 1 else None
        parameters, matrix = _fit(blocks, jacobian, above, (prior, -prior @ gone))
        if not np.all(np.isfinite(parameters)) or np.abs(parameters).max() > _LARGEST_STEP:
            return _Known(start, prior, blocks)
        gone = gone + parameters
        transform = _update(parameters, normal) @ transform
        transform /= transform[2, 2]
        if steps == 0 or np.abs(parameters).max() * max(target[0].band.shape) < 2 * _ENOUGH_PX:
            return _Known(transform, matrix, blocks)


def _judged(blocks: Blocks, transform: Transform) -> Aligned:
    both, ours, theirs = (_grouped(v) for v in (blocks.both, blocks.frame, blocks.target))
    inside = _grouped(blocks.inside.astype(np.float64)) == 1
    shown = inside & (np.minimum(ours, theirs) > TEXTURED)
    agree = shown & (both > _AGREE * np.sqrt(ours * theirs))
    xx, xy, yy, x, y = (_grouped(v)[agree] for v in (blocks.xx, blocks.xy, blocks.yy, blocks.x, blocks.y))
    # Along an edge nothing is known: displacements are weighed by the gradients that tell of them.
    off = (yy * x**2 - 2 * xy * x * y + xx * y**2) / np.maximum(xx * yy - xy**2, 1e-9) / (0.5 * (xx + yy))
    residual = float(np.sqrt(np.median(off))) if off.size else 0.0
    return Aligned(transform, int(shown.sum()), int(agree.sum()), residual)


def _grouped(blocks: Values) -> Values:
    return means(blocks, GROUP)
