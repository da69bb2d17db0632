"""Dense alignment: the transform between two neighbours, found on all pixels instead of on chosen points.

Both frames are reduced to a band of middle frequencies and divided by its local strength, so that neither exposure nor
the slow change of sharpness across the picture is mistaken for movement. On the remaining pattern of unit contrast,
Gauss-Newton (Lucas and Kanade 1981; with the mean of both gradients: Benhimane and Malis 2004,
doi:10.1109/IROS.2004.1389474) gives each small block its own displacement and its certainty; an M-estimator (Tukey's
biweight) fits the transform to the blocks, so that what moves by itself is outvoted. Coarse to fine on a pyramid.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.stacking.arrays import Plane, Transform
from focusrail.stacking.band_pass import (
    BLOCK_PX,
    CELL_PX,
    GROUP,
    LEAST_NOISE,
    NOISE_FACTOR,
    NOISE_PERCENTILE,
    TEXTURED,
    Level,
    Values,
    means,
    scaling,
)  # fmt: skip

_STEPS = (3, 4, 4, 8)  # finest to coarsest
_ENOUGH_PX = 0.03  # a smaller step ends a level: the next would be its square
_LARGEST_STEP = 0.25  # of half the frame: nothing is found that far away
_TUKEY = 4.0  # times the robust standard deviation
_REWEIGHTINGS = 4
_SHARPNESS_POWER = 2.0  # what is in focus decides: only there is the transform that of the plane in focus
_REFOCUS_WIDTH = 0.7  # of the log ratio of strengths at which a block counts e times less
_PULL_PX2, _PULL_TRUST = 0.7, 0.1  # see _fit
_AGREE = 0.6  # correlation above which a group of blocks shows the same
_SUBPIXELS = 32  # to which OpenCV rounds coordinates
_NOWHERE: Values = np.zeros((1, 1))


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
    scores = [
        _compare(frame[-1], target[-1], _to_level(start, coarsest), exact=False).correlation() for start in starts
    ]
    return [starts[k] for k in sorted(range(len(starts)), key=lambda k: (-scores[k], k))]


def align(frame: tuple[Level, ...], target: tuple[Level, ...], start: Transform, *, model: str, levels: int) -> Aligned:
    """The transform from `frame` to `target`, in reduced pixels of the finest level, on up to `levels` levels.

    The start must lead to within two pixels of the coarsest of them.
    """
    transform = start
    last: _Blocks | None = None
    for level in range(min(len(frame), levels) - 1, -1, -1):
        guess, last = _solve(
            frame[level], target[level], _to_level(transform, level), model, _STEPS[level], exact=level == 0
        )
        transform = _from_level(guess, level)
    assert last is not None
    return _judged(last, transform)


def _to_level(transform: Transform, level: int) -> Transform:
    return np.linalg.inv(scaling(level)) @ transform @ scaling(level)


def _from_level(transform: Transform, level: int) -> Transform:
    return scaling(level) @ transform @ np.linalg.inv(scaling(level))


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Sums over the blocks of the target, all (rows, columns) float64."""

    xx: Values  # gradient products
    xy: Values
    yy: Values
    x: Values  # gradient times difference
    y: Values
    difference: Values  # mean square
    both: Values  # product of the two bands, and their squares
    frame: Values
    target: Values
    inside: npt.NDArray[np.bool_]  # wholly within the frame
    ratio: Values  # log of the frames' strengths, smoothed
    weakest: Values  # the smaller of the two strengths, smoothed

    def correlation(self) -> float:
        """Of the two bands where the frames overlap, -1..1."""
        power = float(np.sqrt(self.frame[self.inside].sum() * self.target[self.inside].sum()))
        return float(self.both[self.inside].sum()) / power if power > 0 else -1.0


def _sampled(plane: Plane, to_frame: Transform, size: tuple[int, int], *, exact: bool) -> tuple[Plane, Values, Values]:
    """The plane as seen through a transform, and by how much its coordinates had to be rounded, block by block.

    Interpolation by fewer points has a phase error that pulls the result to whole pixels: 0.03 px with four.
    """
    width, height = size
    x, y = np.arange(width), np.arange(height)[:, None]
    # The sum of a row's and a column's part; only a homography has to be divided.
    rows = [np.add((row[1] * y + row[2]).astype(np.float32), (row[0] * x).astype(np.float32)) for row in to_frame[:2]]
    if not np.array_equal(to_frame[2], (0.0, 0.0, 1.0)):
        below = (to_frame[2, 0] * x + (to_frame[2, 1] * y + 1)).astype(np.float32)
        rows = [row / below for row in rows]
    if not exact:
        return cv2.remap(plane, *rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), _NOWHERE, _NOWHERE
    rounded, off = [], []
    for coordinate in rows:
        whole = coordinate * np.float32(_SUBPIXELS)
        np.rint(whole, out=whole)
        whole *= np.float32(1 / _SUBPIXELS)
        rounded.append(whole)
        off.append(means(np.subtract(whole, coordinate, out=coordinate), BLOCK_PX))
    seen = cv2.remap(plane, *rounded, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101)
    return seen, off[0], off[1]


def _centres(shape: tuple[int, ...]) -> tuple[Values, Values]:
    """X and y of the blocks' centres, (rows, columns) each."""
    rows, columns = shape[0] // BLOCK_PX, shape[1] // BLOCK_PX
    middle = (BLOCK_PX - 1) / 2
    x, y = np.meshgrid(np.arange(columns) * BLOCK_PX + middle, np.arange(rows) * BLOCK_PX + middle)
    return x, y


def _compare(frame: Level, target: Level, transform: Transform, *, exact: bool) -> _Blocks:
    """Lay the frame on the target and sum up over blocks what tells how they differ."""
    height, width = target.band.shape
    to_frame = np.linalg.inv(transform)
    to_frame /= to_frame[2, 2]
    seen, off_x, off_y = _sampled(frame.band, to_frame, (width, height), exact=exact)
    total = seen + target.band
    across = cv2.filter2D(total, -1, np.array([[-0.25, 0, 0.25]], np.float32))
    down = cv2.filter2D(total, -1, np.array([[-0.25], [0], [0.25]], np.float32))
    difference = seen - target.band

    def mean(a: Plane, b: Plane) -> Values:
        return means(cv2.multiply(a, b, dst=total), BLOCK_PX)

    xx, xy, yy = mean(across, across), mean(across, down), mean(down, down)
    x, y = mean(across, difference), mean(down, difference)
    # Rounded coordinates look elsewhere than asked: take back what difference that makes.
    on_x = transform[0, 0] * off_x + transform[0, 1] * off_y
    on_y = transform[1, 0] * off_x + transform[1, 1] * off_y
    x, y = x - (xx * on_x + xy * on_y), y - (xy * on_x + yy * on_y)
    centre_x, centre_y = _centres((height, width))
    there = np.stack([centre_x, centre_y, np.ones_like(centre_x)], axis=-1) @ to_frame.T
    px, py = there[..., 0] / there[..., 2], there[..., 1] / there[..., 2]
    margin = BLOCK_PX / 2 + 4
    inside = (px > margin) & (px < width - 1 - margin) & (py > margin) & (py < height - 1 - margin)
    scaled = np.diag([1 / CELL_PX, 1 / CELL_PX, 1.0]) @ to_frame @ np.diag([CELL_PX, CELL_PX, 1.0])
    cells = cv2.warpPerspective(
        frame.strength, scaled, target.strength.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    ours, theirs = (
        cv2.GaussianBlur(means(c, BLOCK_PX // CELL_PX)[: xx.shape[0], : xx.shape[1]], (0, 0), 1.0)
        for c in (cells, target.strength)
    )
    noise = max(NOISE_FACTOR * float(np.percentile(theirs, NOISE_PERCENTILE)), LEAST_NOISE)
    return _Blocks(
        xx=xx, xy=xy, yy=yy, x=x, y=y,
        difference=mean(difference, difference),
        both=mean(seen, target.band), frame=mean(seen, seen), target=mean(target.band, target.band),
        inside=inside,
        ratio=np.log((ours + noise) / (theirs + noise)),
        weakest=np.minimum(ours, theirs),
    )  # fmt: skip


def _jacobian(shape: tuple[int, ...], model: str) -> tuple[Values, Transform]:
    """(blocks, 2, degrees of freedom): how blocks move with each parameter; and the coordinates they are in."""
    height, width = shape
    unit = max(width, height) / 2
    normal = np.array([[1 / unit, 0, -(width - 1) / 2 / unit], [0, 1 / unit, -(height - 1) / 2 / unit], [0, 0, 1]])
    x, y = (c.ravel() for c in _centres(shape))
    x, y = (x - (width - 1) / 2) / unit, (y - (height - 1) / 2) / unit
    one, zero = np.ones_like(x), np.zeros_like(x)
    if model == "similarity":
        rows = [[x, -y, one, zero], [y, x, zero, one]]
    else:
        rows = [[x, y, one, zero, zero, zero], [zero, zero, zero, x, y, one]]
        if model == "homography":
            rows = [[*rows[0], -x * x, -x * y], [*rows[1], -x * y, -y * y]]
    return unit * np.stack([np.stack(row, axis=-1) for row in rows], axis=1), normal


def _update(parameters: Values, normal: Transform) -> Transform:
    """The small transform of pixels that parameters stand for."""
    if len(parameters) == 4:
        a, b, tx, ty = parameters
        small = np.array([[1 + a, -b, tx], [b, 1 + a, ty], [0, 0, 1]])
    else:
        small = np.eye(3)
        small[:2] += parameters[:6].reshape(2, 3)
        small[2, :2] = parameters[6:] if len(parameters) == 8 else 0
    return np.linalg.inv(normal) @ small @ normal


def _fit(blocks: _Blocks, jacobian: Values) -> Values:
    """The parameters on which the blocks agree.

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
    down, across = np.gradient(blocks.ratio, BLOCK_PX)
    gradient = np.stack([across, down], axis=-1).reshape(-1, 2, 1)
    design = np.concatenate([jacobian, gradient], axis=2)
    # Gauss-Newton's normal equations of every block, summed with weights.
    hx = xx[:, None] * design[:, 0] + xy[:, None] * design[:, 1]
    hy = xy[:, None] * design[:, 0] + yy[:, None] * design[:, 1]
    right = ux[:, None] * design[:, 0] + uy[:, None] * design[:, 1]
    weight, parameters = trust, np.zeros(free)
    counted = trust > 0
    for _ in range(_REWEIGHTINGS):
        matrix = (weight[:, None] * design[:, 0]).T @ hx + (weight[:, None] * design[:, 1]).T @ hy
        vector = weight @ right
        vector[free] += _PULL_TRUST * matrix[free, free] * _PULL_PX2
        matrix[free, free] *= 1 + _PULL_TRUST
        scale = np.sqrt(np.maximum(np.diag(matrix), 1e-30))
        solved = np.linalg.lstsq(matrix / np.outer(scale, scale), vector / scale, rcond=1e-9)[0] / scale
        parameters = solved[:free]
        off = own - design @ solved
        squared = (xx * off[:, 0] ** 2 + 2 * xy * off[:, 0] * off[:, 1] + yy * off[:, 1] ** 2) / noise
        if not counted.any():
            break
        largest = max(_TUKEY**2 * 1.48**2 * float(np.median(squared[counted])), 1e-12)
        weight = trust * np.clip(1 - squared / largest, 0, None) ** 2
    return parameters


def _solve(
    frame: Level, target: Level, start: Transform, model: str, steps: int, *, exact: bool
) -> tuple[Transform, _Blocks]:
    """Gauss-Newton from a start; and the blocks before the last step, which is a small one unless all is in vain."""
    transform = start
    jacobian, normal = _jacobian(target.band.shape, model)
    while True:
        steps -= 1
        blocks = _compare(frame, target, transform, exact=exact)
        parameters = _fit(blocks, jacobian)
        if not np.all(np.isfinite(parameters)) or np.abs(parameters).max() > _LARGEST_STEP:
            return start, blocks
        transform = _update(parameters, normal) @ transform
        transform /= transform[2, 2]
        if steps == 0 or np.abs(parameters).max() * max(target.band.shape) < 2 * _ENOUGH_PX:
            return transform, blocks


def _judged(blocks: _Blocks, transform: Transform) -> Aligned:
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
