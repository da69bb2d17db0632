"""The registers of the overlay's blocks, as far as the focus measure needs them.

Sources: Xilinx PG085 (AXI4-Stream switch), PG144 (AXI GPIO), PG020 (AXI VDMA) and the control registers that Vitis HLS
generates; the coefficients of filter2d_accel lie two to a word, the first in the low half.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt


class Registers(Protocol):
    """A block's 32-bit registers; pynq's MMIO is one."""

    def read(self, offset: int) -> int:
        """The word at a byte offset."""

    def write(self, offset: int, value: int) -> None:
        """Set the word at a byte offset; `value` is 0 to 2**32 - 1."""


class Switch:
    """The stream switch: each output takes one input or none, all changed at once by a commit.

    A commit resets the switch for some clocks (PG085), which breaks whatever frame is in it: `commits` counts them.
    """

    _OFF = 0x8000_0000

    def __init__(self, registers: Registers, outputs: int) -> None:
        self._registers, self._outputs = registers, outputs
        self._routes: dict[int, int] = {}
        self._kept: dict[int, int] = {}
        self.commits = 0

    def route(self, routes: dict[int, int]) -> None:
        """Connect outputs (MI) to inputs (SI) as {output: input}; every other output that is not kept is off."""
        self._routes = dict(routes)
        wanted = self._kept | self._routes
        for output in range(self._outputs):
            self._registers.write(0x40 + 4 * output, wanted.get(output, self._OFF))
        self._registers.write(0x00, 2)
        self.commits += 1

    def keep(self, routes: dict[int, int]) -> None:
        """Connect these beside whatever `route` does, then and now; in place of those that were kept before."""
        self._kept = dict(routes)
        self.route(self._routes)


class Filter2d:
    """A 3x3 filter. Rows, columns, coefficients and shift are taken over when a frame begins."""

    _START_AND_RESTART = 0x81

    def __init__(self, registers: Registers) -> None:
        self._registers = registers

    def configure(self, kernel: npt.NDArray[np.int16], shift: int, *, height_px: int, width_px: int) -> None:
        """Set everything, `kernel` (3, 3) int16, before `start`."""
        self._registers.write(0x10, height_px)
        self._registers.write(0x18, width_px)
        for index, word in enumerate(packed(kernel)):
            self._registers.write(0x40 + 4 * index, word)
        self.shift(shift)

    def shift(self, shift: int) -> None:
        """Right shift of the sums, 0 to 31, from the next frame on."""
        self._registers.write(0x20, shift)

    def start(self) -> None:
        """Filter frame after frame, until it is reset."""
        self._registers.write(0x00, self._START_AND_RESTART)


def packed(kernel: npt.NDArray[np.int16]) -> list[int]:
    """Nine coefficients as five words: a negative one must not borrow from its neighbour."""
    halves = [int(each) & 0xFFFF for each in kernel.ravel()] + [0]
    return [low | high << 16 for low, high in zip(halves[::2], halves[1::2], strict=True)]


class Control:
    """The GPIO that resets the filters (channel 1) and cuts regions off while they are loaded (channel 2)."""

    _RESET, _DECOUPLE, _DECOUPLE_DIRECTIONS = 0x00, 0x08, 0x0C

    def __init__(self, registers: Registers, *, decouple_bit: int, decoupled_bit: int) -> None:
        self._registers, self._bit, self._status = registers, 1 << decouple_bit, 1 << decoupled_bit

    def reset(self) -> None:
        """Reset every filter and FIFO; switch, VDMA and pixel converters keep their state."""
        self._registers.write(self._RESET, 1)
        self._registers.write(self._RESET, 0)

    def decouple(self, apart: bool) -> None:
        """Cut the region off from its surroundings, or connect it again (and every other region with it)."""
        self._registers.write(self._DECOUPLE_DIRECTIONS, 0b111000)  # 1 is an input: the three status bits
        self._registers.write(self._DECOUPLE, self._bit if apart else 0)

    def decoupled(self) -> bool:
        """Whether the region is cut off now."""
        return bool(self._registers.read(self._DECOUPLE) & self._status)


class PixelConverter:
    """Turns 64-bit words of memory into pixels, or pixels into words."""

    _24_BITS = 0

    def __init__(self, registers: Registers) -> None:
        self._registers = registers

    def three_bytes(self) -> None:
        """A pixel is three bytes in memory."""
        self._registers.write(0x10, self._24_BITS)
