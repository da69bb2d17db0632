"""The file that the journal is: opened and brought up to date, one writer at a time, its errors in words."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from focusrail.errors import StoreNotWritable
from focusrail.store.durable import make_folder, refusal
from focusrail.store.journal_schema import to_newest, to_write_ahead
from focusrail.store.room import free_bytes

log = structlog.get_logger(__name__)
_TIMEOUT_S = 10.0  # for another process to finish writing


class JournalFile:
    """An SQLite file with a write-ahead log and full synchronisation."""

    def __init__(self, path: Path) -> None:
        """Open, and make if need be. Raises StoreNotWritable, DiskFull."""
        make_folder(path.parent)
        self.damage = ""  # what was found to be wrong with it; empty: nothing
        self._path = path
        self._lock = threading.Lock()
        with self._refusing():
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_TIMEOUT_S)
        try:
            self._open()
        except BaseException:
            self._db.close()
            raise

    def _open(self) -> None:
        with self._refusing():
            to_write_ahead(self._db, timeout_s=_TIMEOUT_S)
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA foreign_keys=ON")
        with self._writing():
            to_newest(self._db, self._path)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, self._refusing():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has rolled back already
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "full" in str(error) or ("I/O" in str(error) and free_bytes(self._path.parent) < 1 << 20):
                raise refusal(self._path, OSError(28, str(error))) from error
            raise StoreNotWritable(
                f"cannot write the journal {self._path}: {error}; check that it and its folder are yours to write"
            ) from error
        except sqlite3.DatabaseError as error:
            if type(error) is sqlite3.DatabaseError:  # and none of its kinds, which tell of us rather than of the file
                raise self._damaged(str(error)) from error
            raise StoreNotWritable(f"cannot use the journal {self._path}: {error}") from error
        except ValueError as error:  # an entry that is no longer what was entered
            raise self._damaged("an entry cannot be read") from error

    def _damaged(self, how: str) -> StoreNotWritable:
        error = StoreNotWritable(f"the journal {self._path} is damaged: {how}; restore it, or move it away")
        if not self.damage:
            log.error("journal.damaged", error=str(error))
        self.damage = str(error)
        return error
