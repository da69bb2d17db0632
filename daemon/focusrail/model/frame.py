"""The record of one frame: facts, not pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePath


@dataclass(frozen=True, slots=True)
class Original:
    """One file as the camera delivered it, durable on disk."""

    path: PurePath  # absolute
    sha256: str
    size_bytes: int
    media_type: str


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """One exposure of a shoot. It exists only once its originals are durable."""

    shoot_id: str
    index: int  # 0-based, in shooting order
    position_mm: float | None  # reported by the rail after settling; None for photographs of unknown origin
    exposed_at: datetime  # UTC
    originals: tuple[Original, ...]  # first the one that is stacked, then its raw companion
    settings: Mapping[str, str] = field(default_factory=dict)  # as the camera reported them

    @property
    def original(self) -> Original:
        """The file that is stacked."""
        return self.originals[0]
