"""Between the DMA's bytes and the stream's pixels: pixel_unpack on the way out, pixel_pack on the way back.

A stream pixel has three planes of 8 bits. They are held here in the order of a pixel's bytes in memory: the overlay
permutes them on the way out (byte 1 is the lowest plane) and permutes them back, and a filter treats all alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

_MODE = 0x10
BYTES_PER_PIXEL = {0: 3, 1: 4, 2: 1}  # by the mode register; modes 3 and 4 (16 bits a pixel) are not modelled
STREAM_STEP_PX = 8  # three 64-bit words of the DMA are eight pixels: the end of a line is seen every eight


class SizeMismatch(Exception):
    """Lines that cannot be cut into pixels: the stream stops."""


class PixelFormat:
    """The mode register of pixel_pack or pixel_unpack. No soft reset reaches it."""

    def __init__(self) -> None:
        self.mode = 0

    def read(self, offset: int) -> int:
        """A register."""
        return self.mode if offset == _MODE else 0

    def write(self, offset: int, value: int) -> None:
        """A register."""
        if offset == _MODE:
            self.mode = value

    @property
    def bytes_per_pixel(self) -> int:
        """Of a pixel in memory. Raises SizeMismatch for a mode that is not modelled."""
        if self.mode not in BYTES_PER_PIXEL:
            raise SizeMismatch(f"pixel mode {self.mode} is not modelled")
        return BYTES_PER_PIXEL[self.mode]


def unpack(lines: Bytes, form: PixelFormat) -> Bytes:
    """(rows, bytes) from memory to stream pixels (rows, cols, 3). Raises SizeMismatch."""
    size = form.bytes_per_pixel
    rows, row_bytes = lines.shape
    cols, rest = divmod(row_bytes, size)
    if rest or cols % STREAM_STEP_PX:
        raise SizeMismatch(f"lines of {row_bytes} bytes are not a multiple of {STREAM_STEP_PX} pixels of {size} bytes")
    pixels = lines.reshape(rows, cols, size)
    if size == 1:
        return np.dstack([pixels[..., 0], np.zeros((rows, cols, 2), np.uint8)])
    return pixels[..., :3]


def pack(pixels: Bytes, form: PixelFormat) -> Bytes:
    """Stream pixels (rows, cols, 3) to (rows, bytes) for memory. Raises SizeMismatch."""
    rows, cols, _ = pixels.shape
    if form.bytes_per_pixel == 1:
        return np.ascontiguousarray(pixels[..., 0])
    if form.bytes_per_pixel == 4:
        pixels = np.dstack([pixels, np.zeros((rows, cols), np.uint8)])
    return np.ascontiguousarray(pixels).reshape(rows, -1)
