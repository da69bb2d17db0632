"""What a shoot or stack tells whoever watches it, besides what the stacking process says (see worker.messages)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from focusrail.errors import FocusrailError
from focusrail.worker.messages import Finished


@dataclass(frozen=True, slots=True)
class Started:
    """A shoot or stack has begun."""

    shoot_id: str
    name: str
    frames: int
    source: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """Files in a folder of photographs that are none."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Merging:
    """All frames are in; the results are being written."""


@dataclass(frozen=True, slots=True)
class Published:
    """Results lie in the outbound folder."""

    shoot_id: str
    version: int
    folder: Path
    finished: Finished
    left_out: tuple[FocusrailError, ...]  # a sentence for each frame that could not be used


@dataclass(frozen=True, slots=True)
class FrameStored:
    """A frame is safe."""

    index: int
    total: int
    position_mm: float
    before: bool = False  # in an earlier run of the shoot, which is gone on with


@dataclass(frozen=True, slots=True)
class Paused:
    """The shoot waits, or goes on."""

    paused: bool
