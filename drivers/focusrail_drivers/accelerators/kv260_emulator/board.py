"""The emulated board without pynq: registers by physical address, memory, and a time of its own.

Time passes when a status register of a DMA is looked at, a frame for every few looks, or when `pass_frames` says
so: a driver that polls sees the same, however fast the machine is. One lock makes it safe for several threads.
The camera's frames come by the same time, at the rate that its sensor is set to.
"""

from __future__ import annotations

import threading
from typing import Protocol

from focusrail_drivers.accelerators.kv260_emulator import scene, vdma
from focusrail_drivers.accelerators.kv260_emulator.faults import FaultMenu
from focusrail_drivers.accelerators.kv260_emulator.filter2d import Filter2d
from focusrail_drivers.accelerators.kv260_emulator.interrupts import InterruptController
from focusrail_drivers.accelerators.kv260_emulator.layout import CV_DFX_3_PR, MODULES, Layout, Window
from focusrail_drivers.accelerators.kv260_emulator.memory import Memory
from focusrail_drivers.accelerators.kv260_emulator.mipi import MipiPath
from focusrail_drivers.accelerators.kv260_emulator.passage import Parts
from focusrail_drivers.accelerators.kv260_emulator.pipeline import Pipeline
from focusrail_drivers.accelerators.kv260_emulator.pixels import PixelFormat
from focusrail_drivers.accelerators.kv260_emulator.regions import PipelineControl, Region, stage
from focusrail_drivers.accelerators.kv260_emulator.sensor import Ov5640
from focusrail_drivers.accelerators.kv260_emulator.switch import AxisSwitch

MAX_ROWS = 8191  # VSIZE has 13 bits; the filters' template says 1080, which only bounds a loop (unproven in silicon)
FRAME_S = 0.007  # of full size, through the filters
LOOKS_PER_FRAME = 4  # a frame of full size takes 7 ms; who waits for it looks every millisecond or two
_STATUS_REGISTERS = (0x04, 0x34)
# PLL and clock registers of the processing system that pynq reads to set the clocks: 33.333 MHz times 90 / 2.
_PLL_CTRL = 0x00015A00
_PROCESSING_SYSTEM = {0xFF5E0020: _PLL_CTRL, 0xFF5E0030: _PLL_CTRL, 0xFD1A0020: _PLL_CTRL, 0xFD1A002C: _PLL_CTRL}


class Registers(Protocol):
    """A block's registers, by byte offset."""

    def read(self, offset: int) -> int: ...

    def write(self, offset: int, value: int) -> None: ...


class _Plain:
    """Registers that keep what is written, of blocks that are not emulated."""

    def __init__(self) -> None:
        self._values: dict[int, int] = {}

    def read(self, offset: int) -> int:
        return self._values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        self._values[offset] = value


class Board:
    """One board. `faults` is its fault menu; `pipeline.standing` and `mipi.standing` say why nothing flows.

    The `sensor` hangs on its camera connector and sees `scene`, which may be replaced.
    """

    def __init__(
        self,
        layout: Layout = CV_DFX_3_PR,
        *,
        memory_bytes: int = 512 << 20,
        max_rows: int = MAX_ROWS,
        looks_per_frame: int = LOOKS_PER_FRAME,
    ) -> None:
        self.layout = layout
        self.faults = FaultMenu()
        self.memory = Memory(memory_bytes)
        self.lock = threading.RLock()
        self.looks_per_frame = looks_per_frame
        self._looks = 0
        self.time_s = 0.0
        self.sensor = Ov5640()
        self.scene: scene.Scene = scene.wandering_disc
        self._max_rows = max_rows
        self._elsewhere = dict(_PROCESSING_SYSTEM)
        self.load_full()

    # --- bitstreams ---------------------------------------------------------------------------------------------------

    def load_full(self) -> None:
        """The full bitstream: everything at its beginnings. Raises TimeoutError where the fault menu says so."""
        with self.lock:
            if self.faults.take_download(partial=False):
                raise TimeoutError(f"the download of {self.layout.bitstream()} took too long")
            layout = self.layout
            self.dma = vdma.Vdma(layout.frame_stores)
            self.regions = {name: Region(name) for name in layout.regions}
            for region in self.regions.values():
                region.reset()
            self.control = PipelineControl(tuple(self.regions.values()), self.faults, self._soft_reset)
            self.switch = AxisSwitch(layout, self._switch_updated)
            self.sensor.power(False)  # the GPIO that feeds it comes up as 0
            self.mipi = MipiPath(self.memory, self.switch, self.sensor, self.faults, lambda: self.scene)
            pack, unpack = PixelFormat(), PixelFormat()
            static = {name: stage(name) for name in layout.ports if "/" not in name and name != "ps_video"}
            self.pipeline = Pipeline(
                Parts(
                    self.memory,
                    self.dma,
                    self.switch,
                    unpack,
                    pack,
                    static,
                    self.regions,
                    self.control,
                    self.faults,
                    self._max_rows,
                )
            )
            self.interrupts = InterruptController(self._interrupt_lines)
            known: dict[str, Registers] = {
                "axi_intc": self.interrupts,
                "video/axi_vdma": self.dma,
                "video/pixel_pack": pack,
                "video/pixel_unpack": unpack,
                "mipi/axi_vdma": self.mipi.dma,
                "mipi/mipi_csi2_rx_subsyst": self.mipi.receiver,
                "mipi/demosaic": self.mipi.demosaic,
                "mipi/gamma_lut": self.mipi.gamma,
                "mipi/gpio_ip_reset": self.mipi.gpio,
                "mipi/pixel_pack": self.mipi.pack,
                "mipi/v_proc_sys": self.mipi.matrix,
                "composable/axis_switch": self.switch,
                "composable/pipeline_control": self.control,
            }
            for name, each in static.items():
                if isinstance(each, Filter2d):
                    known[f"composable/{name}"] = each
            self._static = [
                (window, known.get(path) or _Plain())
                for path, window in layout.windows.items()
                if path.rpartition("/")[2] not in layout.regions
            ]

    def load_partial(self, region: str, module: str) -> None:
        """A partial bitstream. Raises TimeoutError where the fault menu says so, KeyError for one that is not there."""
        with self.lock:
            if self.faults.take_download(partial=True):
                raise TimeoutError(f"the download of {module} into {region} took too long")
            if module not in MODULES[region]:
                raise KeyError(f"{module} does not fit {region}")
            self.regions[region].load(module)

    def _soft_reset(self) -> None:
        self.pipeline.reset_filters()

    def _switch_updated(self) -> None:
        self.mipi.disturb()

    # --- registers ----------------------------------------------------------------------------------------------------

    def read(self, address: int) -> int:
        """The 32-bit register at a physical address."""
        with self.lock:
            window, block = self._decode(address)
            if block is None:
                return self._elsewhere.get(address, 0)
            offset = address - window.address
            if (block is self.dma or block is self.mipi.dma) and offset in _STATUS_REGISTERS:
                self._look()
            return block.read(offset) & 0xFFFFFFFF

    def write(self, address: int, value: int) -> None:
        """Write the 32-bit register at a physical address."""
        with self.lock:
            window, block = self._decode(address)
            if block is None:
                self._elsewhere[address] = value
            else:
                block.write(address - window.address, value & 0xFFFFFFFF)
            if block is self.dma:
                self.pipeline.notice_resets()
                self.pipeline.begin()

    def _decode(self, address: int) -> tuple[Window, Registers | None]:
        for window, block in self._static:
            if address in window:
                return window, block
        for name, region in self.regions.items():
            for window, behind in zip(self.layout.region_windows(name), region.stages, strict=False):
                if address in window:
                    # A decoupled region neither takes nor gives; on a board such an access may even never return.
                    usable = isinstance(behind, Filter2d) and not region.decoupled
                    return window, behind if usable and isinstance(behind, Filter2d) else _Plain()
        return Window(0, 0), None

    def _look(self) -> None:
        self._looks += 1
        if self._looks >= self.looks_per_frame:
            self._looks = 0
            self._pass_frame()

    def _interrupt_lines(self) -> int:
        lines = self.layout.interrupts
        channels = {
            "video/axi_vdma/mm2s_introut": self.dma.mm2s,
            "video/axi_vdma/s2mm_introut": self.dma.s2mm,
            "mipi/axi_vdma/s2mm_introut": self.mipi.dma.s2mm,
        }
        return sum(channel.interrupt << lines[name] for name, channel in channels.items())

    # --- time ---------------------------------------------------------------------------------------------------------

    def pass_frames(self, frames: int = 1) -> None:
        """Let the time of so many frames pass."""
        with self.lock:
            for _ in range(frames):
                self._pass_frame()

    def pass_time(self, duration_s: float) -> None:
        """Let time pass for the camera alone: whoever sets it up sleeps a lot, and nobody looks at the pipeline."""
        with self.lock:
            self.time_s += duration_s
            self.mipi.pass_until(self.time_s)

    def _pass_frame(self) -> None:
        self.pipeline.pass_frame()
        self.time_s += FRAME_S
        self.mipi.pass_until(self.time_s)
