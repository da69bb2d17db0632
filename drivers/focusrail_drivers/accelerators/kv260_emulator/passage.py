"""What a frame becomes on its way through the blocks, and where its size does not fit.

Three places know a size: the DMA's geometry, each filter's rows and columns, and the stream, whose lines end where
they end. In silicon a disagreement stops the stream; which error bits of the DMA it leaves depends on where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260_emulator import faults, pixels, vdma
from focusrail_drivers.accelerators.kv260_emulator.filter2d import Filter2d, Settings
from focusrail_drivers.accelerators.kv260_emulator.memory import Memory
from focusrail_drivers.accelerators.kv260_emulator.regions import Fifo, PipelineControl, Region, Stage
from focusrail_drivers.accelerators.kv260_emulator.switch import AxisSwitch

Bytes = npt.NDArray[np.uint8]

MAX_COLS = 1920  # the filters' line buffers


class Repeated:
    """Filters a frame, and remembers it: a DMA that runs freely sends the same one again and again."""

    def __init__(self) -> None:
        self._last: tuple[tuple[Settings, ...], Bytes, Bytes] | None = None

    def result_for(self, stream: Bytes, settings: tuple[Settings, ...]) -> Bytes:
        """What `stream` (rows, cols, 3) becomes; not to be written to."""
        if self._last is not None and self._last[0] == settings and np.array_equal(self._last[1], stream):
            return self._last[2]
        result = stream
        for each in settings:
            result = each.apply(result)
        self._last = (settings, stream, result)
        return result


@dataclass
class Parts:
    """What a pipeline is made of."""

    memory: Memory
    dma: vdma.Vdma
    switch: AxisSwitch
    unpack: pixels.PixelFormat
    pack: pixels.PixelFormat
    static: dict[str, Stage]  # blocks outside the regions, by their port
    regions: dict[str, Region]
    control: PipelineControl
    faults: faults.FaultMenu
    max_rows: int
    repeated: Repeated = field(default_factory=Repeated)


@dataclass
class Mismatch(Exception):
    """The sizes disagree. `bits` is what S2MM sees of it."""

    reason: str
    bits: int = 0


def stage_at(parts: Parts, port: str) -> Stage | None:
    """The block behind a port of the switch, if there is one."""
    name, _, place = port.partition("/")
    region = parts.regions.get(name)
    if region is None:
        return parts.static.get(port)
    return region.stages[int(place)] if int(place) < len(region.stages) else None


def processed(parts: Parts, lines: Bytes, due: Sequence[faults.Fault]) -> Bytes:
    """The stream's pixels (rows, cols, 3) at the end of the route, for (rows, bytes) from memory. Raises Mismatch."""
    try:
        stream = pixels.unpack(lines, parts.unpack)
    except pixels.SizeMismatch as error:
        raise Mismatch(str(error)) from error
    filters: list[tuple[Filter2d, Settings]] = []
    for port in parts.switch.path():
        each = stage_at(parts, port)
        if isinstance(each, Filter2d) and each.settings is not None:
            _compare(parts, port, _as_counted(each.settings, due), stream)
            filters.append((each, each.settings))
        elif not isinstance(each, Fifo):
            raise Mismatch(f"nothing comes out of {port}")
    result = parts.repeated.result_for(stream, tuple(settings for _, settings in filters))
    for each, _ in filters:
        each.finish()
    return result


def _as_counted(settings: Settings, due: Sequence[faults.Fault]) -> Settings:
    rows, cols = settings.rows, settings.cols
    for fault in due:
        if isinstance(fault, faults.WrongSize):
            rows, cols = rows + fault.rows, cols + fault.cols
    return Settings(rows, cols, settings.shift, settings.kernel)


def _compare(parts: Parts, port: str, settings: Settings, stream: Bytes) -> None:
    rows, cols, _ = stream.shape
    said = f"the filter behind {port} counts {settings.rows} rows of {settings.cols}, the stream has {rows} of {cols}"
    if settings.cols < cols:
        raise Mismatch(said, vdma.EOL_EARLY)
    if settings.cols > cols:
        raise Mismatch(said, vdma.EOL_LATE)
    if settings.rows < rows:
        raise Mismatch(said, vdma.SOF_EARLY | vdma.INTERNAL_ERROR)
    if settings.rows > rows:
        raise Mismatch(said)  # it waits for rows that never come, and nobody notices
    if cols > MAX_COLS or rows > parts.max_rows:
        raise Mismatch(f"{rows} rows of {cols} are more than the filters of this board take")


def fitting(parts: Parts, result: Bytes) -> Bytes:
    """Pixels (rows, cols, 3) as the (rows, bytes) that S2MM is to write. Raises Mismatch if it takes another size."""
    geometry = parts.dma.s2mm.geometry
    if geometry is None:
        raise Mismatch("S2MM has no geometry")
    try:
        lines = pixels.pack(result, parts.pack)
    except pixels.SizeMismatch as error:
        raise Mismatch(str(error)) from error
    rows, row_bytes = lines.shape
    said = f"S2MM takes {geometry.rows} rows of {geometry.row_bytes} bytes, {rows} of {row_bytes} came"
    if row_bytes != geometry.row_bytes:
        raise Mismatch(said, vdma.EOL_EARLY if row_bytes < geometry.row_bytes else vdma.EOL_LATE)
    if rows < geometry.rows:
        raise Mismatch(said, vdma.SOF_EARLY | vdma.INTERNAL_ERROR)
    if rows > geometry.rows:
        raise Mismatch(said, vdma.SOF_LATE)
    return lines
