"""Tiles on which a filter that is not quite right shows: edges, corners, saturation, and the weakest of textures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260.tiles import TileSize

COUNT = 12


def known_tiles(size: TileSize, random: np.random.Generator) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    """COUNT names and tiles (height, width)."""
    rows, columns = np.indices(size.shape)
    yield "black", np.zeros(size.shape, np.uint8)
    yield "white", np.full(size.shape, 255, np.uint8)
    yield "a ramp to the right", (columns * 255 // (size.width_px - 1)).astype(np.uint8)
    yield "a ramp downwards", (rows * 255 // (size.height_px - 1)).astype(np.uint8)
    yield "a chessboard", ((rows // 3 + columns // 3) % 2 * 255).astype(np.uint8)
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1), (size.height_px // 2, size.width_px // 2)):
        spot = np.full(size.shape, 100, np.uint8)
        spot[corner] = 160
        yield f"a spot at {corner}", spot
    yield "faint noise", random.integers(126, 130, size.shape, np.uint8)
    yield "noise", random.integers(0, 256, size.shape, np.uint8)
