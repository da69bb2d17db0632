from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from focusrail.capture.events import FrameStored, Merging
from focusrail.capture.found import found
from focusrail.capture.unfinished import end_stacks, interrupted
from focusrail.config.schema import Config
from focusrail.desk import Desk
from focusrail.errors import (
    DiskFull,
    IllegalTransition,
    OriginalChanged,
    OriginalsLetGo,
    RigBusy,
    ShootAborted,
    StoreNotWritable,
)
from focusrail.event_log import EventLog
from focusrail.model.frame import FrameRecord
from focusrail.model.shoot import State
from focusrail.service import Service
from focusrail.store.journal import Journal
from focusrail.watchdog import sentence
from focusrail_drivers.base import CaptureFailed, DeviceNotFound
from peers.small_rig import FRAMES, pixels, published, recipe, small_rig


def until(holds: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


@pytest.fixture
def several() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def close(desk: Desk) -> None:
    desk.close()
    desk.service.close()


def test_a_halt_before_the_first_step_of_a_shoot_is_not_forgotten(tmp_path: Path, several: ThreadPoolExecutor) -> None:
    desk = Desk(small_rig(tmp_path), EventLog())
    desk.open()
    busy = threading.Event()
    desk.operator.submit(busy.wait, 10)
    shooting = several.submit(desk.shoot, recipe())
    until(lambda: desk.status().doing)
    desk.halt()
    busy.set()
    with pytest.raises(ShootAborted, match="before anything moved"):
        shooting.result()
    assert desk.service.journal.shoots() == []
    assert desk.shoot(recipe(frames=3)), "and it is for that one only"
    close(desk)


def test_a_halt_that_reaches_no_rail_says_so(tmp_path: Path) -> None:
    desk = Desk(small_rig(tmp_path), EventLog())
    with pytest.raises(DeviceNotFound, match="there is no rail to halt: it is not open yet"):
        desk.halt()
    desk.open()
    desk.halt()
    close(desk)


@pytest.mark.parametrize("stop", ["halt", "abort"])
def test_a_stop_while_its_frames_are_proven_holds(
    tmp_path: Path, several: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, stop: str
) -> None:
    shoot_id = shot_halfway(small_rig(tmp_path))
    desk = Desk(small_rig(tmp_path), EventLog())
    desk.open()
    proving, stopped = threading.Event(), threading.Event()

    def slowly(known: list[FrameRecord]) -> list[FrameRecord]:
        proving.set()
        assert stopped.wait(10)
        return known

    monkeypatch.setattr("focusrail.service.proven", slowly)
    resumed = several.submit(desk.resume, shoot_id, unasked=True)
    assert proving.wait(10)
    desk.halt() if stop == "halt" else desk.abort(shoot_id)
    stopped.set()
    with pytest.raises(ShootAborted):
        resumed.result()
    assert desk.service.journal.shoot(shoot_id).state is State.ABORTED
    with pytest.raises(ShootAborted, match="ended meanwhile"):
        desk.resume(shoot_id, unasked=True)
    close(desk)


@pytest.mark.parametrize("meanwhile", [False, True], ids=["idle", "while something else is stacked"])
def test_a_halt_is_for_a_shoot_that_waits_for_its_camera_too(tmp_path: Path, meanwhile: bool) -> None:
    """Hands that plug the cable in again are in the rig."""
    desk = Desk(small_rig(tmp_path, camera={"connection_lost_at": [3]}), EventLog())
    desk.service.goes_on = True
    desk.open()
    shoot_id = desk.shoot(recipe())
    until(lambda: not desk.status().doing)
    assert interrupted(desk.service.journal, desk.service.spool) is not None
    assert "the service goes on with it once that is back" in desk.status().trouble
    stacked = threading.Event()
    if meanwhile:
        desk._submit("stacking", lambda: stacked.wait(10))
    with pytest.raises(DeviceNotFound):
        desk.halt()
    stacked.set()
    assert interrupted(desk.service.journal, desk.service.spool) is None
    assert desk.service.journal.shoot(shoot_id).state is State.ABORTED
    close(desk)


def test_what_is_stopped_while_it_homes_goes_on_at_the_next_start(tmp_path: Path, several: ThreadPoolExecutor) -> None:
    config = small_rig(tmp_path, rail={"max_speed_mm_s": 20})
    desk = Desk(config, EventLog())
    desk.open()
    shoot_id = desk.shoot(recipe(frames=3))
    until(lambda: desk.status().moving)
    close(desk)
    assert desk.service.holder.kept is None
    with pytest.raises(RigBusy, match="ending"):
        desk.shoot(recipe())
    again = Desk(config, EventLog())
    again.open()
    waiting = interrupted(again.service.journal, again.service.spool)
    assert waiting is not None and waiting.shoot_id == shoot_id and waiting.state is State.PREFLIGHT
    again.resume(shoot_id)
    until(lambda: again.service.journal.shoot(shoot_id).state is State.PUBLISHED)
    close(again)


def test_a_pause_while_it_homes_holds_the_first_frame(tmp_path: Path) -> None:
    desk = Desk(small_rig(tmp_path, rail={"max_speed_mm_s": 20}), EventLog())
    desk.open()
    shoot_id = desk.shoot(recipe(frames=3))
    desk.pause(shoot_id)
    until(lambda: (desk.status().progress or desk).state == "paused")  # type: ignore[union-attr]
    assert desk.service.journal.frame_count(shoot_id) == 0
    desk.resume(shoot_id)
    until(lambda: not desk.status().doing)
    assert desk.service.journal.shoot(shoot_id).state is State.PUBLISHED
    close(desk)


def test_a_stack_that_the_end_of_the_service_breaks_off_does_not_look_as_if_it_went_on(
    tmp_path: Path, photographs: Path
) -> None:
    desk = Desk(small_rig(tmp_path), EventLog())
    shoot_id = desk.stack_folder(photographs)
    close(desk)
    again = Desk(small_rig(tmp_path), EventLog())
    assert again.service.journal.shoot(shoot_id).state is State.ABORTED
    close(again)


def test_originals_go_after_the_next_publication_and_whoever_needs_them_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(small_rig(tmp_path, store={"keep": {"gb": 1e-9}}), EventLog())
    desk.open()
    journal = desk.service.journal
    old: list[str] = []
    new: list[str] = []
    for begun in (old, new):
        begun.append(desk.shoot(recipe(frames=3)))
        until(lambda: not desk.status().doing)
    until(lambda: journal.let_go_at(old[0]))
    until(lambda: not desk.status().doing)
    assert not list((tmp_path / "spool" / old[0]).glob("frames/*"))
    assert desk.service.spool.thumbnail(old[0], 1).is_file(), "they can be looked at still"
    for wanted in (desk.restack, desk.resume, lambda shoot_id: desk.extend(shoot_id, far=1)):
        with pytest.raises(OriginalsLetGo, match=r"were let go on 20\d\d-.*; its results are in /"):
            wanted(old[0])
    assert journal.shoot(old[0]).state is State.PUBLISHED
    assert desk.restack(new[0]), "those of the newest are there"
    until(lambda: not desk.status().doing)
    usage = type("usage", (), {"free": 1 << 20})
    monkeypatch.setattr("focusrail.capture.preflight.shutil.disk_usage", lambda _: usage)
    monkeypatch.setattr("focusrail.service.what_could_go", lambda _: "; 3 GB could go")
    with pytest.raises(DiskFull, match=r"only 1 MB are free .*; 3 GB could go$"):
        desk.shoot(recipe(frames=3))
    close(desk)


def test_letting_originals_go_makes_way_for_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(small_rig(tmp_path, store={"keep": {"days": 1}}), EventLog())
    desk.open()
    begun = threading.Event()

    def slowly(_: object) -> None:
        begun.set()
        assert desk.service._aborted.wait(10)

    monkeypatch.setattr(desk.service.retention, "apply", slowly)
    desk.tidy()
    assert begun.wait(10) and desk.status().doing == "tidying"
    assert desk.shoot(recipe(frames=2)), "at once"
    assert desk.status().doing == "shooting"
    desk.tidy()
    assert desk.status().doing == "shooting", "and never while something is shot"
    close(desk)


class _PowerCut(BaseException):
    """What ends a process in the middle of anything."""


def cut(*_: object, **__: object) -> NoReturn:
    raise _PowerCut


@pytest.mark.parametrize("aborted", [False, True], ids=["", "and aborted in that moment"])
def test_what_was_published_and_not_journalled_is_taken_up_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aborted: bool
) -> None:
    config = small_rig(tmp_path)
    service = Service(config)

    service.journal.publish = cut  # type: ignore[method-assign]
    monkeypatch.setattr("focusrail.capture.ending._end", lambda *_: None)
    with pytest.raises(_PowerCut):
        service.shoot(recipe(frames=3))
    service.close()
    (folder,) = published(config.store.outbound_folder)
    again = Service(config)
    waiting = interrupted(again.journal, again.spool)
    assert waiting is not None and waiting.state is State.MERGING
    if aborted:
        again.journal.give_up(waiting.shoot_id)
    done = again.shoot_on(waiting.shoot_id)
    assert (done.folder, done.version, done.finished.frames_used, done.left_out) == (folder, 1, 3, ())
    assert published(config.store.outbound_folder) == [folder]
    assert again.journal.shoot(waiting.shoot_id).state is State.PUBLISHED
    assert again.restack(waiting.shoot_id).version == 2
    again.close()


def test_a_version_that_somebody_has_changed_is_not_taken_up(tmp_path: Path) -> None:
    config = small_rig(tmp_path)
    service = Service(config)
    done = service.shoot(recipe(frames=3))
    shoot, frames = service.journal.shoot(done.shoot_id), service.journal.frames(done.shoot_id)
    assert found(done.folder, shoot, frames, version=1) is not None
    assert found(done.folder, shoot, frames, version=2) is None
    assert found(done.folder, shoot, frames[:2], version=1) is None
    assert found(done.folder, replace(shoot, method=replace(shoot.method, detail_gain=2.0)), frames, version=1) is None
    (done.folder / "depth.tif").write_bytes(b"")
    assert found(done.folder, shoot, frames, version=1) is None
    (done.folder / "shoot.json").write_text("[]")
    assert found(done.folder, shoot, frames, version=1) is None
    service.close()


def test_a_shoot_that_was_ended_as_it_began_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_rig(tmp_path)
    service = Service(config)

    service._shoots.run = cut  # type: ignore[method-assign]
    monkeypatch.setattr("focusrail.capture.ending._end", lambda *_: None)
    with pytest.raises(_PowerCut):
        service.shoot(recipe(frames=2))
    service.close()
    again = Service(config)
    waiting = interrupted(again.journal, again.spool)
    assert waiting is not None and waiting.state is State.IDLE
    assert again.shoot_on(waiting.shoot_id).finished.frames_used == 2
    again.close()


@pytest.mark.parametrize("how", ["suspended", "killed"])
def test_stacking_again_that_is_broken_off_leaves_the_shoot_as_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Nobody has asked the carriage to move, nor for another stack than the one that is lost."""
    config = small_rig(tmp_path)
    service = Service(config)
    service._listen = lambda event: service.abort() if isinstance(event, FrameStored) and event.index == 2 else None
    with pytest.raises(ShootAborted):
        service.shoot(recipe(frames=8))
    (shoot,) = service.journal.shoots()
    stored = len(service.journal.frames(shoot.shoot_id))
    assert shoot.state is State.ABORTED and stored < 8

    if how == "killed":
        monkeypatch.setattr(service.journal, "publish", cut)
        service._listen = lambda _: None
    else:
        service._listen = lambda event: service.suspend() if isinstance(event, Merging) else None
    with pytest.raises(_PowerCut if how == "killed" else ShootAborted):
        service.restack(shoot.shoot_id)
    service.close()
    again = Service(config)
    assert again.journal.shoot(shoot.shoot_id).state is State.ABORTED
    assert interrupted(again.journal, again.spool) is None
    assert again.restack(shoot.shoot_id).finished.frames_used == stored
    assert again.journal.shoot(shoot.shoot_id).state is State.PUBLISHED
    with pytest.raises(IllegalTransition, match=rf"planned and never shot: {stored}-7; `focusrail resume "):
        again.extend(shoot.shoot_id, far=1)
    again.close()


def test_a_shoot_that_was_paused_waits_for_a_person_also_after_the_end_of_the_service(tmp_path: Path) -> None:
    """Whose hands may be in the rig."""
    desk = Desk(small_rig(tmp_path, camera={"transfer_s": 0.1}), EventLog())
    desk.open()
    shoot_id = desk.shoot(recipe())
    desk.pause(shoot_id)
    until(lambda: desk.service.journal.shoot(shoot_id).state is State.PAUSED)
    close(desk)
    again = Desk(small_rig(tmp_path), EventLog())
    again.open()
    assert interrupted(again.service.journal, again.service.spool) is None
    again.resume(shoot_id)
    until(lambda: not again.status().doing)
    assert again.service.journal.shoot(shoot_id).state is State.PUBLISHED
    close(again)


def test_what_a_person_has_ended_is_not_gone_on_with_whatever_ends_the_service_then(tmp_path: Path) -> None:
    config = small_rig(tmp_path, camera={"hangs_at": [3], "hang_s": 2.0})
    desk = Desk(config, EventLog())
    desk.open()
    shoot_id = desk.shoot(recipe())
    until(lambda: desk.service.journal.frame_count(shoot_id) == 3)
    desk.abort(shoot_id)
    assert desk.status().progress is not None, "the camera hangs: it is not at its end yet"
    with closing(Journal(config.store.journal_file)) as seen_after_a_power_cut:
        assert seen_after_a_power_cut.shoot(shoot_id).state is State.ABORTED
    close(desk)
    service = Service(config)
    assert interrupted(service.journal, service.spool) is None
    service.close()


def test_an_abort_at_the_last_frame_holds_though_all_frames_are_there(tmp_path: Path) -> None:
    config = small_rig(tmp_path, camera={"transfer_s": 0.5})
    desk = Desk(config, EventLog())
    desk.open()
    shoot_id = desk.shoot(recipe(frames=3))
    until(lambda: desk.service.journal.frame_count(shoot_id) == 2)
    desk.abort(shoot_id)
    close(desk)
    service = Service(config)
    assert service.journal.shoot(shoot_id).state is State.ABORTED
    assert interrupted(service.journal, service.spool) is None
    service.close()


def test_a_shoot_for_which_the_disk_is_too_small_is_refused_before_anything_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(small_rig(tmp_path), EventLog())
    desk.open()
    desk.shoot(recipe(frames=2))
    until(lambda: not desk.status().doing)
    size = sum(frame.original.size_bytes for frame in desk.service.journal.newest_frames(desk.status().rig)) // 2
    usage = type("usage", (), {"free": (200 << 20) + 3 * size})
    monkeypatch.setattr("focusrail.store.room.shutil.disk_usage", lambda _: usage)
    before = desk.status().position_mm
    with pytest.raises(DiskFull, match="4 more frames of"):
        desk.on_rig("shooting", lambda _: desk.service.shoot(recipe(frames=4)))
    assert desk.status().position_mm == before
    close(desk)


def shot_halfway(config: Config, **given: Any) -> str:
    """A shoot that the end of the service has interrupted."""
    service = Service(config)
    service._listen = lambda event: service.suspend() if isinstance(event, FrameStored) and event.index == 3 else None
    with pytest.raises(ShootAborted):
        service.shoot(recipe(**given))
    (shoot,) = service.journal.shoots()
    service.close()
    return shoot.shoot_id


def test_a_shoot_waits_for_its_disk_and_for_folders_that_came_between(tmp_path: Path, photographs: Path) -> None:
    config = small_rig(tmp_path)
    shoot_id = shot_halfway(config)
    service = Service(config)
    service.stack_folder(photographs)
    waiting = interrupted(service.journal, service.spool)
    assert waiting is not None and waiting.shoot_id == shoot_id
    before = service.journal.frames(shoot_id)
    away = config.store.spool_folder.rename(tmp_path / "away")
    with pytest.raises(OriginalChanged, match=r"none of the frames .*: mount their disk"):
        service.shoot_on(shoot_id)
    assert service.journal.frames(shoot_id) == before and interrupted(service.journal, service.spool) is not None
    shutil.rmtree(config.store.spool_folder)
    away.rename(config.store.spool_folder)
    assert service.shoot_on(shoot_id).finished.frames_used == FRAMES
    assert service.journal.frames(shoot_id)[: len(before)] == before
    service.close()


def test_a_camera_that_comes_back_with_another_picture_size_ends_the_shoot(tmp_path: Path) -> None:
    shoot_id = shot_halfway(small_rig(tmp_path), frames=40)
    service = Service(small_rig(tmp_path, camera={"width_px": 400, "height_px": 300, "transfer_s": 0.3}))
    with pytest.raises(CaptureFailed, match=r"frames 5, 6.* another size .*set the camera as it was.*5 frames are"):
        service.shoot_on(shoot_id)
    assert [frame.index for frame in service.journal.frames(shoot_id)] == [0, 1, 2, 3, 4]
    assert service.journal.publications(shoot_id) == []
    assert service.journal.shoot(shoot_id).state is State.FAILED, "and nobody goes on with it unasked"
    service.close()
    service = Service(small_rig(tmp_path))
    assert service.shoot_on(shoot_id).finished.frames_used == 40, "those of another size are shot anew"
    service.close()


def test_a_stack_of_photographs_that_a_power_cut_has_ended_does_not_go_on_for_ever(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(small_rig(tmp_path))
    service.stack_folder(photographs)
    monkeypatch.setattr("focusrail.capture.stacks.publish", cut)
    monkeypatch.setattr("focusrail.capture.ending._end", lambda *_: None)
    with pytest.raises(_PowerCut):
        service.stack_folder(photographs)
    (cut_off,) = service.journal.unended_stacks()
    with service.spool.claim(cut_off):
        end_stacks(service.journal, service.spool)
        assert service.journal.unended_stacks() == [cut_off], "another process works on it"
    end_stacks(service.journal, service.spool)
    assert service.journal.shoot(cut_off).state is State.FAILED and service.journal.unended_stacks() == []
    service.close()


def test_the_data_folder_can_be_moved(tmp_path: Path) -> None:
    service = Service(small_rig(tmp_path / "here"))
    first = service.shoot(recipe(frames=3))
    service.close()
    (tmp_path / "here").rename(tmp_path / "there")
    service = Service(small_rig(tmp_path / "there"))
    ((_, folder),) = service.journal.publications(first.shoot_id)
    assert folder.is_relative_to(tmp_path / "there") and (folder / "shoot.json").is_file()
    again = service.restack(first.shoot_id)
    assert again.finished.frames_used == 3 and np.array_equal(pixels(again.folder), pixels(folder))
    assert service.extend(first.shoot_id, far=1).finished.frames_used == 4
    service.close()


def test_a_damaged_journal_is_seen_at_a_glance(tmp_path: Path) -> None:
    config = small_rig(tmp_path)
    shot_halfway(config)
    with closing(sqlite3.connect(config.store.journal_file)) as db, db:
        db.execute("UPDATE shoot SET recipe='nonsense'")
    desk = Desk(config, EventLog())
    desk.open()
    assert not desk.status().store_trouble
    with pytest.raises(StoreNotWritable):
        desk.service.journal.shoots()
    told = desk.status()
    assert told.rig and "is damaged" in told.store_trouble and sentence(told) == told.store_trouble
    close(desk)
