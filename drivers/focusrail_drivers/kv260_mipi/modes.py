"""What the camera can be set to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

ModeName = Literal["1280x720@60", "1920x1080@30", "1920x1080@15"]
STALE_FRAMES = 3  # that are passed over before one counts: stream.py says why
MAX_STALE_FRAMES = 60
PlaneOrder = Literal["bgr", "rgb"]


@dataclass(frozen=True, slots=True)
class Mode:
    """A size and a rate."""

    width_px: int
    height_px: int
    frames_per_s: int

    def __str__(self) -> str:
        return f"{self.width_px}x{self.height_px}@{self.frames_per_s}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a frame: (height, width, 3) uint8."""
        return self.height_px, self.width_px, 3


def mode_of(name: str) -> Mode:
    """The mode of this name. Raises ValueError."""
    if not isinstance(name, str) or name not in get_args(ModeName):
        raise ValueError(f"mode {name!r} is none of {', '.join(get_args(ModeName))}")
    return Mode(*map(int, re.findall(r"\d+", name)))
