"""The emulated board as a `pynq.Device`: what pynq does to a Kria, it does to this.

    from focusrail_drivers.accelerators.kv260_emulator import device
    emulated = device.install()          # is pynq.Device.active_device from now on
    overlay = pynq.Overlay(str(device.overlay_files(directory)))

Works with pynq 3.0.1, 3.1.2 and 4.0.0, on a machine that is not a board. It repairs four things that pynq cannot do
there: parse partial metadata, set clocks (3.0.1), wait for interrupts, and reach a camera (camera_library.py).
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pynq
from pynq import interrupt, ps
from pynq.buffer import PynqBuffer
from pynq.pl_server import device as pl_device
from pynq.pl_server import hwh_parser
from pynq.pl_server.embedded_device import RuntimeMetadataParser
from pynqmetadata.frontends import Metadata

from focusrail_drivers.accelerators.kv260_emulator import camera_library, faults, metadata
from focusrail_drivers.accelerators.kv260_emulator.board import Board
from focusrail_drivers.accelerators.kv260_emulator.layout import CV_DFX_3_PR, Layout
from focusrail_drivers.accelerators.kv260_emulator.mapped import RegisterArray
from focusrail_drivers.accelerators.kv260_emulator.memory import Block

_PARTIAL = re.compile(r"_composable_(?P<region>pr_\d)_(?P<module>\w+)_partial\.bit$")
_RAW_INTERRUPT = 121  # pl_ps_irq0 of the processing system
_WAIT_S = 0.001  # between two looks of a waiting event loop at a line that nothing raises


class EmulatedBuffer(PynqBuffer):  # type: ignore[misc]
    """A frame or other buffer. It is free when nobody refers to it any more; pynq's own would unmap it."""

    def freebuffer(self) -> None:
        """Give a frame back to the cache of frames that it came from."""
        owner, pointer = getattr(self, "return_to", None), getattr(self, "pointer", None)
        if owner is not None and pointer:
            self.pointer: Block | None = None
            owner.return_pointer(pointer)


class _Memory:
    """The memory that `pynq.allocate` takes buffers from."""

    size = 0x80000000
    base_address = 0
    idx = 0

    def __init__(self, device: EmulatedKv260) -> None:
        self.device = device

    def allocate(
        self,
        shape: int | Sequence[int],
        dtype: npt.DTypeLike,
        cacheable: int = 0,
        pointer: Block | None = None,
        cache: Any = None,
    ) -> EmulatedBuffer:
        kind = np.dtype(dtype)
        sides = (shape,) if isinstance(shape, int) else tuple(shape)
        with self.device.board.lock:
            block = pointer or self.device.board.memory.allocate(
                int(np.prod(sides)) * kind.itemsize, cacheable=bool(cacheable)
            )
        buffer = EmulatedBuffer(
            sides, kind, buffer=block.cpu, device=self.device, device_address=block.address, bo=block, coherent=False
        )
        buffer.memory = self
        buffer.return_to = cache
        buffer.pointer = block if cache is not None else None
        return buffer


class _Uio:
    """The operating system's side of an interrupt: wakes a waiting event loop, and lets time pass until then."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def add_event(self, event: Any, _number: int) -> None:
        asyncio.get_event_loop().call_soon(self._look, event)

    def _look(self, event: Any) -> None:
        with self._board.lock:
            if not self._board.interrupts.asserted:
                self._board.pass_frames()
            asserted = self._board.interrupts.asserted
        if asserted:
            event.set()
        else:
            asyncio.get_event_loop().call_later(_WAIT_S, self._look, event)


class EmulatedKv260(pynq.Device):  # type: ignore[misc]
    """A KV260 with the Composable Pipeline overlay. `board.faults` is the fault menu."""

    def __init__(self, board: Board | None = None) -> None:
        super().__init__("emulated_kv260")
        self.board = board or Board()
        self.name = "KV260"
        self.arch = "aarch64"
        self.capabilities = {"REGISTER_RW": True, "MEMORY_MAPPED": True, "CALLABLE": False}
        self.default_memory = _Memory(self)
        self.timestamp = ""
        self.bitfile_name = ""

    # --- registers and memory -----------------------------------------------------------------------------------------

    def read_registers(self, address: int, length: int) -> bytes:
        """`length` bytes from `address` on, word by word."""
        words = [self.board.read(address + 4 * place) for place in range(-(-length // 4))]
        return np.array(words, "<u4").tobytes()[:length]

    def write_registers(self, address: int, data: bytes) -> None:
        """Bytes, a multiple of four, from `address` on."""
        for place, word in enumerate(np.frombuffer(bytes(data), "<u4")):
            self.board.write(address + 4 * place, int(word))

    def mmap(self, address: int, length: int) -> RegisterArray:
        """The registers of a window, as pynq maps them on a board."""
        return RegisterArray(self.board, address, length)

    def get_memory(self, _description: Any) -> _Memory:
        return self.default_memory

    def flush(self, block: Block, offset: int, _address: int, size: int) -> None:
        with self.board.lock:
            block.flush(offset, size)

    def invalidate(self, block: Block, offset: int, _address: int, size: int) -> None:
        with self.board.lock:
            block.invalidate(offset, size)

    # --- bitstreams ---------------------------------------------------------------------------------------------------

    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> Any:
        """What pynq knows of a bitstream, from the metadata beside it."""
        described = Path(bitfile_name).with_suffix(".hwh")
        if partial:
            return hwh_parser.HWH(hwh_data=described.read_text(encoding="utf-8-sig"))
        parser = RuntimeMetadataParser(Metadata(input=described))
        parser.refresh_hierarchy_dict()
        return parser

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Load a bitstream: what it is, its name says. Raises TimeoutError, KeyError."""
        if bitstream.partial:
            found = _PARTIAL.search(bitstream.bitfile_name)
            if found is None:
                raise RuntimeError(f"{bitstream.bitfile_name} is no partial bitstream of the Composable Pipeline")
            self.board.load_partial(found["region"], found["module"])
        else:
            self.board.load_full()
        self.post_download(bitstream, parser)

    def set_axi_port_width(self, _parser: Any) -> None:
        """Nothing to set."""

    def gen_cache(self, _bitstream: Any, _parser: Any = None) -> None:
        """Nothing is cached."""


def install(layout: Layout = CV_DFX_3_PR, board: Board | None = None) -> EmulatedKv260:
    """Make an emulated board the device that pynq uses when none is named.

    The environment variable FOCUSRAIL_EMULATED_FAULTS may name faults, as `faults.parse` reads them.
    """
    _repair_pynq()
    emulated = EmulatedKv260(board or Board(layout))
    for fault in faults.parse(os.environ.get("FOCUSRAIL_EMULATED_FAULTS", "")):
        emulated.board.faults.inject(fault)
    pynq.Device.active_device = emulated
    camera_library.install(emulated.board)
    controllers = interrupt._InterruptController  # noqa: SLF001 - pynq offers no other place
    controllers._controllers.clear()  # noqa: SLF001
    controllers._uio_devices[_RAW_INTERRUPT] = _Uio(emulated.board)  # noqa: SLF001
    if not hasattr(ps.Clocks, "set_device"):  # pynq 3 asks the processor that it runs on
        ps.Clocks._real_instance = ps._ClocksUltrascale()  # noqa: SLF001
    elif "_real_instance" in vars(ps.Clocks):  # made for the device before
        delattr(ps.Clocks, "_real_instance")
    return emulated


def overlay_files(directory: Path, layout: Layout = CV_DFX_3_PR) -> Path:
    """Write the overlay of `layout` into `directory`, metadata and empty bitstreams; return the full bitstream."""
    metadata.write(directory, layout)
    return directory / layout.bitstream()


def _repair_pynq() -> None:
    if not ps.CPU_ARCH_IS_SUPPORTED:
        # Off the board pynq has an abstract parser only, which knows no interrupts and no processing system.
        hwh_parser.HWH = pl_device.HWH = hwh_parser._HWHUltrascale  # noqa: SLF001
