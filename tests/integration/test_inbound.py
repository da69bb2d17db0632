from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from focusrail.config.schema import Config, InboundConfig
from focusrail.desk import Desk
from focusrail.event_log import EventLog
from focusrail.inbound import UNDISTURBED_S, InboundFolder, _look_at
from focusrail.store.journal_entries import Inbound
from peers.small_rig import published, small_rig

QUIET_S = 10.0


class Watched:
    """An inbound folder that is looked at when a test says so, by a clock of its own."""

    def __init__(self, root: Path, **inbound: Any) -> None:
        self.root, self.folder = root, root / "inbound"
        self.folder.mkdir(exist_ok=True)
        self.config: Config = small_rig(root / "data")
        self.inbound = InboundConfig(folder=self.folder, quiet_s=QUIET_S, **inbound)
        self.now_s = 1000.0
        self.restart()

    def restart(self) -> None:
        """As a service that is started anew."""
        self.desk = Desk(self.config, EventLog())
        self.watcher = InboundFolder(self.desk, self.inbound)

    def look(self, *, after_s: float = 0.0) -> None:
        """Look once, so much later."""
        self.now_s += after_s
        self.desk.wanted_s -= after_s
        self.watcher.look(self.now_s)

    def settle(self) -> None:
        """Look until everything has been quiet for long enough."""
        self.look()
        self.look(after_s=QUIET_S)

    def close(self) -> None:
        self.desk.close()
        self.desk.service.close()

    @property
    def results(self) -> list[str]:
        return [path.name for path in published(self.config.store.outbound_folder)]

    @property
    def failures(self) -> list[tuple[str, str]]:
        entries = self.desk.events.since(0) or []
        return [(Path(e.data["folder"]).name, e.data["error"]) for e in entries if e.name == "inbound_failed"]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


def drop(photographs: Path, folder: Path, names: slice = slice(0, 3)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(photographs.iterdir())[names]:
        shutil.copy(path, folder)


def test_a_folder_is_stacked_once_when_it_has_been_quiet(watched: Watched, photographs: Path) -> None:
    drop(photographs, watched.folder / "beetle", slice(0, 2))
    watched.look()
    watched.look(after_s=QUIET_S - 1)
    drop(photographs, watched.folder / "beetle", slice(2, 3))
    watched.look(after_s=2)
    watched.look(after_s=QUIET_S - 1)
    assert watched.results == [], "the last file came late"
    watched.look(after_s=2)
    assert [name.rpartition("-")[0].rpartition("-")[0] for name in watched.results] == ["beetle"]
    (shoot,) = watched.desk.service.journal.shoots()
    assert watched.desk.service.journal.frame_count(shoot.shoot_id) == 3
    watched.settle()
    watched.close()
    watched.restart()
    watched.settle()
    assert len(watched.results) == 1, "also not after a restart"
    assert sorted(path.name for path in (watched.folder / "beetle").iterdir()) == [f"00000{n}.jpg" for n in range(3)]
    drop(photographs, watched.folder / "beetle", slice(3, 4))
    watched.settle()
    assert len(watched.results) == 2, "with one more photograph it is another stack"


def test_what_is_copied_while_another_folder_is_stacked_is_quiet_only_from_then_on(
    watched: Watched, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(photographs, watched.folder / "ant")
    drop(photographs, watched.folder / "bee", slice(0, 2))
    watched.look()

    def stack(*_: object) -> None:
        drop(photographs, watched.folder / "bee", slice(2, 3))
        time.sleep(0.3)

    monkeypatch.setattr(watched.watcher, "_stack", stack)
    monkeypatch.setattr("focusrail.inbound._folders", lambda _: ["ant", "bee"])  # a disk has no order
    watched.look(after_s=QUIET_S)
    monkeypatch.undo()
    drop(photographs, watched.folder / "ant", slice(3, 4))  # so that it is not in the way
    watched.look(after_s=QUIET_S - 0.1)
    assert watched.results == []
    watched.look(after_s=0.5)
    assert [name.partition("-")[0] for name in watched.results] == ["bee"]
    watched.close()


def test_a_marker_says_that_all_is_there(tmp_path: Path, photographs: Path) -> None:
    watched = Watched(tmp_path, marker="complete.txt")
    drop(photographs, watched.folder / "beetle")
    watched.settle()
    assert watched.results == []
    (watched.folder / "beetle" / "complete.txt").touch()
    watched.look()
    assert len(watched.results) == 1
    watched.close()


def test_while_files_look_half_copied_it_waits_longer(watched: Watched, photographs: Path) -> None:
    for name in (".000003.jpg.x7Fq", "000003.jpg.part", "000003.jpg~"):
        drop(photographs, watched.folder / name)
        (watched.folder / name / name).write_bytes(b"half")
    drop(photographs, watched.folder / "hidden")
    (watched.folder / "hidden").rename(watched.folder / ".hidden")
    watched.settle()
    assert watched.results == []
    watched.look(after_s=6 * QUIET_S)
    assert len(watched.results) == 2, "but not for ever; and hidden folders are left alone"


def test_what_a_folder_is_called_is_harmless_in_a_terminal(watched: Watched, photographs: Path) -> None:
    drop(photographs, watched.folder / "red\x1b[31m\nand\u202eback")
    watched.settle()
    (shoot,) = watched.desk.service.journal.shoots()
    assert shoot.name == "red_[31m_and_back" and watched.results[0].startswith(shoot.name)


def test_links_lead_nowhere(watched: Watched, photographs: Path, logged: list[Any]) -> None:
    (watched.folder / "elsewhere").symlink_to(photographs)
    drop(photographs, watched.folder / "beetle")
    (watched.folder / "beetle" / "000009.jpg").symlink_to(photographs / "000007.jpg")
    (watched.folder / "beetle" / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(watched.folder / "beetle" / "000008.jpg")
    watched.settle()
    assert len(watched.results) == 1
    (shoot,) = watched.desk.service.journal.shoots()
    files = [Path(frame.original.path).name for frame in watched.desk.service.journal.frames(shoot.shoot_id)]
    assert files == ["000000.jpg", "000001.jpg", "000002.jpg"]


def test_what_fails_is_told_once_and_tried_again_when_it_changes(
    watched: Watched, photographs: Path, logged: list[Any]
) -> None:
    drop(photographs, watched.folder / "single", slice(0, 1))
    (watched.folder / "empty").mkdir()
    (watched.folder / "notes").mkdir()
    (watched.folder / "notes" / "a.txt").write_text("no photograph")
    (watched.folder / "broken").mkdir()
    for number in range(3):
        (watched.folder / "broken" / f"{number}.jpg").write_bytes(b"\xff\xd8\xff" + bytes(100))
    drop(photographs, watched.folder / "nested" / "beetle")
    (watched.folder / "loose.jpg").write_bytes(b"")
    (Path(os.fsdecode(bytes(watched.folder) + b"/\xff"))).mkdir()
    for _ in range(3):
        watched.settle()
    assert sorted(watched.failures) == [
        ("broken", "TooFewFrames"), ("nested", "NoFrames"), ("notes", "NoFrames"), ("single", "TooFewFrames"),
    ]  # fmt: skip
    assert [entry["event"] for entry in logged].count("inbound.failed") == 3
    assert [entry["event"] for entry in logged].count("inbound.not_read") == 2, "the nested, and a name that is no text"
    watched.close()
    watched.restart()
    watched.settle()
    assert watched.failures == [("nested", "NoFrames")], "it is no stack, and in no journal"
    drop(photographs, watched.folder / "single", slice(0, 3))
    watched.settle()
    assert len(watched.results) == 1


def test_a_folder_that_ends_the_service_each_time_is_given_up(watched: Watched, photographs: Path) -> None:
    drop(photographs, watched.folder / "deadly")
    tries = []

    def end(folder: Path) -> None:
        tries.append(folder)
        raise KeyboardInterrupt

    for _ in range(5):
        watched.desk.stack_inbound = end  # type: ignore[method-assign]
        try:
            watched.settle()
        except KeyboardInterrupt:
            watched.close()
            watched.restart()
    assert len(tries) == 3
    note = watched.desk.service.journal.inbound("deadly")
    assert note is not None and note.done and "ended 3 times" in note.error


def test_a_million_files_cost_no_more_than_a_look(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("focusrail.inbound._MOST_FILES", 50)
    monkeypatch.setattr("focusrail.inbound._MOST_FOLDERS", 20)
    many = watched.folder / "many"
    many.mkdir()
    for number in range(200):
        (many / f"{number}.txt").touch()
    for number in range(60):
        (watched.folder / f"f{number}").mkdir()
    watched.settle()
    assert len(watched.watcher._quiet) <= 20
    assert _look_at(many, None).content.startswith("many "), "it is not even told what is in it"
    assert watched.results == []


def test_a_shoot_comes_first_and_the_stack_is_made_later(watched: Watched, photographs: Path) -> None:
    drop(photographs, watched.folder / "beetle", slice(0, 8))
    watched.look()
    watched.now_s += QUIET_S
    looking = threading.Thread(target=watched.look)
    looking.start()
    while watched.desk.status().progress is None:
        assert looking.is_alive()
    assert watched.desk.on_rig("homing", lambda rig: rig.carriage.home()) == 0.0
    looking.join()
    assert watched.results == [] and watched.failures == []
    assert watched.desk.service.journal.inbound("beetle") == Inbound(
        "beetle", (watched.desk.service.journal.inbound("beetle") or Inbound("", "")).content
    ), "no attempt is counted"
    watched.look(after_s=UNDISTURBED_S - 10)
    assert watched.results == [] and len(watched.desk.service.journal.shoots()) == 1, "whoever homes goes on to shoot"
    watched.look(after_s=10)
    assert len(watched.results) == 1


def test_while_something_is_done_it_waits(watched: Watched, photographs: Path) -> None:
    drop(photographs, watched.folder / "beetle")
    watched.look()
    going, goes = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        goes.set()
        going.wait(10)

    moving = threading.Thread(target=watched.desk.on_rig, args=("moving", wait))
    moving.start()
    goes.wait(10)
    watched.look(after_s=QUIET_S)
    assert watched.results == []
    going.set()
    moving.join()
    watched.look(after_s=UNDISTURBED_S)
    assert len(watched.results) == 1
