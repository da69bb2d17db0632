from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from focusrail.config.schema import KeepConfig
from focusrail.model.frame import FrameRecord
from focusrail.model.method import Method
from focusrail.model.recipe import Recipe
from focusrail.model.shoot import Shoot, State
from focusrail.store.folder import record_of
from focusrail.store.journal import Journal
from focusrail.store.journal_entries import Kept
from focusrail.store.retention import Retention, due, unproven, what_could_go
from focusrail.store.spool import Spool
from focusrail_drivers.base import Photograph

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
FRAME_BYTES = 1000


class Store:
    """A journal, a spool and results, made as a service makes them."""

    def __init__(self, root: Path) -> None:
        self.root, self.journal, self.spool = root, Journal(root / "journal.sqlite"), Spool(root / "spool")
        self.stopped = False
        self.today = NOW - timedelta(days=60)

    def shoot(
        self, number: int, *, published: bool = True, days_ago: float = 0, folder: bool = False, complete: bool = True
    ) -> str:
        """A shoot of three frames, or a stack of a folder."""
        at = NOW - timedelta(days=days_ago)
        shoot_id = f"20261101T000000-000{number}"
        recipe = None if folder else Recipe("bee", 0.0, to_mm=1.0, frames=3)
        positions_mm = () if folder else (0.0, 0.5, 1.0)
        shoot = Shoot(shoot_id, "bee", at, Method(), recipe=recipe, positions_mm=positions_mm)
        self.journal.add_shoot(shoot)
        for index in range(3 if complete else 2):
            data = bytes([number, index]) * (FRAME_BYTES // 2)
            if folder:
                path = self.root / f"mine-{number}-{index}.jpg"
                path.write_bytes(data)
                self.journal.add_frame(record_of(shoot_id, index, path, position_mm=None))
            else:
                originals = self.spool.store(shoot_id, index, [Photograph(data, "image/jpeg")])
                self.journal.add_frame(FrameRecord(shoot_id, index, index / 2, at, originals))
        (self.spool.folder(shoot_id) / "live.jpg").parent.mkdir(parents=True, exist_ok=True)
        (self.spool.folder(shoot_id) / "live.jpg").write_bytes(b"live")
        if published:
            self.publish(shoot_id, at)
        return shoot_id

    def live_until(self, at: datetime) -> None:
        """The service runs, day by day."""
        while self.today < at:
            self.today += timedelta(days=1)
            self.journal.note_day(self.today)

    def publish(self, shoot_id: str, at: datetime, version: int = 1) -> None:
        self.live_until(at)
        folder = self.results(shoot_id, version)
        folder.mkdir(parents=True)
        (folder / "result.tif").write_bytes(shoot_id.encode())
        facts = {"sha256": hashlib.sha256(shoot_id.encode()).hexdigest(), "size_bytes": len(shoot_id)}
        page = {"shoot": {"id": shoot_id}, "files": {"result.tif": facts}, "frames": [{"used": True}] * 3}
        (folder / "shoot.json").write_text(json.dumps(page))
        shoot = self.journal.shoot(shoot_id)
        self.journal.advance(shoot, State.MERGING)
        self.journal.publish(shoot, version, folder, at)

    def results(self, shoot_id: str, version: int = 1) -> Path:
        return self.root / "outbound" / f"{shoot_id}.v{version}"

    def retention(self, **keep: float) -> Retention:
        self.live_until(NOW)
        return Retention(
            self.journal, self.spool, self.root / "outbound", KeepConfig(**keep), stopped=lambda: self.stopped
        )

    def kept(self) -> list[str]:
        """The shoots with originals on the disk, by the last figure of their IDs."""
        return sorted({path.parent.parent.name[-1] for path in self.root.glob("spool/*/frames/*.jpg")})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.journal.close()


def files(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file() and path.name != ".lock" and ".sqlite" not in path.name}


def test_everything_is_kept_where_nothing_is_said(store: Store) -> None:
    for number in range(3):
        store.shoot(number, days_ago=1000 * (3 - number))
    assert not store.retention().has_work
    store.retention().apply(NOW)
    assert store.kept() == ["0", "1", "2"]


def test_a_clock_that_jumps_ahead_lets_nothing_go(store: Store) -> None:
    for number, days_ago in ((0, 20.0), (1, 5.0), (2, 1.0)):
        store.shoot(number, days_ago=days_ago)
    for ahead in (4000, 4001):
        store.retention(days=10.0).apply(NOW + timedelta(days=ahead))
    assert store.kept() == ["1", "2"], "20 days were seen to pass since the first, and 7 since the second"


def test_a_clock_that_is_behind_makes_no_shoot_old(store: Store) -> None:
    store.live_until(NOW)
    for number in range(3):  # one after the other, just now
        store.shoot(number, days_ago=2000)
    store.retention(days=30.0).apply(NOW)
    assert store.kept() == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("keep", "gone"),
    [
        ({"days": 10.0}, "01"),
        ({"days": 30.0}, "0"),
        ({"days": 1.0}, "01"),
        ({"gb": 11e-6}, "0"),
        ({"gb": 1e-9}, "01"),
        ({"gb": 12e-6}, ""),
        ({"days": 30.0, "gb": 8e-6}, "01"),
    ],
)
def test_what_is_older_or_too_much_goes_oldest_first_but_never_the_newest(
    store: Store, keep: dict[str, float], gone: str
) -> None:
    store.shoot(3, published=False, days_ago=1000)
    for number, days_ago in ((0, 40.0), (1, 20.0), (2, 5.0)):
        store.shoot(number, days_ago=days_ago)
    before = files(store.root)
    store.retention(**keep).apply(NOW)
    assert store.kept() == sorted(set("0123") - set(gone)), "what is not published stays"
    assert {path.parts[-3][-1] for path in before - files(store.root)} == set(gone), "and nothing else is deleted"
    assert all(path.parent.name == "frames" for path in before - files(store.root))
    for figure in "012":
        assert (store.journal.let_go_at(f"20261101T000000-000{figure}") is None) == (figure not in gone)
    assert store.journal.being_let_go() == []
    assert len(store.journal.frames("20261101T000000-0000")) == 3, "what is known of them stays"


def test_photographs_that_are_only_referred_to_are_not_touched(store: Store) -> None:
    store.shoot(0, folder=True, days_ago=1000)
    store.shoot(1)
    store.shoot(2, folder=True)
    before = files(store.root)
    store.retention(days=1.0, gb=1e-9).apply(NOW)
    assert files(store.root) == before


def test_a_shoot_that_is_being_worked_on_is_left_alone(store: Store) -> None:
    shoot_id = store.shoot(0, days_ago=9)
    store.shoot(1)
    with store.spool.claim(shoot_id):
        store.retention(days=1.0).apply(NOW)
    assert store.kept() == ["0", "1"]
    store.retention(days=1.0).apply(NOW)
    assert store.kept() == ["1"]


def test_originals_stay_until_the_newest_version_lies_there_as_it_was_published(store: Store) -> None:
    shoot_id = store.shoot(0, days_ago=9)
    store.publish(shoot_id, NOW - timedelta(days=8), version=2)
    store.shoot(1)
    picture = store.results(shoot_id, 2) / "result.tif"
    whole = picture.read_bytes()
    spoilt = (picture.parent / "shoot.json").read_text().replace("true", "false", 1)  # one frame was left out
    for spoil in (
        lambda: picture.write_bytes(whole[:-1] + b"?"),
        lambda: picture.write_bytes(whole[:-1]),
        picture.unlink,
        lambda: (picture.parent / "shoot.json").write_text(spoilt),
        lambda: (picture.parent / "shoot.json").write_text('{"files": {}}'),
        lambda: picture.parent.rename(picture.parent.with_name("away")),
    ):
        spoil()
        assert unproven(picture.parent, shoot_id)
        store.retention(days=1.0).apply(NOW)
        assert store.kept() == ["0", "1"] and store.journal.let_go_at(shoot_id) is None
        if not picture.exists() and picture.parent.exists():
            picture.write_bytes(whole)
    picture.parent.with_name("away").rename(picture.parent)
    picture.write_bytes(whole)
    manifest = (store.results("20261101T000000-0001") / "shoot.json").read_text()
    (picture.parent / "shoot.json").write_text(manifest)
    assert "is not what was published" in str(unproven(picture.parent, shoot_id))


def test_what_lies_elsewhere_or_is_not_ours_stays(store: Store) -> None:
    shoot_id = store.shoot(0, days_ago=9)
    store.shoot(1)
    notes = store.spool.folder(shoot_id) / "frames" / "notes.txt"
    notes.write_text("mine")
    moved = Retention(
        store.journal, Spool(store.root / "other"), store.root / "outbound", KeepConfig(days=1.0), stopped=lambda: False
    )
    moved.apply(NOW)
    assert store.kept() == ["0", "1"] and store.journal.let_go_at(shoot_id) is None
    store.retention(days=1.0).apply(NOW)
    assert store.kept() == ["1"] and notes.read_text() == "mine"


@pytest.mark.parametrize("where", ["before the first file", "in the midst", "before it is journalled"])
def test_what_was_broken_off_counts_as_gone_and_is_ended_at_the_next_start(
    store: Store, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shoot_id = store.shoot(0, days_ago=9)
    store.shoot(1)
    unlink, deleted = Path.unlink, 0

    class PowerCutError(Exception):
        pass

    def cut(path: Path, missing_ok: bool = False) -> None:
        nonlocal deleted
        if where != "before it is journalled" and deleted == (1 if where == "in the midst" else 0):
            raise PowerCutError
        deleted += 1
        unlink(path, missing_ok=missing_ok)

    def not_any_more(*_: object) -> None:
        raise PowerCutError

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", cut)
        patched.setattr(store.journal, "end_letting_go", not_any_more)
        with pytest.raises(PowerCutError):
            store.retention(days=1.0).apply(NOW)
    assert store.journal.being_let_go() == [shoot_id]
    assert store.journal.let_go_at(shoot_id) == NOW
    assert [one.shoot_id for one in store.journal.kept()] == ["20261101T000000-0001"], "nobody counts on it"
    unlimited = store.retention()
    assert unlimited.has_work, "also when the limit is gone since"
    unlimited.apply(NOW + timedelta(days=1))
    assert store.kept() == ["1"] and store.journal.being_let_go() == [] and not unlimited.has_work


def test_a_person_who_wants_the_rig_does_not_wait(store: Store) -> None:
    shoot_id = store.shoot(0, days_ago=9)
    store.shoot(1)
    store.stopped = True
    store.retention(days=1.0).apply(NOW)
    assert store.kept() == ["0", "1"] and store.journal.let_go_at(shoot_id) is None


def test_a_spool_that_cannot_be_written_is_logged_and_tried_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    shoot_id = store.shoot(0, days_ago=9)
    store.shoot(1)

    def refused(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refused)
        store.retention(days=1.0).apply(NOW)
    assert store.journal.being_let_go() == [shoot_id]
    store.retention(days=1.0).apply(NOW)
    assert store.kept() == ["1"]


def test_a_full_disk_is_told_what_could_go(store: Store) -> None:
    assert what_could_go(store.journal) == ""
    store.shoot(0, days_ago=9)
    assert what_could_go(store.journal) == "", "the newest is never let go"
    store.shoot(1)
    said = what_could_go(store.journal)
    assert said == "; 0.00 GB are originals of a published shoot, which store.keep in the configuration can limit"


def test_an_extended_shoot_counts_from_its_newest_version_and_not_while_it_is_unfinished(store: Store) -> None:
    shoot_id = store.shoot(0, days_ago=9)
    store.shoot(1)
    shoot = store.journal.shoot(shoot_id)
    shoot.positions_mm = (*shoot.positions_mm, 1.5)
    store.journal.extend(shoot, NOW)
    (unfinished,) = (one for one in store.journal.kept() if one.shoot_id == shoot_id)
    assert unfinished.published_at is None
    newer = Kept("a", 5, NOW - timedelta(days=2), entry=1, days=2)
    assert due([unfinished, newer, Kept("b", 5, NOW, entry=2)], KeepConfig(days=1), NOW) == [newer]


def test_a_shoot_that_ended_early_and_was_stacked_to_have_a_look_keeps_its_originals(store: Store) -> None:
    shoot_id = store.shoot(0, days_ago=9, complete=False)
    store.shoot(1)
    store.retention(days=1).apply(NOW)
    assert store.kept() == ["0", "1"] and store.journal.let_go_at(shoot_id) is None


def test_a_clock_that_was_set_back_does_not_change_which_was_published_last(store: Store) -> None:
    store.shoot(0, days_ago=1)
    store.shoot(1, days_ago=30)
    store.retention(gb=1e-9).apply(NOW)
    assert store.kept() == ["1"]


@pytest.mark.parametrize("made", ["elsewhere", "without some frames"])
def test_a_version_made_elsewhere_or_without_some_frames_proves_nothing(store: Store, made: str) -> None:
    shoot_id = store.shoot(0, days_ago=9)
    first = store.results(shoot_id)
    store.publish(shoot_id, NOW - timedelta(days=8), version=2)
    store.shoot(1)
    second = store.results(shoot_id, 2)
    change = "folder=?" if made == "elsewhere" else "without='0', folder=?"
    aside = second.rename(store.root / "aside") if made == "elsewhere" else second
    store.journal._db.execute(f"UPDATE publication SET {change} WHERE shoot_id=? AND version=2", (str(aside), shoot_id))
    lost = first.rename(store.root / "moved away")
    store.retention(days=1).apply(NOW)
    assert store.kept() == ["0", "1"]
    lost.rename(first)
    store.retention(days=1).apply(NOW)
    assert store.kept() == ["1"]


def test_limits_must_be_limits() -> None:
    for wrong in ({"days": 0}, {"gb": -1}, {"weeks": 3}):
        with pytest.raises(ValueError, match="validation error"):
            KeepConfig(**wrong)
