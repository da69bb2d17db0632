"""The spool: originals, byte for byte as the camera delivered them, durable before they are counted."""

from __future__ import annotations

import fcntl
import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import structlog

from focusrail.errors import OriginalChanged, ShootInUse
from focusrail.model.frame import FrameRecord, Original
from focusrail.store.durable import make_folder, write_durably, writing
from focusrail.store.media_types import suffix_of
from focusrail_drivers.base import Photograph
from focusrail_drivers.pulse import beat

log = structlog.get_logger(__name__)
LIVE, LIVE_DEPTH, THUMBNAILS = "live.jpg", "live_depth.jpg", "thumbnails"
_PATIENCE_S, _POLL_S = 0.3, 0.005


class Spool:
    """One folder a shoot: `frames/000012.jpg`, `truth/` on a simulated rig; `live*.jpg`, `thumbnails/` to look at."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, shoot_id: str) -> Path:
        """Where a shoot's files are."""
        return self.root / shoot_id

    def live_picture(self, shoot_id: str, *, depth: bool = False) -> Path:
        """Where the live composite of a shoot is, or the depth beside it, if there is one."""
        return self.folder(shoot_id) / (LIVE_DEPTH if depth else LIVE)

    def thumbnail(self, shoot_id: str, index: int) -> Path:
        """Where a small picture of a frame is, once the stacking process has seen that frame."""
        return self.folder(shoot_id) / THUMBNAILS / f"{index:06d}.jpg"

    def store(self, shoot_id: str, index: int, photographs: Sequence[Photograph]) -> tuple[Original, ...]:
        """Write the photographs of one exposure; when this returns they survive a power cut."""
        frames = self.folder(shoot_id) / "frames"
        make_folder(frames)
        originals: list[Original] = []
        for photograph in photographs:
            kind = photograph.media_type
            path = (frames / f"{index:06d}.{suffix_of(kind)}").absolute()
            if path in [original.path for original in originals]:  # two pictures of one kind
                path = path.with_stem(f"{index:06d}-{len(originals) + 1}")
            write_durably(path, photograph.data)
            digest = hashlib.sha256(photograph.data).hexdigest()
            originals.append(Original(path, digest, len(photograph.data), kind))
        return tuple(originals)

    @contextmanager
    def claim(self, shoot_id: str, *, patience_s: float = _PATIENCE_S) -> Iterator[None]:
        """Be the only process that works on a shoot. Raises ShootInUse. Ends with the process, whatever ends it.

        Whoever only looks whether somebody does has it for an instant: that much patience it takes.
        """
        folder = self.folder(shoot_id)
        make_folder(folder)
        path = folder / ".lock"
        with writing(path):
            file = path.open("w")
        with file:
            late_s = time.monotonic() + patience_s
            while not _locked(file):
                if time.monotonic() >= late_s:
                    raise ShootInUse(f"shoot {shoot_id} is being worked on by another process; wait for it to end")
                time.sleep(_POLL_S)
            yield


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def proven(records: Iterable[FrameRecord]) -> list[FrameRecord]:
    """The frames whose originals are all what was stored; the others are logged."""
    whole = []
    for record in records:
        beat()
        try:
            for original in record.originals:
                read_original(original)
        except OriginalChanged as error:
            log.warning("frame.damaged", frame_index=record.index, reason=str(error))
        else:
            whole.append(record)
    return whole


def read_original(original: Original) -> bytes:
    """The bytes of an original, proven by their hash. Raises OriginalChanged."""
    path = Path(original.path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OriginalChanged(f"{path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != original.sha256:
        raise OriginalChanged(f"{path} is not the file that was stored: its SHA-256 differs; restore it from a backup")
    return data
