"""How a picture is cut into the overlay's frames, and how bytes lie in them.

A tile carries a halo, so that what the filters' zeros spoil at its edge is thrown away and every score is computed from
the picture, mirrored at its own edge (REFLECT_101). All tiles of one picture have one size: the pipeline is composed
for a size. A frame's bytes are (255 - luma, luma, tag); the tag is transport.py's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260 import reference

WIDTH_STEP_PX = 8  # the unpacker of 24-bit pixels makes 8 of them from three 64-bit words
MAX_WIDTH_PX = 1920  # the filters' line buffers
USUAL_MAX_HEIGHT_PX = 1080  # what the overlay was synthesised for; taller ones may work, the self-test tells
MIN_SIZE_PX = (24, 32)  # room for the tag at top and bottom
_HALO = reference.HALO_PX


@dataclass(frozen=True, slots=True)
class TileSize:
    """A tile as the overlay sees it, halo included, in pixels."""

    height_px: int
    width_px: int

    def __post_init__(self) -> None:
        if self.width_px % WIDTH_STEP_PX or not MIN_SIZE_PX[1] <= self.width_px <= MAX_WIDTH_PX:
            raise ValueError(
                f"a tile is {MIN_SIZE_PX[1]} to {MAX_WIDTH_PX} pixels wide, in steps of {WIDTH_STEP_PX}, "
                f"not {self.width_px}"
            )
        if not MIN_SIZE_PX[0] <= self.height_px < 1 << 13:  # the VDMA counts lines in 13 bits
            raise ValueError(f"a tile is {MIN_SIZE_PX[0]} to 8191 pixels high, not {self.height_px}")

    @classmethod
    def unchecked(cls, height_px: int, width_px: int) -> TileSize:
        """A size whatever the rules are: the self-test asks the board what happens."""
        size = object.__new__(cls)
        object.__setattr__(size, "height_px", height_px)
        object.__setattr__(size, "width_px", width_px)
        return size

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height_px, self.width_px

    def __str__(self) -> str:
        return f"{self.width_px} x {self.height_px}"


def size_for(height_px: int, width_px: int, limit: TileSize) -> TileSize:
    """The one tile size for pictures of this size: as few tiles as the limit allows, and those evenly large."""
    high = _even_share(height_px, limit.height_px)
    wide = _even_share(width_px, limit.width_px)
    step = WIDTH_STEP_PX
    return TileSize(max(high, MIN_SIZE_PX[0]), max((wide + step - 1) // step * step, MIN_SIZE_PX[1]))


def _even_share(extent_px: int, limit_px: int) -> int:
    inner = limit_px - 2 * _HALO
    parts = -(-extent_px // inner)
    return -(-extent_px // parts) + 2 * _HALO


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a picture: rows top to bottom and columns left to right, without halo, the end excluded."""

    top: int
    bottom: int
    left: int
    right: int

    def cut(self, luma: npt.NDArray[np.uint8], size: TileSize) -> npt.NDArray[np.uint8]:
        """This tile of `luma` (height, width) with its halo, filled up to `size`: at least HALO_PX right and below."""
        height, width = luma.shape
        top, left = self.top - _HALO, self.left - _HALO
        bottom, right = top + size.height_px, left + size.width_px
        inside = luma[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
        over = max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0)
        if not any(over):
            return inside
        # The mirror must be the picture's own: what the tile's part alone would mirror is the same as long as
        # the part is larger than the halo; small pictures are mirrored whole.
        if min(inside.shape) > _HALO:
            return cv2.copyMakeBorder(inside, *over, cv2.BORDER_REFLECT_101)
        padded = cv2.copyMakeBorder(luma, *(max(edge, _HALO) for edge in over), cv2.BORDER_REFLECT_101)
        at_y, at_x = max(over[0], _HALO) + top, max(over[2], _HALO) + left
        return padded[at_y : at_y + size.height_px, at_x : at_x + size.width_px]

    def put(self, score: npt.NDArray[np.uint16], into: npt.NDArray[np.uint16]) -> None:
        """Lay this tile's scores (as large as the tile, spoilt edge included) into the picture's."""
        inner = score[_HALO : _HALO + self.bottom - self.top, _HALO : _HALO + self.right - self.left]
        into[self.top : self.bottom, self.left : self.right] = inner


def count(height_px: int, width_px: int, size: TileSize) -> int:
    """How many tiles a picture needs."""
    rows, columns = size.height_px - 2 * _HALO, size.width_px - 2 * _HALO
    return -(-height_px // rows) * -(-width_px // columns)


def grown(height_px: int, width_px: int, limit: TileSize, composed: TileSize | None) -> TileSize:
    """The tile size for a picture when the pipeline is `composed` for one: that, unless a larger one makes fewer tiles.

    Composing anew costs more than the empty part of a tile, so that it never shrinks.
    """
    wanted = size_for(height_px, width_px, limit)
    if composed is None:
        return wanted
    larger = TileSize(max(wanted.height_px, composed.height_px), max(wanted.width_px, composed.width_px))
    fewer = count(height_px, width_px, larger) < count(height_px, width_px, composed)
    return larger if fewer else composed


def tiles(height_px: int, width_px: int, size: TileSize) -> Iterator[Tile]:
    """All tiles of a picture, row by row; together they cover each pixel once."""
    rows, columns = size.height_px - 2 * _HALO, size.width_px - 2 * _HALO
    for top in range(0, height_px, rows):
        for left in range(0, width_px, columns):
            yield Tile(top, min(top + rows, height_px), left, min(left + columns, width_px))


def pack(tile: npt.NDArray[np.uint8], frame: npt.NDArray[np.uint8]) -> None:
    """Write a tile (height, width) into bytes 0 and 1 of a frame (height, width, 3), as 255 - luma and luma."""
    cv2.mixChannels([cv2.bitwise_not(tile), tile], [frame], [0, 0, 1, 1])


def unpack(frame: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The planes (of 255 - luma, of luma) of a frame that came back."""
    return cv2.extractChannel(frame, 0), cv2.extractChannel(frame, 1)
