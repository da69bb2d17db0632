"""The journal: every shoot, frame and publication, in SQLite with a write-ahead log and full synchronisation.

A frame is in the journal only after its originals are durable, so whatever the journal counts is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from focusrail.errors import ShootAborted, UnknownShoot
from focusrail.model.frame import FrameRecord
from focusrail.model.method import Method
from focusrail.model.selection import frames_text
from focusrail.model.shoot import ENDED, Shoot, State
from focusrail.store.journal_entries import Inbound, Kept, Publication, placed, row_of, shoot_of, within
from focusrail.store.journal_file import JournalFile

_METHOD, _FRAME = TypeAdapter(Method), TypeAdapter(FrameRecord)


class Journal(JournalFile):
    """What happened. Safe from several threads; several processes may have it open."""

    def __init__(self, path: Path, *, spool: Path | None = None, outbound: Path | None = None) -> None:
        """Open, and make if need be. Raises StoreNotWritable, DiskFull.

        What lies in `spool` or `outbound`, which are beside it if nothing is said, is entered by its place in them: so
        they can be moved.
        """
        super().__init__(path)
        self._spool = (spool or path.parent / "spool").absolute()
        self._outbound = (outbound or path.parent / "outbound").absolute()

    def add_shoot(self, shoot: Shoot, *, key: str | None = None, wish: str = "") -> None:
        """Enter a new shoot, and with it the `key` that it was begun with, and what was wished for."""
        with self._writing():
            self._db.execute("INSERT INTO shoot VALUES (?,?,?,?,?,?,?,?,?)", row_of(shoot))
            self._db.execute("INSERT INTO begun (shoot_id) VALUES (?)", (shoot.shoot_id,))
            if key is not None:
                self._db.execute("INSERT INTO begun_with VALUES (?,?,?)", (key, shoot.shoot_id, wish))

    def extend(self, shoot: Shoot, at: datetime, *, key: str | None = None, wish: str = "") -> None:
        """Enter that a published shoot has more positions now, and is being shot; with it the `key`, as `add_shoot`.

        All of it or nothing: whoever finds the shoot after a power cut goes on with the longer plan, or finds none.
        Raises IllegalTransition and changes nothing.
        """
        old = shoot.advance(State.SHOOTING)
        try:
            with self._writing():
                self._db.execute(
                    "INSERT INTO extension SELECT ?, max(version), ? FROM publication WHERE shoot_id=?",
                    (shoot.shoot_id, at.isoformat(), shoot.shoot_id),
                )
                self._db.execute("INSERT INTO begun (shoot_id) VALUES (?)", (shoot.shoot_id,))
                self._db.execute(
                    "UPDATE shoot SET positions_mm=?, state=? WHERE shoot_id=?",
                    (json.dumps(shoot.positions_mm), shoot.state.value, shoot.shoot_id),
                )
                if key is not None:
                    self._db.execute("INSERT INTO begun_with VALUES (?,?,?)", (key, shoot.shoot_id, wish))
        except BaseException:
            shoot.state = old
            raise

    def is_finished(self, shoot_id: str) -> bool:
        """Whether a version has been published since the shoot was begun, or extended."""
        with self._lock, self._refusing():
            newest, extended = self._db.execute(
                "SELECT (SELECT coalesce(max(version), 0) FROM publication WHERE shoot_id=:one),"
                " (SELECT coalesce(max(after_version), 0) FROM extension WHERE shoot_id=:one)",
                {"one": shoot_id},
            ).fetchone()
        return bool(newest > extended)

    def unended_stacks(self) -> list[str]:
        """The stacks of photographs that have no end."""
        with self._lock, self._refusing():
            rows = self._db.execute(
                "SELECT shoot_id FROM shoot WHERE recipe IS NULL AND state NOT IN ('published', 'failed', 'aborted')"
            ).fetchall()
        return [row[0] for row in rows]

    def last_begun(self) -> Shoot | None:
        """The shoot that was begun, or extended, last, whatever the clock said; not a stack of photographs."""
        with self._lock, self._refusing():
            row = self._db.execute(
                "SELECT shoot_id FROM begun JOIN shoot USING (shoot_id) WHERE recipe IS NOT NULL"
                " ORDER BY sequence DESC LIMIT 1"
            ).fetchone()
        return None if row is None else self.shoot(row[0])

    def note_going_on(self, shoot_id: str) -> int:
        """Enter that nobody has asked for it, and a shoot is gone on with; return how often since its last frame."""
        with self._writing():
            row = self._db.execute(
                "INSERT INTO gone_on SELECT ?, count(*), 1 FROM frame WHERE shoot_id=? ON CONFLICT (shoot_id) DO UPDATE"
                " SET attempts=iif(frames=excluded.frames, attempts + 1, 1), frames=excluded.frames RETURNING attempts",
                (shoot_id, shoot_id),
            ).fetchone()
        return int(row[0])

    def forget_going_on(self, shoot_id: str) -> None:
        """Enter that it came to nothing, and harmed nothing."""
        with self._writing():
            self._db.execute("DELETE FROM gone_on WHERE shoot_id=?", (shoot_id,))

    def begun_with(self, key: str) -> tuple[str, str] | None:
        """The shoot that was begun with a key, and what was wished for then."""
        with self._lock, self._refusing():
            row = self._db.execute("SELECT shoot_id, wish FROM begun_with WHERE key=?", (key,)).fetchone()
        return None if row is None else (str(row[0]), str(row[1]))

    def inbound(self, name: str) -> Inbound | None:
        """What became of an inbound folder, if it was ever tried."""
        with self._lock, self._refusing():
            row = self._db.execute("SELECT * FROM inbound WHERE name=?", (name,)).fetchone()
        return None if row is None else Inbound(row[0], row[1], row[2], bool(row[3]), row[4], row[5])

    def note_inbound(self, note: Inbound) -> None:
        """Remember what became of an inbound folder, in place of what was known."""
        row = (note.name, note.content, note.attempts, int(note.done), note.shoot_id, note.error)
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO inbound VALUES (?,?,?,?,?,?)", row)

    def advance(self, shoot: Shoot, to: State) -> None:
        """Move a shoot to another state, here and in the journal. Raises IllegalTransition and changes nothing.

        What a person has given up meanwhile stays aborted: raises ShootAborted, unless it was to end, too.
        """
        old = shoot.advance(to)
        try:
            with self._writing():
                done = self._db.execute(
                    "UPDATE shoot SET state=:to WHERE shoot_id=:one AND (state<>'aborted' OR :old='aborted')",
                    {"to": to.value, "one": shoot.shoot_id, "old": old.value},
                )
                if not done.rowcount and to not in ENDED:
                    raise ShootAborted(f"shoot {shoot.shoot_id} was aborted")
        except BaseException:
            shoot.state = old  # what could not be written has not happened
            raise

    def give_up(self, shoot_id: str) -> None:
        """Enter that a person has ended a shoot, before all that works on it has come to its end."""
        with self._writing():
            self._db.execute(
                "UPDATE shoot SET state='aborted' WHERE shoot_id=? AND state NOT IN ('published', 'failed')",
                (shoot_id,),
            )

    def add_frame(self, record: FrameRecord) -> None:
        """Enter a frame whose originals are durable; a frame shot anew replaces the one before."""
        row = (record.shoot_id, record.index, self._frame_json(record))
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO frame VALUES (?,?,?)", row)

    def add_frames(self, records: list[FrameRecord]) -> None:
        """Enter many frames at once."""
        rows = [(r.shoot_id, r.index, self._frame_json(r)) for r in records]
        with self._writing():
            self._db.executemany("INSERT OR REPLACE INTO frame VALUES (?,?,?)", rows)

    def drop_frames(self, shoot_id: str, indices: Iterable[int]) -> None:
        """Enter that frames are of no use and are to be shot anew; until then their files stay."""
        rows = [(shoot_id, index) for index in indices]
        with self._writing():
            self._db.executemany("DELETE FROM frame WHERE shoot_id=? AND frame_index=?", rows)

    def publish(
        self,
        shoot: Shoot,
        version: int,
        folder: Path,
        at: datetime,
        *,
        without: Iterable[int] = (),
        measured_by: str = "",
    ) -> None:
        """Enter that a version lies in the outbound folder, made by the shoot's method: the frames that it was asked
        to be made without, and what measured focus. With that the shoot is published, or neither is entered.
        """
        old = shoot.advance(State.PUBLISHED)
        method_json, place = _METHOD.dump_json(shoot.method).decode(), str(within(self._outbound, folder))
        row = (shoot.shoot_id, version, place, at.isoformat(), method_json, frames_text(without), measured_by)
        try:
            with self._writing():
                self._note_day(at)
                self._db.execute("INSERT INTO publication VALUES (?,?,?,?,?,?,?,(SELECT max(sequence) FROM day))", row)
                self._db.execute("UPDATE shoot SET state=? WHERE shoot_id=?", (shoot.state.value, shoot.shoot_id))
        except BaseException:
            shoot.state = old
            raise

    def shoot(self, shoot_id: str) -> Shoot:
        """One shoot. Raises UnknownShoot."""
        with self._lock, self._refusing():
            row = self._db.execute("SELECT * FROM shoot WHERE shoot_id=?", (shoot_id,)).fetchone()
        if row is None:
            raise UnknownShoot(f"no shoot {shoot_id!r} in {self._path}; `focusrail shoots` lists them")
        with self._refusing():
            return shoot_of(row)

    def shoots(self, *, before: str | None = None, limit: int = -1) -> list[Shoot]:
        """Shoots, newest first, whatever the clock said; at most `limit`, of those older than `before`.

        Raises UnknownShoot.
        """
        older: str = ""
        given: tuple[Any, ...] = (limit,)
        if before is not None:
            self.shoot(before)
            older, given = "WHERE rowid < (SELECT rowid FROM shoot WHERE shoot_id=?)", (before, limit)
        with self._lock, self._refusing():
            rows = self._db.execute(
                f"SELECT * FROM shoot {older} ORDER BY rowid DESC LIMIT ?",  # noqa: S608 - ours
                given,
            ).fetchall()
        with self._refusing():
            return [shoot_of(row) for row in rows]

    def frame_count(self, shoot_id: str) -> int:
        """How many frames of a shoot are stored."""
        with self._lock, self._refusing():
            return int(self._db.execute("SELECT count(*) FROM frame WHERE shoot_id=?", (shoot_id,)).fetchone()[0])

    def frame_index(self, shoot_id: str, number: int) -> int:
        """The index of the frame that is stored with so many before it. There must be one."""
        with self._lock, self._refusing():
            row = self._db.execute(
                "SELECT frame_index FROM frame WHERE shoot_id=? ORDER BY frame_index LIMIT 1 OFFSET ?",
                (shoot_id, number),
            ).fetchone()
        return int(row[0])

    def frames(self, shoot_id: str) -> list[FrameRecord]:
        """A shoot's frames by index; of an extended one that is not the order of the stack, see Shoot.order."""
        with self._lock, self._refusing():
            rows = self._db.execute(
                "SELECT record FROM frame WHERE shoot_id=? ORDER BY frame_index", (shoot_id,)
            ).fetchall()
        with self._refusing():
            return [placed(_FRAME.validate_json(row[0]), self._spool.joinpath) for row in rows]

    def newest_frames(self, source: str | None = None) -> list[FrameRecord]:
        """The stored frames of the newest shoot that has more than one, made with the rig `source`, or with any."""
        with self._lock, self._refusing():
            row = self._db.execute(
                "SELECT shoot_id FROM begun JOIN shoot USING (shoot_id) WHERE recipe IS NOT NULL"
                " AND source=coalesce(?, source) AND"
                " (SELECT count(*) FROM frame WHERE frame.shoot_id=shoot.shoot_id) > 1 ORDER BY sequence DESC LIMIT 1",
                (source,),
            ).fetchone()
        return [] if row is None else self.frames(row[0])

    def publications(self, shoot_id: str) -> list[tuple[int, Path]]:
        """A shoot's versions and the folders they were published in, oldest first."""
        with self._lock, self._refusing():
            rows = self._db.execute(
                "SELECT version, folder FROM publication WHERE shoot_id=? ORDER BY version", (shoot_id,)
            ).fetchall()
        return [(version, self._outbound / folder) for version, folder in rows]

    def published(self) -> list[Publication]:
        """All publications of all shoots, newest first, whatever the clock said."""
        with self._lock, self._refusing():
            rows = self._db.execute(
                "SELECT shoot_id, name, specimen_id, version, folder, published_at FROM publication "
                "JOIN shoot USING (shoot_id) ORDER BY publication.rowid DESC"
            ).fetchall()
        with self._refusing():
            return [
                Publication(shoot_id, name, specimen_id, version, self._outbound / folder, datetime.fromisoformat(at))
                for shoot_id, name, specimen_id, version, folder, at in rows
            ]

    def left_out(self, shoot_id: str, version: int) -> str:
        """The frames that a version was asked to be made without, like 12,40-43; empty where there are none."""
        with self._lock, self._refusing():
            row = self._db.execute(
                "SELECT without FROM publication WHERE shoot_id=? AND version=?", (shoot_id, version)
            ).fetchone()
        return "" if row is None else str(row[0])

    def note_day(self, at: datetime) -> None:
        """Enter that it is such a day now, if it was another when that was entered last."""
        with self._writing():
            self._note_day(at)

    def _note_day(self, at: datetime) -> None:
        self._db.execute(
            "INSERT INTO day (date) SELECT :date"
            " WHERE :date IS NOT (SELECT date FROM day ORDER BY sequence DESC LIMIT 1)",
            {"date": at.date().isoformat()},
        )

    def kept(self) -> list[Kept]:
        """The shoots whose originals the spool keeps; not the stacks of photographs that lie elsewhere."""
        with self._lock, self._refusing():
            rows = self._db.execute(
                "SELECT shoot_id, (SELECT coalesce(sum(json_extract(original.value, '$.size_bytes')), 0)"
                " FROM frame, json_each(frame.record, '$.originals') original WHERE frame.shoot_id=shoot.shoot_id),"
                " (SELECT max(published_at) FROM publication WHERE publication.shoot_id=shoot.shoot_id),"
                " (SELECT max(rowid) FROM publication WHERE publication.shoot_id=shoot.shoot_id)"
                ", (SELECT max(day) FROM publication WHERE publication.shoot_id=shoot.shoot_id)"
                ", state, json_array_length(positions_mm) >"
                " (SELECT count(*) FROM frame WHERE frame.shoot_id=shoot.shoot_id)"
                " FROM shoot WHERE recipe IS NOT NULL AND shoot_id NOT IN (SELECT shoot_id FROM let_go)"
            ).fetchall()
            days = self._db.execute("SELECT sequence, date FROM day ORDER BY sequence DESC").fetchall()
        after: dict[int, int] = {}  # how many days have come after one
        dates: set[str] = set()
        for sequence, date in days:
            after[sequence] = len(dates)
            dates.add(date)
        found = []
        for shoot_id, size_bytes, at, entry, day, state, misses in rows:
            done = at is not None and state == State.PUBLISHED.value and not misses and self.is_finished(shoot_id)
            published_at = datetime.fromisoformat(at) if done else None
            found.append(Kept(shoot_id, size_bytes, published_at, entry or 0, after.get(day, len(dates))))
        return found

    def begin_letting_go(self, shoot_id: str, at: datetime) -> None:
        """Enter that a shoot's originals are going to be deleted: from now on nobody counts on them."""
        with self._writing():
            self._db.execute("INSERT INTO let_go VALUES (?,?,NULL)", (shoot_id, at.isoformat()))

    def end_letting_go(self, shoot_id: str, at: datetime) -> None:
        """Enter that they are gone."""
        with self._writing():
            self._db.execute("UPDATE let_go SET ended_at=? WHERE shoot_id=?", (at.isoformat(), shoot_id))

    def being_let_go(self) -> list[str]:
        """The shoots of which it is not known that all originals are gone that were to be deleted."""
        with self._lock, self._refusing():
            return [row[0] for row in self._db.execute("SELECT shoot_id FROM let_go WHERE ended_at IS NULL")]

    def let_go_at(self, shoot_id: str) -> datetime | None:
        """When a shoot's originals were let go of; None: they are kept."""
        with self._lock, self._refusing():
            row = self._db.execute("SELECT begun_at FROM let_go WHERE shoot_id=?", (shoot_id,)).fetchone()
        return None if row is None else datetime.fromisoformat(row[0])

    def _frame_json(self, record: FrameRecord) -> str:
        return _FRAME.dump_json(placed(record, partial(within, self._spool))).decode()
