"""The board's memory as the video DMA sees it, behind a cache that the processor has to flush.

A buffer that is cached exists twice: what the processor sees and what lies in memory. As on the board (whose ports
to the programmable logic are not coherent), a frame that was not flushed goes out as it was before, and one that was
not invalidated is read as it was before.
"""

from __future__ import annotations

import weakref

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

PAGE_BYTES = 4096
FIRST_ADDRESS = 0x10000000
LIMIT_ADDRESS = 0x80000000  # the overlay's masters see the low 2 GB only
_UNDEFINED = 0xA5  # fresh memory is not zero: nobody may rely on it


class DecodeError(Exception):
    """An address at which the overlay's masters find nothing."""


class Block:
    """A contiguous piece of memory: `cpu` is what the processor sees, `ddr` what the logic sees (size_bytes uint8)."""

    def __init__(self, address: int, size_bytes: int, *, cacheable: bool) -> None:
        self.address = address
        self.cacheable = cacheable
        self.ddr: Bytes = np.full(size_bytes, _UNDEFINED, np.uint8)
        self.cpu: Bytes = self.ddr.copy() if cacheable else self.ddr

    def flush(self, offset: int, size_bytes: int) -> None:
        """Make what the processor wrote visible to the logic."""
        if self.cacheable:
            self.ddr[offset : offset + size_bytes] = self.cpu[offset : offset + size_bytes]

    def invalidate(self, offset: int, size_bytes: int) -> None:
        """Make what the logic wrote visible to the processor."""
        if self.cacheable:
            self.cpu[offset : offset + size_bytes] = self.ddr[offset : offset + size_bytes]


class Memory:
    """All buffers. One that nobody refers to any more is free again, as pynq's are."""

    def __init__(self, capacity_bytes: int = 512 << 20) -> None:
        self.capacity_bytes = capacity_bytes
        self.stray_writes = 0
        self._blocks: dict[int, weakref.ref[Block]] = {}

    def _living(self) -> list[Block]:
        living = [block for each in self._blocks.values() if (block := each()) is not None]
        self._blocks = {block.address: weakref.ref(block) for block in living}
        return sorted(living, key=lambda block: block.address)

    @property
    def used_bytes(self) -> int:
        """What is taken by living buffers."""
        return sum(block.ddr.size for block in self._living())

    def allocate(self, size_bytes: int, *, cacheable: bool) -> Block:
        """A new buffer at the lowest address that is free. Raises RuntimeError as XRT does when there is no room."""
        address = FIRST_ADDRESS
        used = 0
        for block in self._living():
            if block.address - address >= size_bytes:
                break
            address = -(-(block.address + block.ddr.size) // PAGE_BYTES) * PAGE_BYTES
            used += block.ddr.size
        if self.used_bytes + size_bytes > self.capacity_bytes or address + size_bytes > LIMIT_ADDRESS:
            raise RuntimeError(
                f"Failed to allocate Memory! {size_bytes} bytes wanted, {used} of {self.capacity_bytes} in use"
            )
        block = Block(address, size_bytes, cacheable=cacheable)
        self._blocks[address] = weakref.ref(block)
        return block

    def _rows(self, address: int, rows: int, row_bytes: int, stride_bytes: int) -> Bytes | None:
        length = (rows - 1) * stride_bytes + row_bytes
        if address + length > LIMIT_ADDRESS:
            raise DecodeError(f"{length} bytes at {address:#x} are beyond what the masters reach")
        for block in self._living():
            offset = address - block.address
            if 0 <= offset <= block.ddr.size - length:
                return np.lib.stride_tricks.as_strided(
                    block.ddr[offset:], shape=(rows, row_bytes), strides=(stride_bytes, 1)
                )
        return None

    def read(self, address: int, rows: int, row_bytes: int, stride_bytes: int) -> Bytes:
        """(rows, row_bytes) uint8 from memory; rows lie `stride_bytes` apart. Raises DecodeError.

        Where there is no buffer, the memory is somebody else's, and holds anything.
        """
        found = self._rows(address, rows, row_bytes, stride_bytes)
        return np.full((rows, row_bytes), _UNDEFINED, np.uint8) if found is None else found.copy()

    def write(self, address: int, frame: Bytes, stride_bytes: int) -> None:
        """(rows, row_bytes) uint8 to memory. Raises DecodeError.

        Where there is no buffer, a board would have overwritten somebody else's memory: `stray_writes` counts that.
        """
        found = self._rows(address, frame.shape[0], frame.shape[1], stride_bytes)
        if found is None:
            self.stray_writes += 1
        else:
            found[:] = frame
