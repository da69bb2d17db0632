"""Who drives an emulated KV260 by its registers: directly, or through the real pynq package. Each sees the same."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.accelerators.kv260_emulator.board import Board
from focusrail_drivers.accelerators.kv260_emulator.layout import CV_DFX_3_PR, Layout
from focusrail_drivers.accelerators.kv260_emulator.memory import Block

VDMA, SWITCH, CONTROL = "video/axi_vdma", "composable/axis_switch", "composable/pipeline_control"
STATIC, IN_REGION = "composable/filter2d_accel", "composable/pr_0/filter2d_accel"
GRAPH = ("filter2d_accel", "pr_0/0")
ONE_SHOT = 0x00011091  # run, counted, one frame, interrupt enabled
HALTED, FRAME_DONE = 0x1, 0x1000


def overlay_folder() -> Path | None:
    """A folder with a board's real metadata, where there is one."""
    named = os.environ.get("FOCUSRAIL_KV260_OVERLAY")
    folder = Path(named) if named else Path(__file__).parents[2].parent / "shared" / "kv260"
    return folder if (folder / "cv_dfx_3_pr.hwh").exists() else None


class Driver(Protocol):
    """Registers by block, buffers, and bitstreams."""

    def read(self, path: str, offset: int) -> int: ...
    def write(self, path: str, offset: int, value: int) -> None: ...
    def buffer(self, shape: Sequence[int]) -> Any: ...
    def load(self, region: str, module: str) -> None: ...


class _Buffer:
    def __init__(self, block: Block, shape: Sequence[int]) -> None:
        self._block = block
        self.array = block.cpu.reshape(shape)
        self.physical_address = block.address

    def flush(self) -> None:
        self._block.flush(0, self._block.cpu.size)

    def invalidate(self) -> None:
        self._block.invalidate(0, self._block.cpu.size)


class Direct:
    """The board alone."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def _address(self, path: str) -> int:
        return self._board.layout.windows[path.removesuffix("/filter2d_accel") if "pr_" in path else path].address

    def read(self, path: str, offset: int) -> int:
        return self._board.read(self._address(path) + offset)

    def write(self, path: str, offset: int, value: int) -> None:
        self._board.write(self._address(path) + offset, value)

    def buffer(self, shape: Sequence[int]) -> _Buffer:
        return _Buffer(self._board.memory.allocate(int(np.prod(shape)), cacheable=True), shape)

    def load(self, region: str, module: str) -> None:
        self._board.load_partial(region, module)


class ThroughPynq:
    """The same by the real pynq package, with the board's metadata where `real` is its folder."""

    def __init__(self, board: Board, folder: Path, real: Path | None) -> None:
        import pynq

        from focusrail_drivers.accelerators.kv260_emulator import device

        self._folder = folder
        bitstream = device.overlay_files(folder, board.layout)
        if real is not None:
            shutil.copy(real / "cv_dfx_3_pr.hwh", folder)
        self.device = device.install(board=board)
        self.overlay = pynq.Overlay(str(bitstream))

    def _mmio(self, path: str) -> Any:
        import pynq

        described = self.overlay.ip_dict[path]
        return pynq.MMIO(described["phys_addr"], described["addr_range"])

    def read(self, path: str, offset: int) -> int:
        return self._mmio(path).read(offset)

    def write(self, path: str, offset: int, value: int) -> None:
        self._mmio(path).write(offset, value)

    def buffer(self, shape: Sequence[int]) -> Any:
        import pynq

        buffer = pynq.allocate(tuple(shape), np.uint8, cacheable=1)
        buffer.array = np.asarray(buffer)
        return buffer

    def load(self, region: str, module: str) -> None:
        name = f"cv_dfx_3_pr_composable_{region}_{module}_partial.bit"
        self.overlay.pr_download(f"composable/{region}", str(self._folder / name))


class Rig:
    """A board with the graph of two filters, and what one does to it."""

    def __init__(self, board: Board, driver: Driver) -> None:
        self.board = board
        self.driver = driver
        self._source: Any = None
        self._sink: Any = None

    @property
    def layout(self) -> Layout:
        return self.board.layout

    def load_filter(self, region: str = "pr_0", module: str = "filter2d_fifo") -> None:
        """Load a region behind its decoupler."""
        bit = 1 << self.layout.regions.index(region)
        self.driver.write(CONTROL, 8, bit)
        self.driver.load(region, module)
        self.driver.write(CONTROL, 8, 0)

    def compose(self, rows: int, cols: int, shift: int = 0) -> None:
        """Reset the filters, set and start them, route memory -> Laplacian -> binomial -> memory."""
        self.driver.write(CONTROL, 0, 1)
        self.driver.write(CONTROL, 0, 0)
        for path, kernel, by in ((STATIC, reference.LAPLACIAN, 0), (IN_REGION, reference.BINOMIAL, shift)):
            self.set_filter(path, rows, cols, kernel, by)
            self.driver.write(path, 0, 0x81)
        self.route(*GRAPH)

    def set_filter(self, path: str, rows: int, cols: int, kernel: npt.NDArray[np.int16], shift: int) -> None:
        packed = np.append(kernel.ravel(), np.int16(0)).view("<u4")
        for offset, value in ((0x10, rows), (0x18, cols), (0x20, shift)):
            self.driver.write(path, offset, value)
        for place, word in enumerate(packed):
            self.driver.write(path, 0x40 + 4 * place, int(word))

    def route(self, *blocks: str) -> None:
        """Through these blocks, in the order of the data."""
        ports = self.layout.ports
        for port in ports.values():
            self.driver.write(SWITCH, 0x40 + 4 * port.into, 0x80000000)
        chain = ("ps_video", *blocks, "ps_video")
        for before, after in pairwise(chain):
            self.driver.write(SWITCH, 0x40 + 4 * ports[after].into, ports[before].out_of)
        self.driver.write(SWITCH, 0, 2)

    def arm(self, frame: npt.NDArray[np.uint8]) -> None:
        """Send one frame (rows, cols, planes) by itself and be ready for its result."""
        rows = frame.shape[0]
        row_bytes = frame.size // rows
        self._source = self.driver.buffer(frame.shape)
        self._sink = self.driver.buffer(frame.shape)
        self._source.array[:] = frame
        self._source.flush()
        for base, geometry, buffer in ((0x30, 0xA0, self._sink), (0x00, 0x50, self._source)):
            self.driver.write(VDMA, base, ONE_SHOT & ~0x2)
            self.driver.write(VDMA, geometry + 0x0C, buffer.physical_address)
            self.driver.write(VDMA, geometry + 0x04, row_bytes)
            self.driver.write(VDMA, geometry + 0x08, row_bytes)
            self.driver.write(VDMA, geometry, rows)

    def wait(self, frames: int = 4) -> bool:
        """Whether the result has come within the time of so many frames."""
        for _ in range(frames * self.board.looks_per_frame):
            if self.driver.read(VDMA, 0x34) & FRAME_DONE:
                self.driver.write(VDMA, 0x34, FRAME_DONE)
                return True
        return False

    def result(self) -> npt.NDArray[np.uint8]:
        self._sink.invalidate()
        return self._sink.array.copy()

    def send(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """One frame there and back."""
        self.arm(frame)
        assert self.wait(), self.board.pipeline.standing
        return self.result()

    def reset_dma(self) -> None:
        """Reset both channels."""
        for base in (0x00, 0x30):
            self.driver.write(VDMA, base, 0x4)

    def status(self, channel: str = "s2mm") -> int:
        return self.driver.read(VDMA, 0x34 if channel == "s2mm" else 0x04)


def board(layout: Layout = CV_DFX_3_PR) -> Board:
    """A small board."""
    return Board(layout, memory_bytes=64 << 20)
