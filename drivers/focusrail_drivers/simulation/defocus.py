"""A painted thing as it looks through one disc: in blocks where it is sharp, reduced where it is blurred anyway."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers.simulation.lens import Plane, disc_kernel, kernel_variance
from focusrail_drivers.simulation.rect import ALIGN_PX, Rect

Painted = npt.NDArray[np.uint8]  # (height, width, 4): blue, green, red, alpha, premultiplied
BLOCK_PX = 128
PAD = 2  # border of a reduced copy, so that enlarging it needs no neighbour
# Reducing (a box) and enlarging (a tent) blur a little themselves: second moment in px^2 of the reduced grid.
RESAMPLING_VARIANCE = 1 / 12 + 1 / 6


@dataclass(frozen=True, slots=True)
class FullCopy:
    """Full resolution. Only blocks that show anything are kept: bristles are mostly nothing."""

    radius_px: float
    variance_px2: float
    blocks: Mapping[Rect, Painted]  # planar, (4, height, width)

    def fetch(self, rect: Rect) -> Plane:
        """(4, height, width) float32 over `rect`; nothing (0) where there is no block."""
        out = np.zeros((4, rect.height, rect.width), np.float32)
        for tile in rect.tiles(BLOCK_PX):
            corner = (tile.x0 // BLOCK_PX * BLOCK_PX, tile.y0 // BLOCK_PX * BLOCK_PX)
            block = self.blocks.get(Rect(*corner, corner[0] + BLOCK_PX, corner[1] + BLOCK_PX))
            if block is not None:
                rows, columns = tile.within(rect)
                y, x = tile.y0 - corner[1], tile.x0 - corner[0]
                out[:, rows, columns] = block[:, y : y + tile.height, x : x + tile.width]
        return out


@dataclass(frozen=True, slots=True)
class ReducedCopy:
    """`scale` times reduced, with a border of `PAD`: a wide disc leaves no detail that would need more."""

    radius_px: float
    variance_px2: float
    scale: int
    rect: Rect
    planes: Painted  # planar, (4, height / scale + 2 PAD, width / scale + 2 PAD)

    def fetch(self, rect: Rect) -> Plane:
        """(4, height, width) float32 over an aligned `rect`; nothing (0) outside the copy."""
        shared = self.rect.cut(rect)
        if shared == rect:
            return self._enlarged(rect)
        out = np.zeros((4, rect.height, rect.width), np.float32)
        if shared is not None:
            rows, columns = shared.within(rect)
            out[:, rows, columns] = self._enlarged(shared)
        return out

    def _enlarged(self, rect: Rect) -> Plane:
        s = self.scale
        y0, y1 = (rect.y0 - self.rect.y0) // s, (rect.y1 - self.rect.y0) // s + 2 * PAD
        x0, x1 = (rect.x0 - self.rect.x0) // s, (rect.x1 - self.rect.x0) // s + 2 * PAD
        size = ((x1 - x0) * s, (y1 - y0) * s)
        out = np.empty((4, rect.height, rect.width), np.float32)
        crop = slice(PAD * s, PAD * s + rect.height), slice(PAD * s, PAD * s + rect.width)
        for plane, target in zip(self.planes, out, strict=True):
            small = plane[y0:y1, x0:x1].astype(np.float32)
            target[:] = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)[crop]
        return out


def full_copy(painted: Painted, rect: Rect, view: Rect, *, radius_px: float) -> FullCopy:
    """Blur what is painted over `rect` by a disc, block by block."""
    kernel = disc_kernel(radius_px)
    half = kernel.shape[0] // 2
    blocks: dict[Rect, Painted] = {}
    for tile in rect.aligned(half, view).tiles(BLOCK_PX):
        corner = (tile.x0 // BLOCK_PX * BLOCK_PX, tile.y0 // BLOCK_PX * BLOCK_PX)
        block = Rect(*corner, corner[0] + BLOCK_PX, corner[1] + BLOCK_PX)
        source = block.grown(half)
        shared = source.cut(rect)
        if shared is None or not painted[shared.within(rect)][:, :, 3].any():
            continue
        image = painted[shared.within(rect)]
        seen = source.cut(view)
        assert seen is not None
        # Beside the thing there is nothing; beside the view the scene goes on much as at its edge.
        image = _bordered(image, shared, seen, cv2.BORDER_CONSTANT)
        image = _bordered(image, seen, source, cv2.BORDER_REPLICATE)
        if half:
            image = np.asarray(cv2.filter2D(image, -1, kernel)[half:-half, half:-half], np.uint8)
        blocks[block] = np.ascontiguousarray(np.moveaxis(image, 2, 0))
    return FullCopy(radius_px, kernel_variance(kernel), blocks)


def reduced_copy(painted: Painted, rect: Rect, view: Rect, *, radius_px: float, scale: int) -> ReducedCopy:
    """Blur what is painted over `rect` by a disc on a grid reduced by `scale`, a divisor of ALIGN_PX."""
    assert ALIGN_PX % scale == 0
    reduced = cv2.resize(painted, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
    kernel = disc_kernel(math.sqrt((radius_px / scale) ** 2 - 4 * RESAMPLING_VARIANCE))
    large = rect.aligned(radius_px + 2 * scale, view)
    small = [Rect(*(side // scale for side in (r.x0, r.y0, r.x1, r.y1))) for r in (rect, large)]
    image = _bordered(np.asarray(reduced, np.uint8), small[0], small[1], cv2.BORDER_CONSTANT)
    image = np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE), np.uint8)
    image = _bordered(image, small[1], small[1].grown(PAD), cv2.BORDER_REPLICATE)
    variance = (kernel_variance(kernel) + RESAMPLING_VARIANCE) * scale**2
    return ReducedCopy(radius_px, variance, scale, large, np.ascontiguousarray(np.moveaxis(image, 2, 0)))


def _bordered(image: Painted, inner: Rect, outer: Rect, border: int) -> Painted:
    if inner == outer:
        return image
    sides = (inner.y0 - outer.y0, outer.y1 - inner.y1, inner.x0 - outer.x0, outer.x1 - inner.x1)
    top, bottom, left, right = sides
    return np.asarray(cv2.copyMakeBorder(image, top, bottom, left, right, border, value=(0, 0, 0, 0)), np.uint8)
