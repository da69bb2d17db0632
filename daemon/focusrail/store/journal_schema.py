"""The tables of the journal, and how one of an earlier version becomes one of this."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from focusrail.errors import StoreNotWritable

SCHEMA_VERSION = 12
SCHEMA = """
CREATE TABLE shoot (
    shoot_id TEXT PRIMARY KEY, name TEXT NOT NULL, specimen_id TEXT, created_at TEXT NOT NULL, source TEXT NOT NULL,
    recipe TEXT, method TEXT NOT NULL, positions_mm TEXT NOT NULL, state TEXT NOT NULL
) STRICT;
CREATE TABLE frame (
    shoot_id TEXT NOT NULL REFERENCES shoot, frame_index INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (shoot_id, frame_index)
) STRICT;
CREATE TABLE publication (
    shoot_id TEXT NOT NULL REFERENCES shoot, version INTEGER NOT NULL, folder TEXT NOT NULL, published_at TEXT NOT NULL,
    method TEXT NOT NULL, PRIMARY KEY (shoot_id, version)
) STRICT;
"""
# What a journal of version n needs to become one of version n + 1; a new one goes all the way, too.
UPGRADES = {
    1: "ALTER TABLE publication ADD COLUMN without TEXT NOT NULL DEFAULT ''",
    2: "ALTER TABLE publication ADD COLUMN measured_by TEXT NOT NULL DEFAULT ''",
    3: "CREATE TABLE begun_with (key TEXT PRIMARY KEY, shoot_id TEXT NOT NULL REFERENCES shoot, wish TEXT NOT NULL)"
    " STRICT",
    4: "CREATE TABLE inbound (name TEXT PRIMARY KEY, content TEXT NOT NULL, attempts INTEGER NOT NULL,"
    " done INTEGER NOT NULL, shoot_id TEXT, error TEXT NOT NULL) STRICT",
    5: "CREATE TABLE extension (shoot_id TEXT NOT NULL REFERENCES shoot, after_version INTEGER NOT NULL,"
    " begun_at TEXT NOT NULL, PRIMARY KEY (shoot_id, after_version)) STRICT",
    6: "CREATE TABLE let_go (shoot_id TEXT PRIMARY KEY REFERENCES shoot, begun_at TEXT NOT NULL, ended_at TEXT) STRICT",
    # In the order of the entries: a rig without a battery for its clock begins shoots at times of long ago.
    7: "CREATE TABLE begun (sequence INTEGER PRIMARY KEY, shoot_id TEXT NOT NULL REFERENCES shoot) STRICT",
    8: "INSERT INTO begun (shoot_id) SELECT shoot_id FROM (SELECT shoot_id, created_at AS at FROM shoot"
    " UNION ALL SELECT shoot_id, begun_at FROM extension) ORDER BY at, shoot_id",
    9: "CREATE TABLE gone_on (shoot_id TEXT PRIMARY KEY REFERENCES shoot, frames INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL) STRICT",
    # A row whenever the date has changed, whichever way; a publication knows the newest of its time.
    10: "CREATE TABLE day (sequence INTEGER PRIMARY KEY, date TEXT NOT NULL) STRICT",
    11: "ALTER TABLE publication ADD COLUMN day INTEGER NOT NULL DEFAULT 0",
}


def to_write_ahead(db: sqlite3.Connection, *, timeout_s: float) -> None:
    """Let a journal have a write-ahead log. Raises sqlite3.Error."""
    # Two processes that make a journal at the same time: SQLite does not wait for this lock by itself.
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)


def to_newest(db: sqlite3.Connection, path: Path) -> None:
    """Bring the tables of the journal at `path` up to date, in a transaction.

    Raises StoreNotWritable where a newer focusrail has written them.
    """
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == SCHEMA_VERSION:
        return
    if version == 0:
        for statement in SCHEMA.split(";")[:-1]:
            db.execute(statement)
        version = 1
    elif version > SCHEMA_VERSION:
        raise StoreNotWritable(f"{path} was written by a newer focusrail; use that, or another folder")
    for old in range(version, SCHEMA_VERSION):
        db.execute(UPGRADES[old])
    db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
