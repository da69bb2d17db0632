"""A folder of photographs as the frames of a stack: read in natural order, referred to where they lie."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from focusrail.errors import FrameError, NoFrames, OriginalChanged, UnreadableFolder
from focusrail.model.frame import FrameRecord, Original
from focusrail.model.method import Method
from focusrail.store.durable import file_sha256
from focusrail.store.media_types import HOW_TO_READ_RAW, MEDIA_TYPES, can_read_raw, is_raw, media_type
from focusrail_drivers.pulse import beat

SLABS = "slabs"
ALIGNED_FOLDERS = ("aligned", SLABS)  # within a result


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds."""

    photographs: tuple[Path, ...]  # in natural order: frame2 before frame10
    skipped: tuple[str, ...]  # names of files of other kinds


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sort key under which numbers in names count as numbers."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts)


def is_text(path: Path) -> bool:
    """Whether a name can be written down: in the journal, in the manifest, on the page."""
    try:
        str(path).encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8, which Python carries as lone surrogates
        return False
    return True


def printable(path: Path) -> str:
    """A name for a message, with what is no text as escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def list_folder(folder: Path, *, links: bool = True) -> Listing:
    """The photographs in a folder (not below it); raw files only where there are no others; `links`: also those that
    are symbolic links.

    Raises UnreadableFolder, NoFrames.
    """
    if not is_text(folder.absolute()):
        raise UnreadableFolder(f"cannot use the folder {printable(folder)}: its name is not UTF-8 text; rename it")
    try:
        with os.scandir(folder) as found:
            usable = [e for e in found if not e.name.startswith(".") and (links or not e.is_symlink())]
            files = [e for e in usable if Path(e.path).is_file()]
    except OSError as error:
        raise UnreadableFolder(f"cannot read the folder {folder}: {error.strerror}") from error
    # Where names differ only in case or in leading zeros, still the same order on every file system.
    files.sort(key=lambda e: (natural(e.name), e.name))
    pictures = [e for e in files if Path(e.name).suffix.casefold() in MEDIA_TYPES]
    raws = [e for e in files if is_raw(e.name)]
    chosen = pictures or raws  # beside pictures, raw files are most often the same frames once more
    if not chosen or (chosen is raws and not can_read_raw()):
        others = [e.name for e in files]
        named = f", not {', '.join(others[:5])}{' ...' if len(others) > 5 else ''}" if others else ""
        hint = f"; {HOW_TO_READ_RAW}, too" if raws else ""
        raise NoFrames(f"no photographs in {folder}: JPEG, PNG and TIFF files are read{named}{hint}")
    photographs = tuple(Path(e.path).absolute() for e in chosen)
    skipped = tuple(e.name for e in files if e not in chosen)
    return Listing(photographs, skipped)


def lie_on_each_other(photographs: Sequence[Path]) -> bool:
    """Whether all are aligned frames, or slabs, that a stack has left in a folder of its result (see its manifest)."""
    folder = photographs[0].parent
    if folder.name not in ALIGNED_FOLDERS:
        return False
    try:
        page = json.loads((folder.parent / "shoot.json").read_bytes())
        files = page["files"]
        return all(f"{folder.name}/{photograph.name}" in files for photograph in photographs)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):  # no manifest of ours
        return False


def suited(method: Method, photographs: Sequence[Path], *, aligned: bool | None) -> Method:
    """`method` for these photographs; `aligned`: they lie on each other, or not; None: they do if a stack left them so.

    What a stack of ours has left is of one brightness already, and the details of slabs have been given their gain.
    """
    ours = aligned is not False and lie_on_each_other(photographs)
    if not aligned and not ours:
        return method
    return replace(
        method,
        aligned=True,
        reference="first",
        normalise_exposure=method.normalise_exposure and not ours,
        detail_gain=1.0 if ours and photographs[0].parent.name == SLABS else method.detail_gain,
    )


def record_of(shoot_id: str, index: int, photograph: Path, *, position_mm: float | None) -> FrameRecord:
    """The record of a photograph that stays where it is. Raises FrameError when it cannot be named or read."""
    if not is_text(photograph):
        raise FrameError(f"{printable(photograph)} cannot be used: its name is not UTF-8 text; rename it")
    beat()
    try:
        facts = photograph.stat()
        digest = file_sha256(photograph)
    except OSError as error:
        raise OriginalChanged(f"{photograph} cannot be read: {error.strerror}") from error
    original = Original(photograph, digest, facts.st_size, media_type(photograph.name))
    taken = datetime.fromtimestamp(facts.st_mtime, timezone.utc)
    return FrameRecord(shoot_id, index, position_mm, taken, (original,))
