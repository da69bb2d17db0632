"""What the journal tells of besides shoots and frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePath

from focusrail.model.frame import FrameRecord


@dataclass(frozen=True, slots=True)
class Inbound:
    """What became of a folder of photographs that was dropped into the inbound folder."""

    name: str
    content: str  # a hash of what was in it
    attempts: int = 0
    done: bool = False  # stacked, or given up: not to be tried again as it is
    shoot_id: str | None = None  # of the stack that was published
    error: str = ""  # why there is none


@dataclass(frozen=True, slots=True)
class Publication:
    """A version of a shoot or stack, where it was published."""

    shoot_id: str
    name: str
    specimen_id: str | None
    version: int
    folder: Path
    published_at: datetime  # UTC


@dataclass(frozen=True, slots=True)
class Kept:
    """A shoot whose originals the spool keeps."""

    shoot_id: str
    size_bytes: int  # of its originals
    published_at: datetime | None  # its newest version, where all that was planned is published; UTC
    entry: int = 0  # of that version: grows from publication to publication, whatever the clock says


def within(folder: Path, path: PurePath) -> PurePath:
    """The place of a path in a folder; the path itself, if it is elsewhere."""
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def placed(record: FrameRecord, place: Callable[[PurePath], PurePath]) -> FrameRecord:
    """A frame whose originals lie where `place` says of each."""
    return replace(record, originals=tuple(replace(one, path=place(one.path)) for one in record.originals))
