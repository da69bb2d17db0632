"""Where the accumulated planes lie: in memory, or, of very large frames, in a file that the system pages in and out."""

from __future__ import annotations

import mmap  # noqa: F401 - numpy asks for it at the first file, when there may be no memory left to load it
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class Planes:
    """Hands out planes of zeros: from memory until a budget is used up, then from files without a name in `folder`.

    Those files' pages are not counted against a limit of the process, and the system may write them out when memory is
    short: slower, but frames of any size can be stacked. Room on the disk is taken at once.
    """

    def __init__(self, folder: Path, *, budget_bytes: int) -> None:
        self._folder, self._left = folder, budget_bytes
        self.memory_bytes = self.file_bytes = 0  # handed out so far

    def __call__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """A plane of zeros. Raises OSError where the disk is full."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if size <= self._left:
            self._left -= size
            self.memory_bytes += size
            plane = np.empty(shape, dtype)
            plane.fill(0)  # numpy asks for huge pages for what is empty, and not for zeros: a tenth of the time
            return plane
        self.file_bytes += size
        with tempfile.TemporaryFile(dir=self._folder, prefix=".planes-") as file:
            os.posix_fallocate(file.fileno(), 0, size)  # else a full disk would end the process in the middle of a loop
            return np.memmap(file, dtype, "r+", shape=shape)
