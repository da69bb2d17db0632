"""How long a frame will take on a KV260: a prediction by arithmetic. Nothing in here was measured on a board.

A tile passes through three things. The logic: a filter2d takes one pixel a clock, and a few more for each row and
frame (Vitis Vision's loop bounds); two filters in a row run side by side. Memory: the DMA reads and writes every
pixel, and so does the processor when it packs and unpacks. The processor: its own cost for a tile, a parameter, which
an owner of a board measures (the defaults are what a Cortex-A53 copies, 1 to 1.5 GB/s).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

CLOCK_HZ = 299_997_009  # of the stream, by the overlay's metadata
PORT_BYTES_PER_S = 4.8e9  # one HP port: 128 bits a clock
DDR_BYTES_PER_S = 10e9  # sustained of 2133 MT/s times 8 bytes = 17.1 GB/s, at 60 %
_BYTES_PER_PIXEL = 3
_EXTRA_ROWS = 5
_EXTRA_COLS = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What a prediction stands on; sizes in pixels, times in milliseconds, rates in bytes a second."""

    tile_px: tuple[int, int] = (1080, 1920)  # (rows, cols) as sent
    tiles: int | None = None  # of a frame; None: as many as cover it once
    halo_px: int = 8  # on every side: two are spoilt, eight keep the width's alignment
    passes: int = 1  # 2 for a bracket
    frames_per_pass: int = 1  # sent for one that is used: 1 one-shot, more where stale frames are thrown away
    processor_ms_per_tile: float = 25.0  # packing, flushing, invalidating and unpacking of a full tile
    processor_bytes_per_px: int = 12  # what that moves in memory: luma, three planes out, three back, the score
    overlapped: bool = False  # whether the processor works on one tile while the logic has another
    clock_hz: float = CLOCK_HZ
    port_bytes_per_s: float = PORT_BYTES_PER_S
    ddr_bytes_per_s: float = DDR_BYTES_PER_S


@dataclass(frozen=True, slots=True)
class Prediction:
    """Milliseconds for one frame of `frame_px`, by term. The terms are for the whole frame and may overlap."""

    frame_px: tuple[int, int]
    tiles: int
    logic_ms: float
    memory_ms: float
    processor_ms: float
    total_ms: float

    @property
    def dominant(self) -> str:
        """The term that one would have to shorten first: `logic`, `memory` or `processor`."""
        terms = {"logic": self.logic_ms, "memory": self.memory_ms, "processor": self.processor_ms}
        return max(terms, key=lambda term: terms[term])

    @property
    def megapixels_per_s(self) -> float:
        """Of the frame, without halos."""
        return self.frame_px[0] * self.frame_px[1] / 1e3 / self.total_ms

    def __str__(self) -> str:
        rows, cols = self.frame_px
        return (
            f"prediction, not a measurement: {cols} x {rows} ({rows * cols / 1e6:.1f} MP) in {self.tiles} tiles: "
            f"{self.total_ms:.0f} ms ({self.megapixels_per_s:.0f} MP/s); logic {self.logic_ms:.0f} ms, "
            f"memory {self.memory_ms:.0f} ms, processor {self.processor_ms:.0f} ms; the {self.dominant} dominates"
        )


def frame_clocks(rows: int, cols: int) -> int:
    """Clocks that a filter2d takes for (rows, cols) pixels; a chain of them takes as long, but for its latency."""
    return (rows + _EXTRA_ROWS) * (cols + _EXTRA_COLS)


def tile_count(frame_px: tuple[int, int], tile_px: tuple[int, int], halo_px: int) -> int:
    """Tiles of one size that cover a frame of (rows, cols), when `halo_px` at each of their sides is not used."""
    used = [side - 2 * halo_px for side in tile_px]
    if min(used) <= 0:
        raise ValueError(f"a tile of {tile_px} px has nothing left within a halo of {halo_px} px")
    return math.prod(-(-frame // tile) for frame, tile in zip(frame_px, used, strict=True))


def predict(frame_px: tuple[int, int], assumptions: Assumptions | None = None) -> Prediction:
    """The time for one frame of (rows, cols) px."""
    given = assumptions or Assumptions()
    rows, cols = given.tile_px
    tiles = given.tiles or tile_count(frame_px, given.tile_px, given.halo_px)
    sent = given.passes * given.frames_per_pass
    stream_bytes = rows * cols * _BYTES_PER_PIXEL
    through_ddr = 2 * stream_bytes * sent + rows * cols * given.processor_bytes_per_px
    logic_ms = 1e3 * sent * frame_clocks(rows, cols) / given.clock_hz
    port_ms = 1e3 * sent * stream_bytes / given.port_bytes_per_s
    memory_ms = max(port_ms, 1e3 * through_ddr / given.ddr_bytes_per_s)
    stream_ms = max(logic_ms, memory_ms)  # the DMA works while the filters do
    processor_ms = given.processor_ms_per_tile
    tile_ms = max(stream_ms, processor_ms) if given.overlapped else stream_ms + processor_ms
    filling_ms = min(stream_ms, processor_ms) if given.overlapped else 0.0  # the first tile has nothing to overlap with
    return Prediction(
        frame_px, tiles, tiles * logic_ms, tiles * memory_ms, tiles * processor_ms, tiles * tile_ms + filling_ms
    )
