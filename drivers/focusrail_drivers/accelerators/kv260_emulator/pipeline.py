"""What flows from memory through the blocks and back to memory, one frame at a time.

A frame moves only where the route, the sizes in the three places that know one (the DMA, the filters, the stream),
the pixel formats and the state of every block allow it. Otherwise the stream stands, as in silicon: either it waits
until what is missing comes, or it is jammed with parts of frames, and then nothing helps but resetting both channels
of the DMA and the filters. `standing` says why, for people; no register does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260 import prediction
from focusrail_drivers.accelerators.kv260_emulator import faults, vdma
from focusrail_drivers.accelerators.kv260_emulator.filter2d import Filter2d
from focusrail_drivers.accelerators.kv260_emulator.memory import DecodeError
from focusrail_drivers.accelerators.kv260_emulator.passage import Mismatch, Parts, fitting, processed, stage_at
from focusrail_drivers.accelerators.kv260_emulator.regions import Unmodelled
from focusrail_drivers.accelerators.kv260_emulator.switch import NoRoute

Bytes = npt.NDArray[np.uint8]


@dataclass
class _Frame:
    """A frame on its way."""

    lines: Bytes  # as read from memory
    due: list[faults.Fault]
    late: int = 0  # times of a frame that it still takes longer
    entered: bool = False  # whether a filter has begun with it


@dataclass
class _Jam:
    """Parts of frames lie in the stream; what is still to be reset before it can flow again."""

    reason: str
    mm2s: bool = True
    s2mm: bool = True
    filters: bool = True


@dataclass
class Pipeline:
    """The stream. `frames` were delivered so far, in `clocks` clocks of the stream's clock."""

    parts: Parts
    frames: int = 0
    clocks: int = 0
    standing: str = ""
    _frame: _Frame | None = None
    _jam: _Jam | None = None
    _spoilt: bool = False  # the frame under way was hit by a soft reset
    _mm2s_resets: int = 1  # the one at power-up
    _s2mm_resets: int = 1

    def reset_filters(self) -> None:
        """The soft reset: filters forget what they hold; DMA, switch and pixel formats do not notice."""
        parts, frame = self.parts, self._frame
        stood = frame is not None and bool(self._obstacle(frame))
        for each in parts.static.values():
            if isinstance(each, Filter2d):
                each.reset()
        for region in parts.regions.values():
            region.reset()
        if self._jam is not None:
            self._jam.filters = False
        elif frame is not None and frame.entered:
            if stood:
                self._stand_jammed("a soft reset took the beginning of a frame that stood", filters=False)
            else:
                self._spoilt = True

    def begin(self) -> None:
        """Let MM2S begin its next frame, if it has none in flight and may: what it is to send is settled by that."""
        if self._frame is None and self.parts.dma.mm2s.ready:
            self._frame = self._fetched()
            if self._frame is not None:
                self._obstacle(self._frame)

    def pass_frame(self) -> None:
        """Let the time of one frame pass: that in flight ends, and a channel that runs freely begins the next."""
        self.notice_resets()
        self.standing = ""
        if not self.parts.dma.mm2s.ready:
            self.standing = "MM2S sends nothing"
            return
        self.begin()
        frame = self._frame
        if frame is None or self._stands(frame):
            return
        if frame.late:
            frame.late -= 1
            self.standing = "the frame is late"
            return
        try:
            self._deliver(frame)
        except Mismatch as error:
            if error.bits:
                self.parts.dma.s2mm.fail(error.bits, halts=False)
            self._stand_jammed(error.reason)
            return
        self.begin()

    def notice_resets(self) -> None:
        """Take note of resets of the DMA, which may end a jam, or begin one."""
        mm2s, s2mm = self.parts.dma.mm2s, self.parts.dma.s2mm
        jammed = self._jam is not None
        if self._mm2s_resets != mm2s.resets:
            self._mm2s_resets = mm2s.resets
            if self._jam is not None:
                self._jam.mm2s = False
        if self._s2mm_resets != s2mm.resets:
            self._s2mm_resets = s2mm.resets
            if self._jam is not None:
                self._jam.s2mm = False
        if self._jam is not None and not (self._jam.mm2s or self._jam.s2mm or self._jam.filters):
            self._jam = None
        if self._frame is not None and not mm2s.in_flight:
            if self._frame.entered and not jammed:
                self._jam = _Jam("MM2S was reset in the middle of a frame", mm2s=False)
            self._frame = None

    # --- what may hold a frame ----------------------------------------------------------------------------------------

    def _stand_jammed(self, reason: str, *, filters: bool = True) -> None:
        self._jam = _Jam(reason, filters=filters)
        self.standing = reason
        self.parts.dma.s2mm.in_flight = self.parts.dma.s2mm.running

    def _stands(self, frame: _Frame) -> bool:
        if self._jam is not None:
            self.standing = self._jam.reason
        else:
            self.standing = self._obstacle(frame)
        return bool(self.standing)

    def _obstacle(self, frame: _Frame) -> str:
        """Why the frame cannot go on now; empty if it can."""
        try:
            path = self.parts.switch.path()
        except NoRoute as error:
            return str(error)
        for port in path:
            obstacle = self._obstacle_at(port)
            if obstacle:
                return obstacle
            frame.entered = True
        if not self.parts.dma.s2mm.ready:
            return "S2MM takes nothing"
        return ""

    def _obstacle_at(self, port: str) -> str:
        region = self.parts.regions.get(port.partition("/")[0])
        if region is not None and region.decoupled:
            return f"{region.name} is decoupled"
        if region is not None and region.undefined:
            return f"{region.name} was loaded without its decoupler and not reset since"
        each = stage_at(self.parts, port)
        if each is None:
            return f"nothing is behind {port}"
        if isinstance(each, Unmodelled):
            return f"{each.name} behind {port} is not emulated"
        if self.parts.control.in_reset:
            return "the filters are held in reset"
        if isinstance(each, Filter2d) and each.settings is None:
            return f"the filter behind {port} is not started"
        return ""

    # --- a frame's way ------------------------------------------------------------------------------------------------

    def _fetched(self) -> _Frame | None:
        mm2s, s2mm = self.parts.dma.mm2s, self.parts.dma.s2mm
        geometry = mm2s.geometry
        if geometry is None:
            return None
        address = geometry.addresses[mm2s.select(s2mm)]
        try:
            lines = self.parts.memory.read(address, geometry.rows, geometry.row_bytes, geometry.stride_bytes)
        except DecodeError as error:
            self.standing = f"MM2S: {error}"
            mm2s.fail(vdma.DECODE_ERROR, halts=True)
            return None
        mm2s.in_flight = True
        frame = _Frame(lines, self.parts.faults.begin(lines))
        for fault in frame.due:
            if isinstance(fault, faults.Stall):
                self._stand_jammed("stalled, as the fault menu says")
            elif isinstance(fault, faults.LateFrame):
                frame.late += fault.frames
            elif isinstance(fault, faults.DecouplerLeftOn):
                self.parts.control.cut_off(fault.region)
        return frame

    def _deliver(self, frame: _Frame) -> None:
        mm2s, s2mm = self.parts.dma.mm2s, self.parts.dma.s2mm
        result = processed(self.parts, frame.lines, frame.due)
        self.clocks += prediction.frame_clocks(len(result), result.shape[1])
        lines = fitting(self.parts, result)
        self._frame = None
        self.frames += 1
        lost = self._spoilt
        self._spoilt = False
        if lost:  # a frame that lacks what the reset took: flush on frame sync drops it and goes on
            s2mm.fail(vdma.SOF_EARLY | vdma.INTERNAL_ERROR, halts=False)
        for fault in frame.due:
            if isinstance(fault, faults.BitFlip):
                lines = lines.copy()
                lines[fault.row % len(lines), fault.byte % lines.shape[1]] ^= np.uint8(1 << fault.bit)
            elif isinstance(fault, faults.VdmaErrors):
                channel = mm2s if fault.channel == "mm2s" else s2mm
                channel.fail(fault.bits, halts=fault.halts)
                lost = True
        if mm2s.running:
            mm2s.complete()
        if not lost:
            self._store(lines)

    def _store(self, lines: Bytes) -> None:
        s2mm = self.parts.dma.s2mm
        geometry = s2mm.geometry
        if geometry is None:
            return
        address = geometry.addresses[s2mm.select()]
        try:
            self.parts.memory.write(address, lines, geometry.stride_bytes)
        except DecodeError as error:
            self.standing = f"S2MM: {error}"
            s2mm.fail(vdma.DECODE_ERROR, halts=True)
            return
        s2mm.complete(avoid=self.parts.dma.mm2s.store)
