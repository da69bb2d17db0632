"""The grid on which a scene is painted: the frame's pixels and a margin, so that a moved frame has no empty border."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from focusrail_drivers.simulation.layer import DEPTH_CELL_PX
from focusrail_drivers.simulation.lens import Plane
from focusrail_drivers.simulation.rect import ALIGN_PX, Rect


@dataclass(frozen=True, slots=True)
class View:
    """Pixels of the frame, extended by a margin. Scene coordinates (u, v): 0 at the middle, frame width = 1, v down."""

    frame_width_px: int
    frame_height_px: int
    margin_px: int  # at least so much on every side

    @property
    def rect(self) -> Rect:
        """The whole view, (0, 0) to a whole number of alignments."""
        width, height = (
            -(-(size + 2 * self.margin_px) // ALIGN_PX) * ALIGN_PX
            for size in (self.frame_width_px, self.frame_height_px)
        )
        return Rect(0, 0, width, height)

    @property
    def frame_origin_px(self) -> tuple[int, int]:
        """Where the frame's pixel (0, 0) lies in the view, (x, y)."""
        whole = self.rect
        return (whole.width - self.frame_width_px) // 2, (whole.height - self.frame_height_px) // 2

    def to_px(self, u: float, v: float) -> tuple[float, float]:
        """Scene coordinates to view pixels (x, y)."""
        x0, y0 = self.frame_origin_px
        return (
            x0 + (self.frame_width_px - 1) / 2 + u * self.frame_width_px,
            y0 + (self.frame_height_px - 1) / 2 + v * self.frame_width_px,
        )

    def rect_around(self, u: float, v: float, reach: float) -> Rect | None:
        """The aligned part of the view within `reach` (scene units) of a point; None if outside the view."""
        x, y = self.to_px(u, v)
        r = reach * self.frame_width_px
        inside = Rect(int(x - r), int(y - r), int(x + r) + 1, int(y + r) + 1).cut(self.rect)
        return None if inside is None else inside.aligned(1, self.rect)

    def coordinates(self, rect: Rect, cell_px: int = 1) -> tuple[Plane, Plane]:
        """Scene coordinates (u, v) at the centres of cells of `cell_px` over `rect`: (1, width) and (height, 1)."""
        x0, y0 = self.to_px(0, 0)
        x = rect.x0 + (np.arange(rect.width // cell_px) + 0.5) * cell_px - 0.5
        y = rect.y0 + (np.arange(rect.height // cell_px) + 0.5) * cell_px - 0.5
        u, v = (x - x0) / self.frame_width_px, (y - y0) / self.frame_width_px
        return u.astype(np.float32)[None, :], v.astype(np.float32)[:, None]

    def cells(self, rect: Rect) -> tuple[Plane, Plane]:
        """Scene coordinates of the depth cells over `rect`."""
        return self.coordinates(rect, DEPTH_CELL_PX)
