"""Letting originals go: those of published shoots, where the configuration limits how long or how many are kept.

Nothing else is ever deleted. A shoot's originals go together, and only after every file of its newest version in the
outbound folder has been proven to lie there as it was published. The journal knows of it before the first is deleted,
so that nobody counts on what is half gone, and what a power cut breaks off is ended at the next start.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from focusrail.config.schema import KeepConfig
from focusrail.errors import FocusrailError, ShootInUse
from focusrail.store.durable import file_sha256, sync_folder, writing
from focusrail.store.journal import Journal
from focusrail.store.journal_entries import Kept
from focusrail.store.spool import Spool

log = structlog.get_logger(__name__)


def dispensable(kept: Sequence[Kept]) -> list[Kept]:
    """The shoots whose originals may be let go at all, the oldest first: all that are published, but for the newest."""
    published = [(one.published_at, one) for one in kept if one.published_at is not None]
    newest = max((one.entry for _, one in published), default=0)
    return [one for _, one in sorted(published, key=lambda pair: pair[0]) if one.entry != newest]


def due(kept: Sequence[Kept], keep: KeepConfig, now: datetime) -> list[Kept]:
    """The shoots whose originals are beyond the limits, the oldest first."""
    found = []
    left_bytes = sum(one.size_bytes for one in kept)
    for one in dispensable(kept):
        assert one.published_at is not None
        old = (
            keep.days is not None
            and now - one.published_at > timedelta(days=keep.days)
            and one.days >= math.floor(keep.days)  # a clock may be wrong
        )
        if old or (keep.gb is not None and left_bytes > keep.gb * 1e9):
            found.append(one)
            left_bytes -= one.size_bytes
    return found


def what_could_go(journal: Journal) -> str:
    """How much of the disk the limits could free, in words; empty where that is nothing."""
    try:
        found = dispensable(journal.kept())
    except FocusrailError:  # there is enough to be said already
        return ""
    size_bytes = sum(one.size_bytes for one in found)
    if not size_bytes:
        return ""
    of = "a published shoot" if len(found) == 1 else f"{len(found)} published shoots"
    return f"; {size_bytes / 1e9:.2f} GB are originals of {of}, which store.keep in the configuration can limit"


class Retention:
    """Lets originals go. One call at a time."""

    def __init__(
        self, journal: Journal, spool: Spool, outbound: Path, keep: KeepConfig, *, stopped: Callable[[], bool]
    ) -> None:
        """Once `stopped`, it ends after the file in hand; the next call goes on."""
        self._journal, self._spool, self._outbound = journal, spool, outbound.absolute()
        self._keep, self._stopped = keep, stopped

    @property
    def has_work(self) -> bool:
        """Whether a call could find something to do. Raises StoreNotWritable."""
        return self._keep.limited or bool(self._journal.being_let_go())

    def apply(self, now: datetime) -> None:
        """End what was broken off, then let go what is due at `now` (UTC). What stands in the way is logged."""
        try:
            self._journal.note_day(now)
            for shoot_id in self._journal.being_let_go():
                self._go_on(shoot_id, now)
            if not self._keep.limited:
                return
            for one in due(self._journal.kept(), self._keep, now):
                if self._stopped():
                    return
                with suppress(ShootInUse), self._spool.claim(one.shoot_id):
                    self._let_go(one, now)
        except FocusrailError as error:
            log.error("originals.not_let_go", error=str(error))

    def _go_on(self, shoot_id: str, now: datetime) -> None:
        with suppress(ShootInUse), self._spool.claim(shoot_id):
            self._delete(shoot_id, now)

    def _let_go(self, one: Kept, now: datetime) -> None:
        version, why = self._unproven(one.shoot_id)
        elsewhere = {path.parent for path in self._paths(one.shoot_id)} - {self._frames(one.shoot_id)}
        if elsewhere:
            why = f"they lie in {elsewhere.pop()}"
        if why is None and not self._stopped():
            self._journal.begin_letting_go(one.shoot_id, now)
            self._delete(one.shoot_id, now)
        elif why:
            log.warning("originals.kept", shoot_id=one.shoot_id, version=version, reason=why)

    def _unproven(self, shoot_id: str) -> tuple[int, str | None]:
        """The newest version in outbound that was made of all frames, 0: none; and why it is not proven, if it is not.

        What somebody has made elsewhere, or without some frames, is no proof that the rest can go.
        """
        for version, folder in reversed(self._journal.publications(shoot_id)):
            if folder.parent == self._outbound and not self._journal.left_out(shoot_id, version):
                return version, unproven(folder, shoot_id, stopped=self._stopped)
        return 0, f"no version that was made of all frames lies in {self._outbound}"

    def _frames(self, shoot_id: str) -> Path:
        return (self._spool.folder(shoot_id) / "frames").absolute()

    def _paths(self, shoot_id: str) -> list[Path]:
        """Of all originals, as the journal names them."""
        return [Path(original.path) for frame in self._journal.frames(shoot_id) for original in frame.originals]

    def _delete(self, shoot_id: str, now: datetime) -> None:
        """Delete the files that the journal names, and no other, where the spool keeps this shoot's."""
        frames, size_bytes = self._frames(shoot_id), 0
        with writing(frames):
            for path in self._paths(shoot_id):
                if self._stopped():
                    return
                if path.parent == frames and path.exists():
                    size_bytes += path.stat().st_size
                    path.unlink()
            if frames.is_dir():
                sync_folder(frames)
                with suppress(OSError):  # something in it is not ours
                    frames.rmdir()
        self._journal.end_letting_go(shoot_id, now)
        log.info("originals.let_go", shoot_id=shoot_id, bytes=size_bytes)


def unproven(folder: Path, shoot_id: str, *, stopped: Callable[[], bool] = lambda: False) -> str | None:
    """Why a publication is not proven to be as it was published; None: it is. Once `stopped`, an empty reason."""
    try:
        page = json.loads((folder / "shoot.json").read_bytes())
        files = page["files"]
        if page["shoot"]["id"] != shoot_id or not files:
            return f"{folder} is not what was published of this shoot"
        if unused := sum(not frame["used"] for frame in page["frames"]):
            return f"{folder} was made without {unused} of its frames"
        for name, facts in files.items():
            if stopped():
                return ""
            path = folder / name
            if path.stat().st_size != facts["size_bytes"] or file_sha256(path) != facts["sha256"]:
                return f"{path} is not as it was published"
    except OSError as error:
        return f"{error.filename or folder} cannot be read: {error.strerror}"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return f"{folder / 'shoot.json'} is no manifest of ours"
    return None
