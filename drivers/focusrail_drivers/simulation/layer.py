"""One thing of the scene on its own: its colour, its outline, its depth, and what it looks like out of focus."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers.simulation.defocus import FullCopy, ReducedCopy, full_copy, reduced_copy
from focusrail_drivers.simulation.rect import ALIGN_PX, Rect

if TYPE_CHECKING:
    from focusrail_drivers.simulation.defocus import Painted
    from focusrail_drivers.simulation.lens import Plane

DEPTH_CELL_PX = 8  # depth within one layer is smooth: one value for 8 x 8 px, interpolated
FULL_RADII_PX = (0.0, 1.0, 1.5, 2.2, 3.2, 4.6)
REDUCED_STEP = 2 ** (1 / 3)  # ratio between the radii of neighbouring reduced copies
# No lens, sensor and demosaicing together resolve single pixels: standard deviation of what they blur, in px.
OPTICS_BLUR_PX = 0.6


@dataclass(frozen=True, slots=True)
class Sketch:
    """A thing as it is painted: sharp, where it is in the view, and how deep."""

    rect: Rect  # aligned
    colour: Painted
    # (height / 8, width / 8) of `depth_rect`, at the centres of the 8 x 8 px cells, in mm; reaches beyond the outline,
    # since the blurred outline does too.
    depth_rect: Rect
    depth_mm: Plane
    softness_px: float = 0.0  # nothing finer than this is painted: discs smaller than it need no copies of their own


@dataclass(frozen=True, slots=True)
class Layer:
    """A thing with copies of itself behind a ladder of discs, from sharp to the largest that will be wanted."""

    copies: tuple[FullCopy | ReducedCopy, ...]  # by rising radius; the first one is sharp
    rect: Rect  # of the sharp one
    depth_rect: Rect
    depth_mm: Plane
    depth_range_mm: tuple[float, float]  # nearest and farthest
    # Whether the sharp copy shows anything, in squares of ALIGN_PX: to know quickly where there is nothing.
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
        near = rect.grown(math.ceil(radius_px) + 1).cut(self.rect)
        if near is None:
            return False
        a, own = ALIGN_PX, self.rect
        rows = slice((near.y0 - own.y0) // a, -(-(near.y1 - own.y0) // a))
        columns = slice((near.x0 - own.x0) // a, -(-(near.x1 - own.x0) // a))
        return bool(self.occupied[rows, columns].any())

    def shows(self, rect: Rect, *, focus_mm: float, circle_px_per_mm: float) -> bool:
        """Whether the layer can be seen at all within `rect`: a quick look, with its largest disc."""
        farthest_mm = max(abs(end_mm - focus_mm) for end_mm in self.depth_range_mm)
        return self.reaches(rect, farthest_mm * circle_px_per_mm)

    def defocused(self, rect: Rect, depth_mm: Plane, *, focus_mm: float, circle_px_per_mm: float) -> Plane | None:
        """(4, height, width) float32 premultiplied: the layer over an aligned `rect`, or None where it is not.

        `depth_mm` is `depth_over(rect)`. Every pixel is blended from the two copies next to its own disc, by second
        moment: the blend of two discs then has exactly the second moment, radius^2 / 4, that the thin lens asks for.
        """
        wanted = depth_mm - np.float32(focus_mm)
        wanted *= np.float32(0.5 * circle_px_per_mm)
        wanted *= wanted  # radius^2 / 4
        smallest, largest = float(wanted.min()), float(wanted.max())
        if not self.reaches(rect, 2 * math.sqrt(largest)):
            return None
        first = max(0, sum(copy.variance_px2 <= smallest for copy in self.copies) - 1)
        out = self.copies[first].fetch(rect)
        for lower, upper in zip(self.copies[first:], self.copies[first + 1 :], strict=False):
            if lower.variance_px2 >= largest:
                break
            share = wanted - np.float32(lower.variance_px2)
            share *= np.float32(1 / (upper.variance_px2 - lower.variance_px2))
            np.maximum(share, 0, out=share)
            np.minimum(share, 1, out=share)
            step = upper.fetch(rect)
            step -= out
            step *= share
            out += step
        return out


def layer_from(sketch: Sketch, view: Rect, *, largest_radius_px: float) -> Layer:
    """Prepare a sketch: blur it by every disc up to `largest_radius_px`. The costly step, done once."""
    sharpest = cv2.GaussianBlur(sketch.colour, (5, 5), OPTICS_BLUR_PX, borderType=cv2.BORDER_REPLICATE)
    painted = np.asarray(sharpest, np.uint8)
    copies: list[FullCopy | ReducedCopy] = [
        full_copy(painted, sketch.rect, view, radius_px=radius)
        for radius in FULL_RADII_PX
        if radius == 0 or sketch.softness_px < radius < largest_radius_px * 1.5
    ]
    radius = FULL_RADII_PX[-1] * REDUCED_STEP
    while copies[-1].radius_px < largest_radius_px:
        # The disc is kept about 3 to 6 px in radius on its own grid: enough to stay round.
        scale = min(2 ** max(1, math.floor(math.log2(radius / 2.8))), ALIGN_PX)
        copies.append(reduced_copy(painted, sketch.rect, view, radius_px=radius, scale=scale))
        radius *= REDUCED_STEP
    depth = sketch.depth_mm
    ends_mm = (float(depth.min()), float(depth.max()))
    a = ALIGN_PX
    squares = painted[:, :, 3].reshape(sketch.rect.height // a, a, sketch.rect.width // a, a)
    return Layer(tuple(copies), sketch.rect, sketch.depth_rect, depth, ends_mm, squares.max(axis=(1, 3)) > 0)
