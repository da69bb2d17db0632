"""What is left when focusrail is killed, or told to end. For kills by the thousand see test_kills."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pytest

from focusrail.model.shoot import State
from focusrail.service import Service
from focusrail.store.journal import Journal
from peers.small_rig import Home, Said, manifest, pixels, published, said, small_rig
from peers.stopped import stop

FRAMES = 12
_GONE_S = 5.0  # after that long, an orphan is one


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """One home for all kills: whatever one leaves behind, the next must be able to live with."""
    home = Home(tmp_path_factory.mktemp("killed"))
    home.recipe(frames=FRAMES)
    return home


@pytest.fixture(scope="module")
def whole(home: Home) -> Iterator[Whole]:
    with_service = Service(small_rig(home.folder / "whole"))
    yield Whole(home, with_service)
    with_service.close()


class Whole:
    """A shoot that nobody killed, how long it takes, and what its first so many frames give in one go."""

    def __init__(self, home: Home, service: Service) -> None:
        began_s = time.monotonic()
        done = home.run("shoot", home.recipe(frames=FRAMES))
        self.took_s = time.monotonic() - began_s
        assert done.code == 0, done.sentences
        (folder,) = published(home.outbound)
        self.frames = sorted((home.data / "spool" / manifest(folder)["shoot"]["id"] / "frames").iterdir())
        assert len(self.frames) == FRAMES
        self._service, self._folder = service, home.folder
        self._known: dict[int, npt.NDArray[Any]] = {FRAMES: pixels(folder)}

    def pixels_of_first(self, count: int) -> npt.NDArray[Any]:
        """What stacking a folder with the first so many frames gives."""
        if count not in self._known:
            folder = self._folder / f"first-{count}"
            folder.mkdir()
            for path in self.frames[:count]:
                shutil.copy(path, folder)
            _, done = self._service.stack_folder(folder)
            self._known[count] = pixels(done.folder)
        return self._known[count]


def descendants(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def everything_counted_is_there(home: Home) -> list[tuple[str, State, int]]:
    """Check all that the journal and the manifests promise; return the shoots, newest first."""
    found = []
    journal = Journal(home.data / "journal.sqlite")
    try:
        for shoot in journal.shoots():
            records = journal.frames(shoot.shoot_id)
            assert [r.index for r in records] == list(range(len(records)))
            for record in records:
                data = Path(record.original.path).read_bytes()
                assert hashlib.sha256(data).hexdigest() == record.original.sha256, record.original.path
            found.append((shoot.shoot_id, shoot.state, len(records)))
            assert all(folder.is_dir() for _, folder in journal.publications(shoot.shoot_id))
    finally:
        journal.close()
    for folder in published(home.outbound):
        for name, facts in manifest(folder)["files"].items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == facts["sha256"], folder / name
    return found


def test_an_original_that_was_damaged_meanwhile_is_shot_again_where_it_belongs(home: Home, whole: Whole) -> None:
    with home.start("shoot", "recipe.yaml") as process:
        shoot_id = stored(process, 6)["shoot_id"]
        process.kill()
    frames = home.data / "spool" / shoot_id / "frames"
    (frames / "000002.jpg").write_bytes(b"\xff\xd8 rot")
    (frames / "000004.jpg").unlink()
    done = home.run("resume", shoot_id)
    assert done.code == 0, done.sentences
    assert [event["frame_index"] for event in done.event("frame.damaged")] == [2, 4]
    assert {2, 4, FRAMES - 1} <= {event["frame_index"] for event in done.event("frame.stored")}
    (folder,) = (f for f in published(home.outbound) if f.name.endswith(shoot_id))
    assert np.array_equal(pixels(folder), whole.pixels_of_first(FRAMES))
    everything_counted_is_there(home)


def test_a_shoot_that_was_aborted_can_be_gone_on_with_and_says_how(home: Home, whole: Whole) -> None:
    with home.start("shoot", "recipe.yaml") as process:
        shoot_id = stored(process, 3)["shoot_id"]
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert f" resume {shoot_id}` shoots the rest" in done.sentences[-1]
    again = home.run("resume", shoot_id)
    assert again.code == 0, again.sentences
    (folder,) = (f for f in published(home.outbound) if f.name.endswith(shoot_id))
    assert np.array_equal(pixels(folder), whole.pixels_of_first(FRAMES))
    assert home.run("resume", "20990101T000000-0000").code == 23


def test_a_killed_shoot_is_stacked_by_the_command_line(home: Home, whole: Whole) -> None:
    with home.start("shoot", "recipe.yaml") as process:
        shoot_id = stored(process, 4)["shoot_id"]
        orphans = descendants(process)
        process.kill()
    assert not psutil.wait_procs(orphans, timeout=_GONE_S)[1]
    again = home.run("stack", "--shoot", shoot_id)
    assert again.code == 0, again.sentences
    frames = {one: count for one, _, count in everything_counted_is_there(home)}[shoot_id]
    assert again.out.startswith(f"published  {frames} frames")
    (folder,) = (f for f in published(home.outbound) if f.name.endswith(shoot_id))
    assert np.array_equal(pixels(folder), whole.pixels_of_first(frames))


def stored(process: subprocess.Popen[bytes], index: int) -> dict[str, Any]:
    """Read a shoot's log until it has stored a frame."""
    assert process.stderr is not None
    for line in process.stderr:
        event = json.loads(line)
        if event["event"] == "frame.stored" and event["frame_index"] >= index:
            return dict(event)
    raise AssertionError("it ended before")


def ended(process: subprocess.Popen[bytes]) -> Said:
    out, error = process.communicate(timeout=30)
    return said(process.returncode, out, error)


@pytest.mark.timeout(180)
def test_what_a_killed_stack_leaves_goes_with_the_next_one_there_and_a_living_ones_stays(
    tmp_path: Path, photographs: Path
) -> None:
    home, many = Home(tmp_path), tmp_path / "many"
    many.mkdir()
    (tmp_path / "elsewhere").mkdir()
    elsewhere = Home(tmp_path / "elsewhere")
    for index, path in enumerate([*sorted(photographs.iterdir())] * 6):
        shutil.copy(path, many / f"{index:03d}.jpg")
    beside = tmp_path / "results"

    def scratch_folders() -> set[Path]:
        return set(beside.glob(".*.partial"))

    with home.start("stack", many, "-o", beside / "killed") as process:
        wait_until(lambda: any(folder.glob("thumbnails/*") for folder in scratch_folders()))
        orphans = descendants(process)
        process.kill()
    assert not psutil.wait_procs(orphans, timeout=_GONE_S)[1]
    (left,) = scratch_folders()
    with home.start("stack", many, "-o", beside / "living") as living:
        try:
            wait_until(lambda: any(folder != left and any(folder.glob("*")) for folder in scratch_folders()))
            assert left not in scratch_folders(), "the next stack there removes it"
            (held,) = scratch_folders()
            stop(living.pid)  # alive, however slow
            # With a journal of its own: the other may have been stopped while it wrote into its.
            other = elsewhere.run("stack", photographs, "-o", beside / "other")
            assert other.code == 0, other.sentences
            assert scratch_folders() == {held}
            living.send_signal(signal.SIGCONT)
            assert ended(living).code == 0
        except BaseException:
            living.kill()
            raise
    assert {path.name for path in beside.iterdir()} == {"living", "other"}


def wait_until(happens: Callable[[], object]) -> None:
    """Look every few milliseconds."""
    end_s = time.monotonic() + 30
    while not happens():
        assert time.monotonic() < end_s, "it never happened"
        time.sleep(0.005)


INTERRUPTIONS = {
    "Ctrl-C": [signal.SIGINT],
    "an impatient Ctrl-C": [signal.SIGINT] * 5,
    "a service manager": [signal.SIGTERM],
}


@pytest.mark.parametrize("signals", INTERRUPTIONS.values(), ids=INTERRUPTIONS.keys())
def test_an_interrupted_shoot_ends_in_order(tmp_path: Path, signals: list[signal.Signals]) -> None:
    home = Home(tmp_path)
    with home.start("shoot", home.recipe(frames=400), start_new_session=True) as process:
        shoot_id = stored(process, 3)["shoot_id"]
        orphans = descendants(process)
        for number in signals:
            os.killpg(process.pid, number)  # as a terminal does
        done = ended(process)
    assert done.code == 130
    assert not psutil.wait_procs(orphans, timeout=_GONE_S)[1]
    ((_, state, frames),) = everything_counted_is_there(home)
    assert state is State.ABORTED
    assert 4 <= frames < 400
    (sentence,) = done.sentences
    assert "was aborted" in sentence
    assert f"; {frames} frames are safe: `focusrail --config " in sentence  # as it was called, to be typed again
    assert sentence.endswith(f" stack --shoot {shoot_id}` stacks them")
    assert done.event("rail.halted")
    assert not done.out
    assert not list(home.outbound.iterdir())
    again = home.run("stack", "--shoot", shoot_id)
    assert again.code == 0, again.sentences
    assert manifest(published(home.outbound)[0])["result"]["bit_depth"] == 8


def test_halting_from_another_terminal_aborts_the_shoot(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.start("shoot", home.recipe(frames=60)) as process:
        stored(process, 3)
        halted = home.run("rail", "halt")
        done = ended(process)
    assert (halted.code, halted.out) == (0, "halted     the process that holds the rig\n")
    assert done.code == 130
    assert everything_counted_is_there(home)[0][1] is State.ABORTED


def test_an_interrupted_stack_ends_in_order(tmp_path: Path, photographs: Path) -> None:
    home = Home(tmp_path)
    with home.start("stack", photographs) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if json.loads(line)["event"] == "worker.started":
                break
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert done.code == 130
    assert len(done.sentences) == 1
    assert not published(home.outbound)
    assert everything_counted_is_there(home)[0][1] is State.ABORTED
