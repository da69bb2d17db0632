"""The interrupt controller of the overlay (AMD PG099, axi_intc, level inputs) as pynq uses it."""

from __future__ import annotations

from collections.abc import Callable

_STATUS, _PENDING, _ENABLED, _ACKNOWLEDGE, _ENABLE, _DISABLE, _MASTER = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x1C
_MASTER_ON = 0x3


class InterruptController:
    """Lines come from `lines`, a bit each; a level that is still high cannot be acknowledged away."""

    def __init__(self, lines: Callable[[], int]) -> None:
        self._lines = lines
        self._enabled = 0
        self._master = 0

    @property
    def asserted(self) -> bool:
        """Whether the processor is interrupted."""
        return self._master == _MASTER_ON and bool(self._lines() & self._enabled)

    def read(self, offset: int) -> int:
        """A register."""
        lines = self._lines()
        values = {_STATUS: lines, _PENDING: lines & self._enabled, _ENABLED: self._enabled, _MASTER: self._master}
        return values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """A register."""
        if offset == _ENABLED:
            self._enabled = value
        elif offset == _ENABLE:
            self._enabled |= value
        elif offset == _DISABLE:
            self._enabled &= ~value
        elif offset == _MASTER:
            self._master = value & _MASTER_ON
