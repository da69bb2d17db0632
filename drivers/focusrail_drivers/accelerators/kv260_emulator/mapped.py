"""Registers as the array that pynq maps a block's window to: each access by an index is one to the board."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Words(Protocol):
    """32-bit registers by physical address."""

    def read(self, address: int) -> int: ...

    def write(self, address: int, value: int) -> None: ...


class RegisterArray:
    """What numpy's array over mapped memory does for pynq: single items, slices, views of other widths, an address.

    The address is the physical one: there is no other, and whoever takes it as a pointer is emulated, too.
    """

    def __init__(self, board: Words, address: int, size_bytes: int, item_bytes: int = 4) -> None:
        self._board, self._address, self._size_bytes, self._item_bytes = board, address, size_bytes, item_bytes

    def __len__(self) -> int:
        return self._size_bytes // self._item_bytes

    @property
    def ctypes(self) -> SimpleNamespace:
        """`ctypes.data` is what a C library is given as a pointer."""
        return SimpleNamespace(data=self._address)

    def view(self, dtype: npt.DTypeLike) -> RegisterArray:
        """The same registers in items of another width."""
        return RegisterArray(self._board, self._address, self._size_bytes, np.dtype(dtype).itemsize)

    def __getitem__(self, key: int | slice) -> int | RegisterArray:
        if isinstance(key, slice):
            start, stop, _ = key.indices(len(self))
            count = max(0, stop - start)
            address = self._address + start * self._item_bytes
            return RegisterArray(self._board, address, count * self._item_bytes, self._item_bytes)
        address, shift = self._place(key)
        words = self._board.read(address)
        if self._item_bytes == 8:
            words |= self._board.read(address + 4) << 32
        return words >> shift & ((1 << 8 * self._item_bytes) - 1)

    def __setitem__(self, key: int | slice, value: npt.ArrayLike) -> None:
        if isinstance(key, slice):
            places = range(*key.indices(len(self)))
            for place, each in zip(places, np.broadcast_to(np.asarray(value), len(places)), strict=True):
                self[place] = int(each)
            return
        address, shift = self._place(key)
        item = int(np.asarray(value))
        if self._item_bytes == 8:
            self._board.write(address + 4, item >> 32)
        elif self._item_bytes < 4:
            mask = (1 << 8 * self._item_bytes) - 1
            item = self._board.read(address) & ~(mask << shift) | (item & mask) << shift
        self._board.write(address, item & 0xFFFFFFFF)

    def _place(self, index: int) -> tuple[int, int]:
        """The word that an item lies in, and by how many bits it is shifted there. Raises IndexError."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of a window of {len(self)}")
        address = self._address + index % len(self) * self._item_bytes
        return address & ~3, 8 * (address & 3)
