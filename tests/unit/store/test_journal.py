from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from focusrail.errors import DiskFull, IllegalTransition, ShootAborted, StoreNotWritable, UnknownShoot
from focusrail.model.frame import FrameRecord, Original
from focusrail.model.method import Method, Registration, notebook
from focusrail.model.recipe import Recipe
from focusrail.model.shoot import ALLOWED, Shoot, State
from focusrail.store.journal import Journal
from focusrail.store.journal_entries import Inbound

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone.utc)
RECIPE = Recipe(
    name="Käfer",
    from_mm=1.5,
    depth_mm=-0.3,
    step_mm=0.1,
    keep_step=True,
    specimen_id="B 12",
    settle_s=0.3,
    camera_settings={"iso": "100"},
    method=Method(registration=Registration(detector="orb")),
)
SHOOT = Shoot(
    shoot_id="s1",
    name="Käfer",
    created_at=NOON,
    method=notebook(),
    specimen_id="B 12",
    recipe=RECIPE,
    positions_mm=(1.5, 1.4, 1.3000000000000003, 1.2),
    source="rig",
)


def frame(index: int, *, shoot_id: str = "s1") -> FrameRecord:
    originals = (
        Original(Path(f"/spool/{index}.jpg"), f"{index:064x}", 1000 + index, "image/jpeg"),
        Original(Path(f"/spool/{index}.nef"), "f" * 64, 99, "image/x-nikon-nef"),
    )
    return FrameRecord(shoot_id, index, 1.5 - index / 10, NOON + timedelta(seconds=index), originals, {"iso": "100"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    made = Journal(path)
    made.add_shoot(replace(SHOOT))
    yield made
    made.close()


def reopened(path: Path) -> Journal:
    return Journal(path)


def test_everything_entered_survives_closing_and_opening(journal: Journal, path: Path) -> None:
    for index in (2, 0, 1):
        journal.add_frame(frame(index))
    folder = Shoot("s2", "folder", NOON + timedelta(hours=1), Method(), source="/photos")
    journal.add_shoot(folder)
    for version, place, method in ((1, Path("/out/a"), Method()), (2, Path("/out/a.v2"), notebook())):
        shot = replace(journal.shoot("s1"), method=method)
        journal.advance(shot, State.MERGING)
        journal.publish(shot, version, place, NOON)
    journal.close()
    again = reopened(path)
    assert again.shoot("s1") == replace(SHOOT, state=State.PUBLISHED)
    assert again.shoot("s2") == folder
    assert [s.shoot_id for s in again.shoots()] == ["s2", "s1"]
    assert again.frames("s1") == [frame(0), frame(1), frame(2)]
    assert again.frames("s2") == []
    assert again.publications("s1") == [(1, Path("/out/a")), (2, Path("/out/a.v2"))]
    again.close()


def test_a_photograph_of_unknown_position_survives(journal: Journal) -> None:
    record = replace(frame(0), position_mm=None, settings={})
    journal.add_frames([record])
    assert journal.frames("s1") == [record]


def test_a_frame_shot_anew_replaces_the_one_before(journal: Journal) -> None:
    journal.add_frames([frame(0), frame(1)])
    anew = replace(frame(0), position_mm=9.0)
    journal.add_frame(anew)
    assert journal.frames("s1") == [anew, frame(1)]


def test_a_state_survives(journal: Journal, path: Path) -> None:
    shoot = journal.shoot("s1")
    for state in (State.PREFLIGHT, State.SHOOTING, State.PAUSED):
        journal.advance(shoot, state)
    again = reopened(path)
    assert again.shoot("s1").state is State.PAUSED
    again.close()


@pytest.mark.parametrize("to", sorted(set(State) - ALLOWED[State.IDLE]))
def test_an_illegal_move_changes_nothing_in_the_file_either(journal: Journal, path: Path, to: State) -> None:
    shoot = journal.shoot("s1")
    with pytest.raises(IllegalTransition, match=f"is idle and cannot become {to.value}"):
        journal.advance(shoot, to)
    assert shoot.state is State.IDLE
    again = reopened(path)
    assert again.shoot("s1").state is State.IDLE
    again.close()


def test_a_move_that_cannot_be_written_has_not_happened(journal: Journal) -> None:
    shoot = journal.shoot("s1")
    journal._db.execute("PRAGMA query_only=ON")
    with pytest.raises(StoreNotWritable):
        journal.advance(shoot, State.PREFLIGHT)
    assert shoot.state is State.IDLE
    journal._db.execute("PRAGMA query_only=OFF")
    journal.advance(shoot, State.PREFLIGHT)
    assert journal.shoot("s1").state is State.PREFLIGHT


def test_a_full_disk_is_called_so_and_the_journal_goes_on(journal: Journal, path: Path) -> None:
    journal.add_frame(frame(0))
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(DiskFull, match=r"no space left for .*journal\.db"):
        journal.add_frames([frame(index) for index in range(1, 500)])
    assert journal.frames("s1") == [frame(0)], "all or none"
    journal._db.execute("PRAGMA max_page_count=100000")
    journal.add_frames([frame(index) for index in range(1, 500)])
    assert len(journal.frames("s1")) == 500


def test_a_key_is_entered_with_its_shoot_or_not_at_all(journal: Journal, path: Path) -> None:
    journal.add_shoot(replace(SHOOT, shoot_id="s2"), key="tap", wish="this")
    with pytest.raises(StoreNotWritable):
        journal.add_shoot(replace(SHOOT, shoot_id="s3"), key="tap", wish="that")
    with pytest.raises(UnknownShoot):
        journal.shoot("s3")
    journal.close()
    again = reopened(path)
    assert again.begun_with("tap") == ("s2", "this")
    assert again.begun_with("another") is None
    again.close()


def test_an_extension_is_entered_whole_or_not_at_all(journal: Journal, path: Path) -> None:
    shoot = replace(SHOOT, state=State.PUBLISHED, positions_mm=(*SHOOT.positions_mm, 1.1))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE shoot SET state='merging'")
    journal.publish(journal.shoot("s1"), 1, Path("/out/1"), NOON)
    newer = replace(SHOOT, shoot_id="s2", created_at=NOON + timedelta(hours=1))
    journal.add_shoot(newer, key="taken")
    with pytest.raises(StoreNotWritable, match="UNIQUE"):
        journal.extend(shoot, NOON, key="taken", wish="one more")
    last = journal.last_begun()
    assert (shoot.state, journal.shoot("s1").positions_mm) == (State.PUBLISHED, SHOOT.positions_mm)
    assert journal.is_finished("s1") and last is not None and last.shoot_id == "s2"
    journal.extend(shoot, NOON + timedelta(hours=2), key="new", wish="one more")
    assert (shoot.state, journal.shoot("s1")) == (State.SHOOTING, shoot)
    assert journal.begun_with("new") == ("s1", "one more")
    last = journal.last_begun()
    assert last is not None and last.shoot_id == "s1", "it is the newest that is going on, though another is younger"
    assert not journal.is_finished("s1")
    journal.advance(shoot, State.MERGING)
    journal.publish(shoot, 2, Path("/out/2"), NOON)
    assert journal.is_finished("s1")
    with pytest.raises(IllegalTransition):
        journal.extend(replace(newer, state=State.IDLE), NOON)


def test_shoots_come_in_pages(journal: Journal) -> None:
    """Also where several have begun in the same second, their IDs do not sort by time, and the clock was set back."""
    for name in ("b", "a", "c"):
        journal.add_shoot(replace(SHOOT, shoot_id=name))
    journal.add_shoot(replace(SHOOT, shoot_id="0", created_at=NOON - timedelta(hours=1)))
    every = [shoot.shoot_id for shoot in journal.shoots()]
    assert every == ["0", "c", "a", "b", "s1"]
    paged = [shoot.shoot_id for before in (None, *every) for shoot in journal.shoots(before=before, limit=1)]
    assert paged == every
    with pytest.raises(UnknownShoot):
        journal.shoots(before="nope")


def test_what_became_of_an_inbound_folder_is_remembered(journal: Journal, path: Path) -> None:
    assert journal.inbound("beetle") is None
    journal.note_inbound(Inbound("beetle", "hash", attempts=1))
    done = Inbound("beetle", "hash", attempts=2, done=True, shoot_id="s1")
    journal.note_inbound(done)
    journal.close()
    again = reopened(path)
    assert again.inbound("beetle") == done
    again.close()


def test_what_a_person_has_given_up_stays_aborted_whatever_works_on_it_goes_on_to(journal: Journal) -> None:
    working = journal.shoot("s1")
    journal.advance(working, State.PREFLIGHT)
    journal.advance(working, State.SHOOTING)
    journal.give_up("s1")
    with pytest.raises(ShootAborted):
        journal.advance(working, State.MERGING)
    assert working.state is State.SHOOTING and journal.shoot("s1").state is State.ABORTED
    journal.advance(working, State.FAILED)
    assert journal.shoot("s1").state is State.ABORTED
    again = journal.shoot("s1")
    journal.advance(again, State.SHOOTING)
    assert journal.shoot("s1").state is State.SHOOTING, "a person goes on with it"


def test_a_journal_of_an_earlier_version_is_brought_up_to_date(journal: Journal, path: Path) -> None:
    journal._db.executescript(
        "DROP TABLE gone_on; DROP TABLE day; ALTER TABLE publication DROP COLUMN day; PRAGMA user_version=9"
    )
    journal.close()
    again = reopened(path)
    shoot = again.shoot("s1")
    again.advance(shoot, State.MERGING)
    again.publish(shoot, 1, path.parent / "outbound" / "one", NOON)
    assert again.publications("s1") == [(1, path.parent / "outbound" / "one")]
    assert again.note_going_on("s1") == 1
    again.close()


def test_attempts_are_counted_from_the_last_frame(journal: Journal, path: Path) -> None:
    assert [journal.note_going_on("s1") for _ in range(3)] == [1, 2, 3]
    journal.close()
    again = reopened(path)
    assert again.note_going_on("s1") == 4
    again.add_frame(frame(0))
    assert [again.note_going_on("s1") for _ in range(2)] == [1, 2]
    again.forget_going_on("s1")
    assert again.note_going_on("s1") == 1
    again.close()


def test_an_unknown_shoot_is_named(journal: Journal) -> None:
    with pytest.raises(UnknownShoot, match=r"no shoot 'nope' in .*focusrail shoots"):
        journal.shoot("nope")
    assert journal.frames("nope") == []
    assert journal.publications("nope") == []


def test_what_a_newer_version_wrote_is_left_alone(journal: Journal, path: Path) -> None:
    journal._db.execute("PRAGMA user_version=99")
    journal.close()
    with pytest.raises(StoreNotWritable, match="newer focusrail"):
        Journal(path)
    with sqlite3.connect(path) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (99,)
    file.close()


def one_sentence(error: BaseException) -> bool:
    return "\n" not in str(error) and 20 < len(str(error)) < 400


@pytest.mark.parametrize("damage", ["text", "header", "empty pages", "truncated"])
def test_a_damaged_file_is_one_sentence(journal: Journal, path: Path, damage: str) -> None:
    journal.add_frames([frame(index) for index in range(200)])
    journal.close()
    content = path.read_bytes()
    path.write_bytes(
        {
            "text": b"this is no database, though it is quite long" * 300,
            "header": b"\xff" * 100 + content[100:],
            "empty pages": content[:4096] + bytes(len(content) - 4096),
            "truncated": content[:5000],
        }[damage]
    )
    with pytest.raises(StoreNotWritable, match=r"journal\.db") as caught:  # noqa: PT012 - whichever comes first
        again = reopened(path)
        try:
            again.shoot("s1")
            again.frames("s1")
            again.shoots()
        finally:
            again.close()
    assert one_sentence(caught.value)


@pytest.mark.parametrize("table", ["shoot SET method='{}x'", "shoot SET state='sleeping'", "frame SET record='{}'"])
def test_an_entry_that_is_no_longer_what_was_entered_is_one_sentence(journal: Journal, table: str) -> None:
    journal.add_frame(frame(0))
    journal._db.execute(f"UPDATE {table}")
    with pytest.raises(StoreNotWritable, match=r"journal\.db is damaged") as caught:  # noqa: PT012
        journal.shoots()
        journal.frames("s1")
    assert one_sentence(caught.value)


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.db").mkdir()
    with pytest.raises(StoreNotWritable, match=r"cannot write the journal .*journal\.db"):
        Journal(tmp_path / "journal.db")


def test_a_file_in_place_of_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreNotWritable):
        Journal(tmp_path / "store" / "journal.db")


WRITER = """
import sys
from pathlib import Path
from focusrail.model.method import Method
from focusrail.model.shoot import Shoot
from focusrail.store.journal import Journal
from datetime import datetime, timezone
print("ready", flush=True)
sys.stdin.readline()
journal = Journal(Path(sys.argv[1]))
for k in range(20):
    journal.add_shoot(Shoot(f"{sys.argv[2]}-{k}", "a", datetime(2026, 1, 1, tzinfo=timezone.utc), Method()))
journal.close()
"""


def test_processes_that_open_and_write_at_the_same_time_lose_nothing(path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(k)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for k in range(3)
    ]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    journal = Journal(path)
    assert len(journal.shoots()) == 60
    journal.close()


def test_two_that_have_it_open_see_each_others_frames(journal: Journal, path: Path) -> None:
    other = reopened(path)
    journal.add_frame(frame(0))
    other.add_frame(frame(1))
    assert journal.frames("s1") == other.frames("s1") == [frame(0), frame(1)]
    other.close()


def test_a_frame_is_on_disk_when_add_frame_returns(path: Path) -> None:
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[2])\n"
        "from test_journal import *\n"
        "journal = Journal(Path(sys.argv[1])); journal.add_shoot(SHOOT); journal.add_frame(frame(0))\n"
        "os._exit(9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path), str(Path(__file__).parent)], check=False)
    assert ended.returncode == 9
    journal = reopened(path)
    assert journal.frames("s1") == [frame(0)]
    journal.close()
