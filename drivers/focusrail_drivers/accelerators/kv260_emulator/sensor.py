"""The image sensor OV5640 of a Pcam 5C: its registers, as far as they decide whether and what frames it sends.

It is not part of the overlay: it sits on the camera connector, is set by I2C, and has no power but what a GPIO of the
overlay lets through. Sources: OmniVision's OV5640 data sheet; the tables with which pynq sets it.
"""

from __future__ import annotations

I2C_ADDRESS = 0x3C
_IDENTITY = {0x300A: 0x56, 0x300B: 0x40}
_SYSTEM_CONTROL = 0x3008
_RESET, _POWERED_DOWN, _STREAMING = 0x82, 0x42, 0x02
_CLOCK_HZ = 12_000_000  # the oscillator on the Pcam 5C
_WIDTH, _HEIGHT, _LINE_CLOCKS, _FRAME_LINES = 0x3808, 0x380A, 0x380C, 0x380E
_SYSTEM_DIVIDER, _MULTIPLIER, _PRE_DIVIDER, _BINNING = 0x3035, 0x3036, 0x3037, 0x3821


class NoAnswer(OSError):
    """Nobody acknowledges on the bus."""


class Ov5640:
    """One sensor. `attached` is whether the ribbon cable is in; `programmed` counts how often it was set up."""

    def __init__(self) -> None:
        self.attached = True
        self.powered = False
        self.programmed = 0
        self._registers: dict[int, int] = {}

    def power(self, on: bool) -> None:
        """Give it power, or take it: without power it forgets everything."""
        if not on:
            self._registers = {}
        self.powered = on

    def read(self, register: int) -> int:
        """A register of eight bits. Raises NoAnswer."""
        self._answer()
        return _IDENTITY.get(register, self._registers.get(register, 0))

    def write(self, register: int, value: int) -> None:
        """A register of eight bits. Raises NoAnswer."""
        self._answer()
        if register == _SYSTEM_CONTROL and value & 0x80:
            self._registers = {}
        self._registers[register] = value
        if register == _SYSTEM_CONTROL and value == _STREAMING:
            self.programmed += 1

    @property
    def streaming(self) -> bool:
        """Whether it sends frames."""
        return (
            self.attached
            and self.powered
            and self._registers.get(_SYSTEM_CONTROL) == _STREAMING
            and all(self.size)
            and self.frames_per_s > 0
        )

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns) of a frame, in pixels."""
        return self._pair(_HEIGHT), self._pair(_WIDTH)

    @property
    def frames_per_s(self) -> float:
        """By the clock tree: 12 MHz / 1.5 x multiplier / system divider / 5, twice as many lines when binned."""
        divider, multiplier = self._registers.get(_SYSTEM_DIVIDER, 0) >> 4, self._registers.get(_MULTIPLIER, 0)
        clocks = self._pair(_LINE_CLOCKS) * self._pair(_FRAME_LINES)
        if not divider or not clocks or self._registers.get(_PRE_DIVIDER) != 0x05:
            return 0.0
        binned = 2 if self._registers.get(_BINNING, 0) & 1 else 1
        return _CLOCK_HZ / 1.5 * multiplier / divider / 5 * binned / clocks

    def _pair(self, register: int) -> int:
        return self._registers.get(register, 0) << 8 | self._registers.get(register + 1, 0)

    def _answer(self) -> None:
        if not (self.attached and self.powered):
            raise NoAnswer(121, "Remote I/O error")  # as Linux says where nobody acknowledges


def library_mode(mode: int) -> dict[int, int]:
    """Registers as the C library of pynq 3 writes them for its mode 0 or 1, as far as this model reads them."""
    (rows, columns), line_clocks, frame_lines, multiplier, binned = {
        0: ((720, 1280), 1896, 984, 0x46, 1),
        1: ((1080, 1920), 2500, 1120, 0x69, 0),
    }[mode]
    pairs = {_HEIGHT: rows, _WIDTH: columns, _LINE_CLOCKS: line_clocks, _FRAME_LINES: frame_lines}
    registers = {_SYSTEM_DIVIDER: 0x21, _MULTIPLIER: multiplier, _PRE_DIVIDER: 0x05, _BINNING: binned}
    for register, value in pairs.items():
        registers |= {register: value >> 8, register + 1: value & 0xFF}
    return registers
