"""The overlay's filter2d: its registers, and when it takes them over.

An HLS core samples its scalars and copies its coefficients when it starts; with auto-restart that is right after a
frame has ended, long before the next one begins. So the first frame after a change still has the old values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260 import reference

_CTRL, _ROWS, _COLS, _SHIFT, _KERNEL = 0x00, 0x10, 0x18, 0x20, 0x40
_START, _DONE, _IDLE, _READY, _AUTO_RESTART = 0x01, 0x02, 0x04, 0x08, 0x80
_KERNEL_WORDS = 5  # nine int16, two a word, the low half first


@dataclass(frozen=True, slots=True)
class Settings:
    """What a core works with from start to end of one frame."""

    rows: int
    cols: int
    shift: int
    kernel: tuple[int, ...]  # nine, row by row

    def apply(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """What a frame (rows, cols, 3) becomes."""
        return reference.filter2d(frame, np.array(self.kernel, np.int16).reshape(3, 3), self.shift)


class Filter2d:
    """One filter2d core, static or in a region."""

    def __init__(self) -> None:
        self._words = [0] * _KERNEL_WORDS  # a memory: a reset leaves it alone
        self.reset()

    def reset(self) -> None:
        """What the soft reset does: the core stops, and its scalar registers are 0 again."""
        self._rows = self._cols = self._shift = 0
        self._auto_restart = False
        self._done = False
        self.settings: Settings | None = None

    def read(self, offset: int) -> int:
        """A register; `done` and `ready` are cleared by reading."""
        if offset == _CTRL:
            ended = (_DONE | _READY) if self._done else 0
            self._done = False
            busy = _IDLE if self.settings is None else _START
            return ended | busy | (_AUTO_RESTART if self._auto_restart else 0)
        word = (offset - _KERNEL) // 4
        if 0 <= word < _KERNEL_WORDS:
            return self._words[word]
        return {_ROWS: self._rows, _COLS: self._cols, _SHIFT: self._shift}.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """A register."""
        word = (offset - _KERNEL) // 4
        if offset == _CTRL:
            self._auto_restart = bool(value & _AUTO_RESTART)
            if value & _START and self.settings is None:
                self.settings = self._sampled()
        elif offset == _ROWS:
            self._rows = value
        elif offset == _COLS:
            self._cols = value
        elif offset == _SHIFT:
            self._shift = value & 0xFF
        elif 0 <= word < _KERNEL_WORDS:
            self._words[word] = value

    def _sampled(self) -> Settings:
        coefficients = np.array(self._words, "<u4").view("<i2")[:9]
        return Settings(self._rows, self._cols, min(self._shift, 31), tuple(coefficients.tolist()))

    def finish(self) -> None:
        """A frame has ended: the core starts again with what its registers say now, or is idle."""
        self._done = True
        self.settings = self._sampled() if self._auto_restart else None
