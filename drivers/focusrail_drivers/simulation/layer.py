"""One thing of the scene on its own: its colour, its outline, its depth, and what it looks like out of focus."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers.simulation.lens import blurred, disc_kernel, kernel_variance

if TYPE_CHECKING:
    from focusrail_drivers.simulation.lens import Plane

# Every rectangle starts and ends on multiples of this, so that reduced copies line up with the full grid.
ALIGN_PX = 32
DEPTH_CELL_PX = 8  # depth within one layer is smooth: one value for 8 x 8 px, interpolated
FULL_RADII_PX = (0.0, 0.75, 1.0, 1.41, 2.0, 2.83, 4.0, 5.66)
REDUCED_STEP = 2 ** (1 / 3)  # ratio between the radii of neighbouring reduced copies
PAD = 2  # border of a reduced copy, so that enlarging it needs no neighbour


@dataclass(frozen=True, slots=True)
class Rect:
    """Pixels [x0, x1) by [y0, y1) of the view."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    def aligned(self, grow_px: float, within: Rect) -> Rect:
        """Grown by `grow_px` on every side, out to whole `ALIGN_PX`, cut to `within`."""
        grow = math.ceil(grow_px)
        return Rect(
            max(within.x0, (self.x0 - grow) // ALIGN_PX * ALIGN_PX),
            max(within.y0, (self.y0 - grow) // ALIGN_PX * ALIGN_PX),
            min(within.x1, -(-(self.x1 + grow) // ALIGN_PX) * ALIGN_PX),
            min(within.y1, -(-(self.y1 + grow) // ALIGN_PX) * ALIGN_PX),
        )

    def cut(self, other: Rect) -> Rect | None:
        """What both share, or None."""
        shared = Rect(max(self.x0, other.x0), max(self.y0, other.y0), min(self.x1, other.x1), min(self.y1, other.y1))
        return shared if shared.width > 0 and shared.height > 0 else None


@dataclass(frozen=True, slots=True)
class Sketch:
    """A thing as it is painted: sharp, where it is in the view, and how deep."""

    rect: Rect  # aligned
    colour: npt.NDArray[np.uint8]  # (height, width, 4) blue, green, red, alpha, premultiplied
    # (height / 8, width / 8) of `depth_rect`, at the centres of the 8 x 8 px cells, in mm; reaches beyond the outline,
    # since the blurred outline does too.
    depth_rect: Rect
    depth_mm: Plane
    softness_px: float = 0.0  # nothing finer than this is painted: discs smaller than it need no copies of their own


@dataclass(frozen=True, slots=True)
class Copy:
    """A layer seen through one disc, `scale` times reduced, planar, with a border of `PAD` when reduced."""

    radius_px: float
    variance_px2: float
    scale: int
    rect: Rect
    planes: npt.NDArray[np.uint8]  # (4, height, width)

    def fetch(self, rect: Rect) -> npt.NDArray[np.float32]:
        """(4, height, width) float32 over an aligned `rect`; nothing (0) outside the copy."""
        shared = self.rect.cut(rect)
        if shared == rect:
            return self._inside(rect)
        out = np.zeros((4, rect.height, rect.width), np.float32)
        if shared is not None:
            rows = slice(shared.y0 - rect.y0, shared.y1 - rect.y0)
            columns = slice(shared.x0 - rect.x0, shared.x1 - rect.x0)
            out[:, rows, columns] = self._inside(shared)
        return out

    def _inside(self, rect: Rect) -> npt.NDArray[np.float32]:
        s = self.scale
        y0, y1 = (rect.y0 - self.rect.y0) // s, (rect.y1 - self.rect.y0) // s
        x0, x1 = (rect.x0 - self.rect.x0) // s, (rect.x1 - self.rect.x0) // s
        if s == 1:
            return self.planes[:, y0:y1, x0:x1].astype(np.float32)
        size = ((x1 - x0 + 2 * PAD) * s, (y1 - y0 + 2 * PAD) * s)
        out = np.empty((4, rect.height, rect.width), np.float32)
        crop = slice(PAD * s, PAD * s + rect.height), slice(PAD * s, PAD * s + rect.width)
        for plane, target in zip(self.planes, out, strict=True):
            small = plane[y0 : y1 + 2 * PAD, x0 : x1 + 2 * PAD].astype(np.float32)
            target[:] = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)[crop]
        return out


@dataclass(frozen=True, slots=True)
class Layer:
    """A thing with copies of itself behind a ladder of discs, from sharp to the largest that will be wanted."""

    copies: tuple[Copy, ...]  # by rising radius; the first one is sharp
    depth_rect: Rect
    depth_mm: Plane
    # Alpha of the sharp copy in blocks of ALIGN_PX, to know quickly where there is nothing.
    occupied: npt.NDArray[np.bool_]

    def depth_over(self, rect: Rect) -> Plane:
        """(height, width) float32: the depth over an aligned `rect`; replicated beyond what was painted."""
        c = DEPTH_CELL_PX
        rows = np.arange(rect.y0 // c - 1, rect.y1 // c + 1) - self.depth_rect.y0 // c
        columns = np.arange(rect.x0 // c - 1, rect.x1 // c + 1) - self.depth_rect.x0 // c
        cells = self.depth_mm[
            np.clip(rows, 0, self.depth_mm.shape[0] - 1)[:, None], np.clip(columns, 0, self.depth_mm.shape[1] - 1)
        ]
        large = cv2.resize(cells, (len(columns) * c, len(rows) * c), interpolation=cv2.INTER_LINEAR)
        return np.asarray(large[c:-c, c:-c], dtype=np.float32)

    def reaches(self, rect: Rect, radius_px: float) -> bool:
        """Whether anything of the layer, blurred by `radius_px`, can be seen within `rect`."""
        own = self.copies[0].rect
        grow = math.ceil(radius_px) + 1
        near = Rect(rect.x0 - grow, rect.y0 - grow, rect.x1 + grow, rect.y1 + grow).cut(own)
        if near is None:
            return False
        a = ALIGN_PX
        rows = slice((near.y0 - own.y0) // a, -(-(near.y1 - own.y0) // a))
        columns = slice((near.x0 - own.x0) // a, -(-(near.x1 - own.x0) // a))
        return bool(self.occupied[rows, columns].any())

    def defocused(self, rect: Rect, depth_mm: Plane, *, focus_mm: float, circle_px_per_mm: float) -> Plane | None:
        """(4, height, width) float32 premultiplied: the layer over an aligned `rect`, or None where it is not.

        Every pixel is blended from the two copies next to its own disc, by second moment: the blend of two discs then
        has exactly the second moment, radius^2 / 4, that the thin lens asks for.
        """
        defocus = np.abs(depth_mm - np.float32(focus_mm))
        smallest, largest = (float(edge) * circle_px_per_mm for edge in (defocus.min(), defocus.max()))
        if not self.reaches(rect, largest):
            return None
        wanted = (defocus * np.float32(0.5 * circle_px_per_mm)) ** 2
        first = max(0, sum(copy.variance_px2 <= smallest**2 / 4 for copy in self.copies) - 1)
        out = self.copies[first].fetch(rect)
        for lower, upper in zip(self.copies[first:], self.copies[first + 1 :], strict=False):
            if lower.variance_px2 >= largest**2 / 4:
                break
            share = (wanted - lower.variance_px2) * np.float32(1 / (upper.variance_px2 - lower.variance_px2))
            np.clip(share, 0, 1, out=share)
            step = upper.fetch(rect)
            step -= out
            step *= share
            out += step
        return out


def layer_from(sketch: Sketch, view: Rect, *, largest_radius_px: float) -> Layer:
    """Prepare a sketch: blur it by every disc up to `largest_radius_px`. The costly step, done once."""
    copies = [
        _copy(sketch, view, radius, 1)
        for radius in FULL_RADII_PX
        if radius == 0 or sketch.softness_px < radius < largest_radius_px * 1.5
    ]
    radius = FULL_RADII_PX[-1] * REDUCED_STEP
    while copies[-1].radius_px < largest_radius_px:
        # The disc is kept 4 to 8 px in radius on its own grid: enough to stay round.
        scale = 2 ** max(1, math.floor(math.log2(radius / 4)))
        copies.append(_copy(sketch, view, radius, min(scale, ALIGN_PX)))
        radius *= REDUCED_STEP
    alpha = sketch.colour[:, :, 3]
    blocks = alpha.reshape(alpha.shape[0] // ALIGN_PX, ALIGN_PX, alpha.shape[1] // ALIGN_PX, ALIGN_PX)
    return Layer(tuple(copies), sketch.depth_rect, sketch.depth_mm, blocks.max(axis=(1, 3)) > 0)


def _copy(sketch: Sketch, view: Rect, radius_px: float, scale: int) -> Copy:
    rect = sketch.rect.aligned(radius_px + 2 * scale if radius_px else 0, view)
    own = sketch.rect
    sides = (own.y0 - rect.y0, rect.y1 - own.y1, own.x0 - rect.x0, rect.x1 - own.x1)
    image = sketch.colour
    if scale > 1:
        # Reducing and enlarging blur a little themselves; the disc is made that much smaller.
        image = cv2.resize(image, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        radius = math.sqrt((radius_px / scale) ** 2 - 4 * (1 / 12 + 1 / 6))
    else:
        radius = radius_px
    image = cv2.copyMakeBorder(image, *(side // scale for side in sides), cv2.BORDER_CONSTANT, value=0)  # type: ignore[assignment]
    image = blurred(image, radius)
    variance = kernel_variance(disc_kernel(radius)) * scale**2 + (0.25 * scale**2 if scale > 1 else 0.0)
    if scale > 1:
        image = cv2.copyMakeBorder(image, PAD, PAD, PAD, PAD, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    planes = np.ascontiguousarray(np.moveaxis(image, 2, 0))
    return Copy(radius_px, variance, scale, rect, planes)
