"""The inbound folder: photographs that are dropped into `inbound/NAME/` are stacked and published.

Whoever copies them there may be slow, break off, or be hostile; so a folder counts only when nothing in it has changed
for a while (or its marker file is there), links are not followed, and one look costs no more than a limit, however
much there is. Nothing is moved or deleted. What became of a folder is journalled by a hash of what it holds: it is
stacked once, tried again only when it changes, and one that ends the service each time is given up.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from focusrail.config.schema import InboundConfig
from focusrail.desk import Desk
from focusrail.errors import FocusrailError, RigBusy
from focusrail.model.recipe import LARGEST_STACK
from focusrail.store.folder import is_text, printable
from focusrail.store.journal_entries import Inbound
from focusrail_drivers.base import DriverError

log = structlog.get_logger(__name__)
_LOOK_S = 1.0  # from one look to the next, and ten times as long as the look before has taken
_MOST_FOLDERS = 2000  # looked at; whoever keeps more beside each other should clear up
_MOST_FILES = LARGEST_STACK + 1000
UNDISTURBED_S = 20.0  # the rig is left before a stack begins: who sets up a shoot wants it again in a moment
_ATTEMPTS = 3  # at a folder during which the service has ended each time
_STILL_COPIED = 6  # times as long as usual it must be quiet while there are files with such names
_TEMPORARY = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".download", ".swp", "~")


@dataclass(frozen=True, slots=True)
class InboundFailed:
    """A folder of photographs could not be stacked. It is tried again when it changes."""

    folder: str
    error: str  # class name, see focusrail.errors
    message: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """A folder at one look."""

    state: str  # changes with anything in it
    content: str  # changes with the photographs
    marked: bool
    being_copied: bool
    empty: bool
    others: bool = False  # there is something that is no file, or a link to one


class InboundFolder:
    """Watches a folder, in a thread of its own, from `start` to `stop`."""

    def __init__(self, desk: Desk, config: InboundConfig) -> None:
        """`config.folder` must be set."""
        assert config.folder is not None
        self._desk, self._config, self._root = desk, config, config.folder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="inbound", daemon=True)
        self._quiet: dict[str, tuple[str, float]] = {}  # folder -> its state and since when it has that
        self._stacking_s = 0.0  # of a look, which itself is short
        self._told: set[str] = set()  # what has been complained of

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; what is being stacked must be ended by the desk."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            began_s = time.monotonic()
            try:
                self.look(began_s)
            except FocusrailError as error:  # the journal cannot be written
                self._complain(str(self._root), str(error))
            except Exception:
                log.exception("inbound.broke")
            self._stop.wait(max(_LOOK_S, 10 * (time.monotonic() - began_s - self._stacking_s)))

    def look(self, now_s: float) -> None:
        """Look at all folders once; stack those that are complete."""
        names, self._stacking_s = [], 0.0
        try:
            for name in _folders(self._root):
                names.append(name)
                self._consider(name, now_s + self._stacking_s)
        except OSError as error:
            self._complain(str(self._root), f"cannot read the inbound folder {self._root}: {error.strerror}")
            return
        if len(names) == _MOST_FOLDERS:
            self._complain("many", f"{self._root} holds {_MOST_FOLDERS} folders or more: the others are not looked at")
        self._quiet = {name: self._quiet[name] for name in names if name in self._quiet}

    def _consider(self, name: str, now_s: float) -> None:
        if self._stop.is_set():
            return
        folder = self._root / name
        if not is_text(folder):
            self._complain(name, f"cannot use the folder {printable(folder)}: its name is not UTF-8 text; rename it")
            return
        try:
            seen = _look_at(folder, self._config.marker)
        except OSError as error:
            self._complain(name, f"cannot read the folder {folder}: {error.strerror}")
            return
        state, since_s = self._quiet.get(name, ("", now_s))
        if state != seen.state:
            since_s = now_s
            self._quiet[name] = seen.state, now_s
        if seen.empty and seen.others and now_s - since_s >= self._config.quiet_s:
            message = (
                f"{folder} holds folders or links only: photographs of a stack lie in a folder right in {self._root}"
            )
            if self._complain(name, message):
                self._desk.tell(InboundFailed(str(folder), "NoFrames", message))
        if seen.empty or not self._is_complete(seen, now_s - since_s):
            return
        note = self._desk.service.journal.inbound(name)
        if note is None or note.content != seen.content:
            note = Inbound(name, seen.content)
        if not note.done:
            began_s = time.monotonic()
            self._stack(folder, note)
            self._stacking_s += time.monotonic() - began_s

    def _is_complete(self, seen: _Seen, quiet_s: float) -> bool:
        if self._config.marker is not None:
            return seen.marked
        return quiet_s >= self._config.quiet_s * (_STILL_COPIED if seen.being_copied else 1)

    def _stack(self, folder: Path, note: Inbound) -> None:
        journal = self._desk.service.journal
        if note.attempts >= _ATTEMPTS:
            self._give_up(note, "WorkerLost", f"the service has ended {note.attempts} times while it was stacked")
            return
        if self._desk.status().doing or self._desk.service.clock.monotonic_s() < self._desk.wanted_s + UNDISTURBED_S:
            return
        journal.note_inbound(replace(note, attempts=note.attempts + 1))  # in case that this ends the service
        try:
            done = self._desk.stack_inbound(folder)
        except RigBusy:
            journal.note_inbound(note)
            return
        except (FocusrailError, DriverError) as error:
            self._give_up(note, type(error).__name__, str(error))
            return
        except Exception as error:
            log.exception("inbound.broke")
            self._give_up(note, type(error).__name__, "a bug of ours; the log has its traceback")
            return
        if done is None:  # it has made way
            journal.note_inbound(note)
            return
        journal.note_inbound(replace(note, done=True, shoot_id=done.shoot_id, error=""))
        log.info("inbound.stacked", folder=str(folder), shoot_id=done.shoot_id)

    def _give_up(self, note: Inbound, error: str, message: str) -> None:
        self._desk.service.journal.note_inbound(replace(note, done=True, error=message))
        folder = str(self._root / note.name)
        log.warning("inbound.failed", folder=folder, error=message)
        self._desk.tell(InboundFailed(folder, error, message))

    def _complain(self, about: str, message: str) -> bool:
        """Log once what no journal entry can keep from being said again; return whether it was said now."""
        if about in self._told or len(self._told) >= _MOST_FOLDERS:
            return False
        self._told.add(about)
        log.warning("inbound.not_read", reason=message)
        return True


def _folders(root: Path) -> Iterator[str]:
    """The names of the folders, not of links to some, in no order. Raises OSError."""
    number = 0
    with os.scandir(root) as found:
        for entry in found:
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                yield entry.name
                number += 1
                if number == _MOST_FOLDERS:
                    return


def _look_at(folder: Path, marker: str | None) -> _Seen:
    """A folder as it is now; of one with too many files only that. Raises OSError."""
    facts: list[str] = []
    files: list[str] = []
    temporary = marked = others = False
    with os.scandir(folder) as found:
        for entry in found:
            if len(facts) > _MOST_FILES:
                many = f"many {folder.stat().st_mtime_ns}"
                return _Seen(many, many, marked=marked, being_copied=False, empty=False)
            if not entry.is_file(follow_symlinks=False):
                others = True
                continue
            try:
                now = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # renamed this moment
                continue
            facts.append(f"{entry.name!a} {now.st_size} {now.st_mtime_ns} {now.st_ctime_ns} {now.st_ino}")
            if entry.name == marker:
                marked = True
            elif entry.name.startswith(".") or entry.name.casefold().endswith(_TEMPORARY):
                temporary = True
            else:
                files.append(f"{entry.name!a} {now.st_size} {now.st_mtime_ns}")
    return _Seen(_digest(facts), _digest(files), marked=marked, being_copied=temporary, empty=not files, others=others)


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
