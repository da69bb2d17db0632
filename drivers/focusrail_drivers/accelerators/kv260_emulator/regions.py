"""The reconfigurable regions, their decouplers and the soft reset: pipeline_control, an AXI GPIO (AMD PG144)."""

from __future__ import annotations

from collections.abc import Callable

from focusrail_drivers.accelerators.kv260_emulator.faults import FaultMenu
from focusrail_drivers.accelerators.kv260_emulator.filter2d import Filter2d
from focusrail_drivers.accelerators.kv260_emulator.layout import FULL_BITSTREAM_MODULE, MODULES

_CHANNEL_1, _CHANNEL_2 = 0x00, 0x08


class Fifo:
    """Passes everything through."""


class Unmodelled:
    """A block whose arithmetic is not emulated: no data ever comes out of it."""

    def __init__(self, name: str) -> None:
        self.name = name


Stage = Filter2d | Fifo | Unmodelled


def stage(name: str) -> Stage:
    """A fresh block by its name in the design."""
    if name == "filter2d_accel":
        return Filter2d()
    return Fifo() if name.startswith("axis_data_fifo") else Unmodelled(name)


class Region:
    """One region: what is loaded, and whether its decoupler cuts it off."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.decoupled = False
        self.load(FULL_BITSTREAM_MODULE)

    def load(self, module: str) -> None:
        """Configure the region. Without its decoupler it comes up in an undefined state, until the next reset."""
        self.module = module
        self.stages = tuple(stage(name) for name in MODULES[self.name][module])
        self.undefined = not self.decoupled

    def reset(self) -> None:
        """The soft reset."""
        self.undefined = False
        for each in self.stages:
            if isinstance(each, Filter2d):
                each.reset()


class PipelineControl:
    """Channel 1 bit 0: soft reset. Channel 2: a bit a region decouples it, and three bits further on it shows."""

    def __init__(self, regions: tuple[Region, ...], faults: FaultMenu, on_reset: Callable[[], None]) -> None:
        self._regions = regions
        self._faults = faults
        self._on_reset = on_reset
        self._decouple = 0
        self._registers: dict[int, int] = {}
        self.in_reset = False

    def read(self, offset: int) -> int:
        """A register."""
        if offset == _CHANNEL_1:
            return int(self.in_reset)
        if offset == _CHANNEL_2:
            shown = sum(region.decoupled << place for place, region in enumerate(self._regions))
            return self._decouple | shown << len(self._regions)
        return self._registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """A register."""
        if offset == _CHANNEL_1:
            if value & 1:
                self._on_reset()
            self.in_reset = bool(value & 1)
        elif offset == _CHANNEL_2:
            self._decouple = value & ((1 << len(self._regions)) - 1)
            for place, region in enumerate(self._regions):
                self._couple(region, decoupled=bool(value >> place & 1))
        else:
            self._registers[offset] = value

    def _couple(self, region: Region, *, decoupled: bool) -> None:
        if region.decoupled and not decoupled and self._faults.take_release(region.name):
            return
        region.decoupled = decoupled

    def cut_off(self, name: str) -> None:
        """Let a region be decoupled as if by somebody else's write."""
        for place, region in enumerate(self._regions):
            if region.name == name:
                self._decouple |= 1 << place
                region.decoupled = True
