"""Rectangles of view pixels, and the grid on which they lie."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

# Every rectangle of a layer starts and ends on multiples of this, so that reduced copies line up with the full grid.
ALIGN_PX = 32


@dataclass(frozen=True, slots=True)
class Rect:
    """Pixels [x0, x1) by [y0, y1) of the view."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        """In px."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """In px."""
        return self.y1 - self.y0

    def grown(self, by_px: int) -> Rect:
        """Larger by `by_px` on every side."""
        return Rect(self.x0 - by_px, self.y0 - by_px, self.x1 + by_px, self.y1 + by_px)

    def aligned(self, grow_px: float, within: Rect) -> Rect:
        """Grown by `grow_px` on every side, out to whole `ALIGN_PX`, cut to `within`."""
        large = self.grown(math.ceil(grow_px))
        return Rect(
            max(within.x0, large.x0 // ALIGN_PX * ALIGN_PX),
            max(within.y0, large.y0 // ALIGN_PX * ALIGN_PX),
            min(within.x1, -(-large.x1 // ALIGN_PX) * ALIGN_PX),
            min(within.y1, -(-large.y1 // ALIGN_PX) * ALIGN_PX),
        )

    def cut(self, other: Rect) -> Rect | None:
        """What both share, or None."""
        shared = Rect(max(self.x0, other.x0), max(self.y0, other.y0), min(self.x1, other.x1), min(self.y1, other.y1))
        return shared if shared.width > 0 and shared.height > 0 else None

    def within(self, outer: Rect) -> tuple[slice, slice]:
        """(rows, columns) of this rectangle in an array that covers `outer`."""
        return (
            slice(self.y0 - outer.y0, self.y1 - outer.y0),
            slice(self.x0 - outer.x0, self.x1 - outer.x0),
        )

    def tiles(self, size_px: int) -> Iterator[Rect]:
        """This rectangle in pieces, cut at whole multiples of `size_px`, row by row."""
        for y in range(self.y0 // size_px * size_px, self.y1, size_px):
            for x in range(self.x0 // size_px * size_px, self.x1, size_px):
                piece = Rect(x, y, x + size_px, y + size_px).cut(self)
                if piece is not None:
                    yield piece
