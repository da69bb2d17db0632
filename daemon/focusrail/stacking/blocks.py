"""Two pictures compared block by block: sums that tell how they differ, and where each block would have to move."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.stacking.arrays import Plane, Transform
from focusrail.stacking.band_pass import (
    BLOCK_PX,
    CELL_PX,
    LEAST_NOISE,
    NOISE_FACTOR,
    NOISE_PERCENTILE,
    Level,
    Values,
    means,
)  # fmt: skip

_SUBPIXELS = 32  # to which OpenCV rounds coordinates
_NOWHERE: Values = np.zeros((1, 1))


@dataclass(frozen=True, slots=True)
class Blocks:
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


def centres(shape: tuple[int, ...]) -> tuple[Values, Values]:
    """X and y of the blocks' centres, (rows, columns) each."""
    rows, columns = shape[0] // BLOCK_PX, shape[1] // BLOCK_PX
    middle = (BLOCK_PX - 1) / 2
    x, y = np.meshgrid(np.arange(columns) * BLOCK_PX + middle, np.arange(rows) * BLOCK_PX + middle)
    return x, y


def compare(frame: Level, target: Level, transform: Transform, *, exact: bool) -> Blocks:
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
    centre_x, centre_y = centres((height, width))
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
    return Blocks(
        xx=xx, xy=xy, yy=yy, x=x, y=y,
        difference=mean(difference, difference),
        both=mean(seen, target.band), frame=mean(seen, seen), target=mean(target.band, target.band),
        inside=inside,
        ratio=np.log((ours + noise) / (theirs + noise)),
        weakest=np.minimum(ours, theirs),
    )  # fmt: skip
