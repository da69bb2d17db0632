"""The surface: a depth map as a mesh of triangles, thinned out, and cut where one thing stands before another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.stacking.arrays import Plane

_LEAST_SURE_SHARE = 0.5  # of the pixels around a vertex
_SMOOTH_CELLS = 2  # a vertex is averaged with so many to each side, of its own surface
_SMALLEST_CELLS = 24  # patches of fewer vertices are specks
_LARGEST_HOLE = 0.005  # of the picture: up to this holes are closed
_CUT_STEPS = 1.0  # how far apart two corners of a triangle may be at most, in steps between frames ...
_CUT_CELLS = 3.0  # ... or, where the lateral scale is known, in widths of a cell: 72 degrees


@dataclass(frozen=True, slots=True)
class Surface:
    """A mesh. Vertices lie on a regular grid of pixels, except where the surface has holes."""

    vertices: npt.NDArray[np.float32]  # (n, 3): x and y in px from the picture's top left corner, depth
    triangles: npt.NDArray[np.uint32]  # (m, 3): counter-clockwise as the camera sees them
    cell_px: int  # distance of vertices
    guessed: float  # share of the vertices that close small holes


def find_surface(
    depth: Plane, sure: Plane, *, step: float, px_per_depth: float | None = None, most_triangles: int = 400_000
) -> Surface:
    """The surface of a depth map (height, width) float32, where `sure` (bool) says so.

    Small holes in it are closed where their rim is of one depth: `depth` has a guess there. `step` is the distance
    between frames in the depth's unit; `px_per_depth` how many pixels wide one such unit is, None if that is unknown.
    There may be no triangles at all.
    """
    height, width = depth.shape
    cell = max(1, min(height, width, math.ceil(math.sqrt(2 * height * width / most_triangles))))
    cut = _CUT_STEPS * step
    if px_per_depth is not None:
        cut = max(cut, _CUT_CELLS * cell / px_per_depth)
    grid = _without_specks(_thinned(depth, sure, cell=cell, apart=0.5 * step))
    measured = np.isfinite(grid)
    grid = _closed(grid, _thinned(depth, np.ones_like(sure), cell=cell, apart=0.5 * step), most_apart=step)
    grid = _smoothed(grid, apart=0.5 * step)
    triangles = _triangles(grid, cut=cut)
    used, triangles = np.unique(triangles, return_inverse=True)  # vertices of no triangle are left out
    row, column = np.divmod(used, grid.shape[1])
    middle = (cell - 1) / 2 + 0.5  # of a cell; the first pixel's middle is half a pixel from the corner
    at = np.stack([column * cell + middle, row * cell + middle, grid.ravel()[used]], axis=1)
    guessed = float(1 - measured.ravel()[used].mean()) if used.size else 0.0
    return Surface(at.astype(np.float32), triangles.reshape(-1, 3).astype(np.uint32), cell, guessed)


def _thinned(depth: Plane, sure: Plane, *, cell: int, apart: float) -> Plane:
    """One depth for each cell of pixels, NaN where too few are sure: the mean of those that belong to its middle one.

    A mean of all would invent depths between a near thing and the one behind it.
    """
    rows, columns = depth.shape[0] // cell, depth.shape[1] // cell
    total, count = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.float32)
    known = np.zeros((rows, columns), np.float32)
    middle = _middle(depth, sure, cell=cell, rows=rows, columns=columns)
    for y in range(cell):
        for x in range(cell):
            part = (slice(y, y + (rows - 1) * cell + 1, cell), slice(x, x + (columns - 1) * cell + 1, cell))
            value, trusted = depth[part], sure[part]
            near = trusted & (np.abs(value - middle) <= apart)
            known += trusted
            count += near
            total += np.where(near, value, 0)
    enough = (known >= _LEAST_SURE_SHARE * cell * cell) & (count > 0)
    return np.where(enough, total / np.maximum(count, 1), np.float32("nan")).astype(np.float32)


def _middle(depth: Plane, sure: Plane, *, cell: int, rows: int, columns: int) -> Plane:
    """The depth of each cell's sure pixel that is nearest to its middle."""
    found, done = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), bool)
    order = sorted(np.ndindex(cell, cell), key=lambda yx: (yx[0] - cell / 2) ** 2 + (yx[1] - cell / 2) ** 2)
    for y, x in order:
        part = (slice(y, y + (rows - 1) * cell + 1, cell), slice(x, x + (columns - 1) * cell + 1, cell))
        new = sure[part] & ~done
        np.copyto(found, depth[part], where=new)
        done |= new
        if done.all():
            break
    return found


def _closed(grid: Plane, guess: Plane, *, most_apart: float) -> Plane:
    """With holes closed that are small and do not touch the border, and whose rim lies within `most_apart`."""
    hole = np.isnan(grid)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(hole.astype(np.uint8), connectivity=8)
    low, high = np.full(count, np.inf, np.float32), np.full(count, -np.inf, np.float32)
    padded = np.pad(grid, 1, constant_values=-np.inf)  # a rim beyond the border is as far off as can be
    rows, columns = np.nonzero(hole)
    for y in (0, 1, 2):
        for x in (0, 1, 2):
            beside = padded[rows + y, columns + x]
            known = ~np.isnan(beside)
            of = labels[rows, columns][known]
            np.minimum.at(low, of, beside[known])
            np.maximum.at(high, of, beside[known])
    small = stats[:, cv2.CC_STAT_AREA] <= max(1.0, _LARGEST_HOLE * grid.size)
    with np.errstate(invalid="ignore"):  # nothing beside a hole, or the border only
        close = small & (high - low <= most_apart)
    close[0] = False  # what is no hole
    return np.where(close[labels], np.clip(guess, low[labels], high[labels]), grid).astype(np.float32)


def _smoothed(grid: Plane, *, apart: float) -> Plane:
    """Vertices averaged with their neighbours of like depth (Tomasi and Manduchi 1998, doi:10.1109/ICCV.1998.710815).

    The depth's noise is small beside the step between frames, and large beside the distance of vertices.
    """
    r = _SMOOTH_CELLS
    padded = np.pad(grid, r, constant_values=np.nan)
    total, weight = np.zeros_like(grid), np.zeros_like(grid)
    for y in range(-r, r + 1):
        for x in range(-r, r + 1):
            there = padded[r + y : r + y + grid.shape[0], r + x : r + x + grid.shape[1]]
            back = padded[r - y : r - y + grid.shape[0], r - x : r - x + grid.shape[1]]
            # In pairs, so that a slope's rim is not drawn inwards.
            off = there - grid
            like = np.exp(-0.5 * ((off / apart) ** 2 + ((back - grid) / apart) ** 2) - (x * x + y * y) / r**2)
            like = np.nan_to_num(like, nan=0.0)
            total += like * np.nan_to_num(off)
            weight += like
    return (grid + total / np.maximum(weight, np.float32(1e-9))).astype(np.float32)


def _without_specks(grid: Plane) -> Plane:
    """Without patches of only a few vertices."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(np.isfinite(grid).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < min(_SMALLEST_CELLS, grid.size)
    return np.where(small[labels], np.float32("nan"), grid)


def _triangles(grid: Plane, *, cut: float) -> npt.NDArray[np.int64]:
    """(m, 3) indices into the flattened grid; of the two ways to halve a square, that along the flatter diagonal."""
    index = np.arange(grid.size).reshape(grid.shape)
    a, b, c, d = (index[y, x] for y in (slice(0, -1), slice(1, None)) for x in (slice(0, -1), slice(1, None)))
    flat = grid.ravel()

    def apart(p: npt.NDArray[np.int64], q: npt.NDArray[np.int64]) -> Plane:
        return np.nan_to_num(np.abs(flat[p] - flat[q]), nan=np.inf)

    falling = apart(a, d) <= apart(b, c)
    upper = np.stack([a, np.where(falling, d, c), b], axis=-1)
    lower = np.stack([np.where(falling, a, b), c, d], axis=-1)
    both = np.concatenate([upper.reshape(-1, 3), lower.reshape(-1, 3)])
    corners = flat[both]
    whole = np.ptp(corners, axis=1) <= cut  # NaN is not
    return both[whole]
