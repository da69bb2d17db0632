"""Pictures and their scores in memory that a client and the service share.

The client makes the memory (memfd_create) and seals its size, so that it cannot be cut short under the service's
hands, which would be a SIGBUS. The service believes nothing: it looks at the seals, at the size, and at nothing else
of the descriptor before it knows that this is such memory. What lies where follows from the picture's size alone,
by one function for both ends. The client can still write while the service reads: who must read twice takes a copy.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from focusrail_drivers.base import DeviceInUse, DriverError, ProtocolError

LIMIT_BYTES = 1 << 28  # luma and scores of 89 megapixels
ALL_BYTES = 2 * LIMIT_BYTES  # of all clients together; the service itself takes as much again for one picture
MAX_SIDE_PX = 1 << 16
_ALIGNMENT_BYTES = 64  # a cache line
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
_F_SEAL_EXEC = 0x20  # set by kernels that are told to make all such memory not executable (vm.memfd_noexec)


class SharedMemory:
    """A mapping of sealed memory. It is unmapped when it is closed and no view of it is left, in whatever thread."""

    def __init__(self, mapping: mmap.mmap, descriptor: int | None = None) -> None:
        self._mapping, self._descriptor = mapping, descriptor

    @classmethod
    def create(cls, size_bytes: int) -> SharedMemory:
        """New memory, zeroed and sealed, to be sent by its descriptor. Raises DriverError."""
        whole = -(-size_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        try:
            descriptor = os.memfd_create("focusrail-fpga", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                os.ftruncate(descriptor, whole)
                fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
                return cls(mmap.mmap(descriptor, whole), descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise DriverError(f"no {whole} bytes of memory to share with the FPGA's service: {error}") from error

    @classmethod
    def adopt(cls, descriptor: int, size_bytes: int) -> SharedMemory:
        """Map what another process sent; the descriptor is closed in any case. Raises ProtocolError."""
        try:
            _check(descriptor, size_bytes)
            return cls(mmap.mmap(descriptor, size_bytes))
        except OSError as error:
            raise ProtocolError(f"the shared memory of {size_bytes} bytes cannot be mapped: {error}") from error
        finally:
            os.close(descriptor)

    @property
    def size_bytes(self) -> int:
        """How large it is."""
        return len(self._mapping)

    @property
    def descriptor(self) -> int:
        """What another process maps it by; only of memory that was created here."""
        assert self._descriptor is not None
        return self._descriptor

    def view(self, at_bytes: int, shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Part of it as an array, which keeps it mapped."""
        # By frombuffer, which holds an export of the mapping as long as the array lives. np.ndarray(buffer=mapping)
        # lets go of it at once, and closing would then unmap what another thread is at.
        flat: npt.NDArray[Any] = np.frombuffer(self._mapping, dtype, math.prod(shape), at_bytes)
        return flat.reshape(tuple(shape))

    def close(self) -> None:
        """Let go of it; closing twice is fine."""
        with suppress(BufferError):  # a view is left: the mapping goes when it does
            self._mapping.close()
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


class Budget:
    """How much memory all clients together may share; from any thread. What they leave empty the service fills."""

    def __init__(self, size_bytes: int = ALL_BYTES) -> None:
        self._lock = threading.Lock()
        self._left_bytes = size_bytes

    def take(self, size_bytes: int) -> None:
        """Raises DeviceInUse if so much is not left."""
        with self._lock:
            if size_bytes > self._left_bytes:
                raise DeviceInUse(
                    f"{size_bytes} bytes of memory cannot be shared: other clients leave {self._left_bytes} of it"
                )
            self._left_bytes -= size_bytes

    def give_back(self, size_bytes: int) -> None:
        """What was taken is unmapped."""
        with self._lock:
            self._left_bytes += size_bytes


def _check(descriptor: int, size_bytes: int) -> None:
    # The seals first: only memory has any, and asking a file of another kind for its size may take for ever.
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError as error:
        raise ProtocolError(f"what came is not memory that can be sealed: {error}") from error
    if seals & ~_F_SEAL_EXEC != _SEALS:
        raise ProtocolError(f"the shared memory's seals are 0x{seals:x}, not 0x{_SEALS:x} (seal, shrink, grow)")
    size = os.fstat(descriptor).st_size
    if size != size_bytes or size > LIMIT_BYTES:
        raise ProtocolError(f"the shared memory has {size} bytes, not the {size_bytes} that were announced")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a picture (height, width) of uint8 and its scores, uint16, lie in shared memory."""

    height_px: int
    width_px: int

    @property
    def scores_at_bytes(self) -> int:
        """The luma is at 0."""
        return -(-self.height_px * self.width_px // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES

    @property
    def size_bytes(self) -> int:
        """How much memory it takes."""
        return self.scores_at_bytes + 2 * self.height_px * self.width_px

    def luma(self, memory: SharedMemory) -> npt.NDArray[np.uint8]:
        """A view. Raises ProtocolError if the memory is too small."""
        return self._view(memory, 0, np.uint8)

    def scores(self, memory: SharedMemory) -> npt.NDArray[np.uint16]:
        """A view. Raises ProtocolError if the memory is too small."""
        return self._view(memory, self.scores_at_bytes, np.uint16)

    def _view(self, memory: SharedMemory, at_bytes: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        if memory.size_bytes < self.size_bytes:
            raise ProtocolError(
                f"a picture of {self.width_px} x {self.height_px} pixels with its scores takes {self.size_bytes} "
                f"bytes, and {memory.size_bytes} are shared"
            )
        return memory.view(at_bytes, (self.height_px, self.width_px), dtype)
