"""What the emulated camera looks at, unless a test gives it something else: a texture, and a disc that wanders.

Each frame carries, in its first pixels, its number and when its exposure began: so that a test can tell a stale one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
_STAMP_PX = 8  # three bytes each


@dataclass(frozen=True, slots=True)
class Moment:
    """Of one frame: its number, and the board's time (s) from the first exposed row to the last one that was read."""

    number: int
    from_s: float
    until_s: float


Scene = Callable[[Moment, int, int], Bytes]
"""(moment, rows, columns) to (rows, columns, 3) uint8."""


def wandering_disc(moment: Moment, rows: int, columns: int) -> Bytes:
    """(rows, columns, 3) uint8: a fixed texture, and a bright disc that crosses it in four seconds."""
    frame = _texture(rows, columns).copy()
    across = moment.from_s / 4 % 1
    centre = (round(across * columns), round((0.5 + 0.3 * np.sin(12 * across)) * rows))
    cv2.circle(frame, centre, max(2, rows // 24), (40, 220, 250), -1)
    return frame


def stamped(frame: Bytes, moment: Moment) -> Bytes:
    """The frame with its moment in its first pixels."""
    frame = np.ascontiguousarray(frame)
    stamp = np.array([moment.number, round(moment.from_s * 1e6), round(moment.until_s * 1e6)], "<u8").view(np.uint8)
    frame.reshape(-1)[: 3 * _STAMP_PX] = stamp
    return frame


def moment_of(frame: Bytes) -> Moment:
    """The moment that a frame (rows, columns, 3) carries."""
    number, from_us, until_us = np.ascontiguousarray(frame[0, :_STAMP_PX]).reshape(-1).view("<u8").tolist()
    return Moment(number, from_us / 1e6, until_us / 1e6)


@lru_cache(maxsize=2)
def _texture(rows: int, columns: int) -> Bytes:
    rng = np.random.default_rng(5)
    noise = sum(
        cv2.resize(
            rng.normal(0, 20, (rows // step + 2, columns // step + 2, 3)), (columns, rows), interpolation=cv2.INTER_AREA
        )
        for step in (4, 16, 64)
    )
    return np.clip(110 + np.asarray(noise), 0, 255).astype(np.uint8)
