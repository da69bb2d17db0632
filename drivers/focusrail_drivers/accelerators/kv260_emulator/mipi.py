"""The camera's way through the overlay: sensor, demosaic, gamma, colour matrix, switch, packer, and its own video DMA.

Frames come by themselves, one after another without a pause, at the rate to which the sensor was set. Where anything
on a frame's way is not as it must be, the upper half of it is written to memory, and the DMA shows what it saw of that;
except that nothing shows what the switch lost while its routes were changed. Sources: the overlay's block design,
PG020 (DMA), PG232 (receiver), PG286, PG285 and PG231 (picture blocks).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from focusrail_drivers.accelerators.kv260_emulator import faults, pixels, scene, vdma
from focusrail_drivers.accelerators.kv260_emulator.memory import DecodeError, Memory
from focusrail_drivers.accelerators.kv260_emulator.sensor import Ov5640
from focusrail_drivers.accelerators.kv260_emulator.switch import AxisSwitch

FRAME_STORES = 8
LATENCY_FRAMES = 0.25  # between sensor and DMA; a few lines on the board, which is less
_START_AND_RESTART = 0x81


class PictureBlock:
    """Demosaic, gamma or colour matrix: passes frames of the size it was told, once it is started."""

    def __init__(self, name: str, columns_at: int, rows_at: int) -> None:
        self._name, self._columns_at, self._rows_at = name, columns_at, rows_at
        self._registers: dict[int, int] = {}

    def read(self, offset: int) -> int:
        return self._registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        self._registers[offset] = value

    def reset(self) -> None:
        """Forget everything."""
        self._registers = {}

    def obstacle(self, rows: int, columns: int) -> str:
        """Why a frame of this size does not pass; empty if it does."""
        if self.read(0x00) & _START_AND_RESTART != _START_AND_RESTART:
            return f"the {self._name} is not started"
        counted = self.read(self._rows_at), self.read(self._columns_at)
        if counted != (rows, columns):
            return f"the {self._name} counts {counted[0]} rows of {counted[1]}, the sensor sends {rows} of {columns}"
        return ""


class Receiver:
    """The MIPI CSI-2 receiver: enabled or not; two lanes; counts the lines that come, modulo 2**16."""

    _CORE, _PROTOCOL, _STATUS = 0x00, 0x04, 0x10

    def __init__(self) -> None:
        self._registers = {self._CORE: 1, self._PROTOCOL: 0b01_001}
        self._lines = 0

    def read(self, offset: int) -> int:
        return (self._lines & 0xFFFF) << 16 if offset == self._STATUS else self._registers.get(offset, 0)

    def receive(self, lines: int) -> None:
        """So many lines come from the sensor."""
        self._lines += lines

    def write(self, offset: int, value: int) -> None:
        if offset != self._STATUS:
            self._registers[offset] = value

    @property
    def enabled(self) -> bool:
        return self._registers[self._CORE] & 0b11 == 1


class CameraGpio:
    """Channel 1 bit 0 lets the picture blocks run; channel 2 bit 0 gives the sensor power."""

    def __init__(self, on_reset: Callable[[], None], power: Callable[[bool], None]) -> None:
        self._on_reset, self._power = on_reset, power
        self._registers: dict[int, int] = {}

    def read(self, offset: int) -> int:
        return self._registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        self._registers[offset] = value
        if offset == 0x00 and not value & 1:
            self._on_reset()
        elif offset == 0x08:
            self._power(bool(value & 1))

    @property
    def running(self) -> bool:
        return bool(self.read(0x00) & 1)


@dataclass
class _Frame:
    moment: scene.Moment
    ends_s: float
    size: tuple[int, int]
    due: list[faults.Fault]
    store: int | None = None  # that the DMA fills with it; None if it does not take it
    torn: bool = False  # and nothing shows it


@dataclass
class MipiPath:
    """The camera's stream. `frames` were begun by the sensor so far; `standing` says why none arrives."""

    memory: Memory
    switch: AxisSwitch
    sensor: Ov5640
    menu: faults.FaultMenu
    look_at: Callable[[], scene.Scene]
    frames: int = 0
    standing: str = ""
    dma: vdma.Vdma = field(default_factory=lambda: vdma.Vdma(FRAME_STORES, sends=False))
    pack: pixels.PixelFormat = field(default_factory=pixels.PixelFormat)
    receiver: Receiver = field(default_factory=Receiver)
    _frame: _Frame | None = None
    _stopped: faults.CameraStops | None = None
    _now_s: float = 0.0

    def __post_init__(self) -> None:
        self.demosaic = PictureBlock("demosaic", 0x10, 0x18)
        self.gamma = PictureBlock("gamma table", 0x10, 0x18)
        self.matrix = PictureBlock("colour matrix", 0x20, 0x28)
        self.gpio = CameraGpio(self._reset_blocks, self._power)
        self._resets = self.dma.s2mm.resets
        self._programmed = self.sensor.programmed

    def disturb(self) -> None:
        """The switch has taken over its routes, and lost what was in it."""
        if self._frame is not None:
            self._frame.torn = True

    def pass_until(self, now_s: float) -> None:
        """Let the board's time become `now_s`: frames end and begin meanwhile."""
        self._notice()
        if not self.sensor.streaming or self._stopped is not None:
            self.standing = "the sensor sends nothing" if self._stopped is None else "stopped, as the fault menu says"
            if self._stopped is None:
                self._frame = None
            self._now_s = now_s
            return
        period_s = 1 / self.sensor.frames_per_s
        if self._frame is None:
            self._begin(self._now_s, period_s)
        while self._frame is not None and self._frame.ends_s <= now_s and self._stopped is None:
            ended_s = self._frame.ends_s
            self._end(self._frame)
            skipped = 0 if self.dma.s2mm.ready else int((now_s - ended_s) / period_s)
            self.frames += skipped
            self._begin(ended_s + skipped * period_s, period_s)
        self._now_s = now_s

    def _begin(self, at_s: float, period_s: float) -> None:
        # A row is exposed for up to the time of a frame before it is read.
        read_s = at_s - LATENCY_FRAMES * period_s
        moment = scene.Moment(self.frames, read_s - period_s, read_s + period_s)
        self.frames += 1
        rows, columns = self.sensor.size
        frame = self._frame = _Frame(moment, at_s + period_s, (rows, columns), self.menu.begin_camera())
        for fault in frame.due:
            if isinstance(fault, faults.CameraWrongSize):
                frame.size = (rows + fault.rows, columns + fault.cols)
        self.standing = self._obstacle(rows, columns)
        if not self.standing and self.dma.s2mm.ready_to_run:
            frame.store = self.dma.s2mm.select()
            self.dma.s2mm.in_flight = True
        self._stopped = next((fault for fault in frame.due if isinstance(fault, faults.CameraStops)), None)

    def _end(self, frame: _Frame) -> None:
        self.receiver.receive(frame.size[0])
        s2mm = self.dma.s2mm
        if frame.store is None or not s2mm.in_flight or s2mm.geometry is None:
            return
        bits = self._seen(frame)
        lines = pixels.pack(scene.stamped(self.look_at()(frame.moment, *frame.size), frame.moment), self.pack)
        if bits or frame.torn:
            lines = lines[: s2mm.geometry.rows // 2, : s2mm.geometry.row_bytes]
        try:
            self.memory.write(s2mm.geometry.addresses[frame.store], lines, s2mm.geometry.stride_bytes)
        except DecodeError as error:
            self.standing = f"camera's S2MM: {error}"
            s2mm.fail(vdma.DECODE_ERROR, halts=True)
            return
        if not bits:
            s2mm.complete()
            return
        s2mm.in_flight = False
        s2mm.running = s2mm.running and bool(s2mm.control & vdma.RUN)
        s2mm.fail(bits, halts=False)

    def _seen(self, frame: _Frame) -> int:
        """The error bits that the DMA shows at the frame's end; 0 if it came through."""
        geometry = self.dma.s2mm.geometry
        assert geometry is not None
        rows, columns = frame.size
        row_bytes = columns * self.pack.bytes_per_pixel
        spoilt = any(isinstance(fault, faults.CameraSpoilt) for fault in frame.due)
        if spoilt or self._obstacle(*self.sensor.size):
            return vdma.SOF_EARLY | vdma.EOL_EARLY
        if row_bytes != geometry.row_bytes:
            return vdma.EOL_EARLY if row_bytes < geometry.row_bytes else vdma.EOL_LATE
        if rows != geometry.rows:
            return vdma.SOF_EARLY if rows < geometry.rows else vdma.SOF_LATE
        return 0

    def _obstacle(self, rows: int, columns: int) -> str:
        if not self.receiver.enabled:
            return "the MIPI receiver is off"
        if not self.gpio.running:
            return "the picture blocks are held in reset"
        for block in (self.demosaic, self.gamma, self.matrix):
            if found := block.obstacle(rows, columns):
                return found
        source = self.switch.source_of("mipi")
        if source != "mipi":
            return f"the switch gives the camera's DMA what comes from {source or 'nowhere'}"
        return ""

    def _notice(self) -> None:
        """Take note of what ends a stop."""
        restarted = self._resets != self.dma.s2mm.resets
        programmed = self._programmed != self.sensor.programmed
        self._resets, self._programmed = self.dma.s2mm.resets, self.sensor.programmed
        if restarted and self._frame is not None:
            self._frame.store = None
        if self._stopped is None:
            return
        if (self._stopped.until == "restart" and restarted) or (self._stopped.until != "never" and programmed):
            self._stopped = None
            self._frame = None

    def _reset_blocks(self) -> None:
        for block in (self.demosaic, self.gamma, self.matrix):
            block.reset()

    def _power(self, on: bool) -> None:
        self.sensor.power(on)
