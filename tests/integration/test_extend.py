"""A published shoot gets more frames, and is as if it had been shot so in the first place."""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from focusrail.capture.events import FrameStored, Published
from focusrail.capture.unfinished import interrupted, newest_unfinished
from focusrail.errors import (
    FocusrailError,
    IllegalTransition,
    OriginalChanged,
    PreflightFailed,
    RecipeRefused,
    ShootAborted,
)
from focusrail.model.method import Method
from focusrail.model.outputs import Outputs
from focusrail.model.recipe import Recipe
from focusrail.model.shoot import State
from focusrail.service import Service
from focusrail.store.journal import Journal
from peers.small_rig import Home, manifest, photograph, recipe, small_rig

KILLS = max(1, int(os.environ.get("FOCUSRAIL_KILLS", "8")) // 8)
STEP_MM = 0.5
FIRST, LAST = 2, 5  # of the grid's places, which begin at 10 mm
ALIKE = ("place", "position_mm", "used", "transform", "gain_rgb", "inliers", "sharpness", "won")


def stack(first: int, last: int, **more: Any) -> Recipe:
    """The places from one to another, in the direction of rising numbers or of falling ones."""
    return recipe(from_mm=10 + first * STEP_MM, to_mm=10 + last * STEP_MM, frames=abs(last - first) + 1, **more)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(small_rig(tmp_path / "data"))
    yield service
    service.close()


class OneGo:
    """Shoots of so much in one go."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._known: dict[tuple[int, int], Published] = {}

    def __call__(self, first: int, last: int) -> Published:
        if (first, last) not in self._known:
            self._known[first, last] = self.service.shoot(stack(first, last))
        return self._known[first, last]


@pytest.fixture(scope="module")
def in_one_go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneGo]:
    service = Service(small_rig(tmp_path_factory.mktemp("one-go")))
    yield OneGo(service)
    service.close()


def assert_alike(one: Path, other: Path) -> None:
    for name in ("result.tif", "depth.tif", "index.png", "confidence.png"):
        assert np.array_equal(photograph(one / name), photograph(other / name)), name
    told, expected = ([{key: f[key] for key in ALIKE} for f in manifest(p)["frames"]] for p in (one, other))
    assert told == expected


def facts(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("longer", [[(2, 0), (0, 1)], [(2, 1)]], ids=["near, then far", "both"])
def test_an_extended_shoot_equals_one_of_the_whole_in_one_go(
    service: Service, in_one_go: OneGo, longer: list[tuple[int, int]]
) -> None:
    done = service.shoot(stack(FIRST, LAST))
    before = facts(done.folder)
    first, last = FIRST, LAST
    for version, (near, far) in enumerate(longer, 2):
        first, last = first - near, last + far
        done = service.extend(done.shoot_id, near=near, far=far)
        assert done.version == version
        assert_alike(done.folder, in_one_go(first, last).folder)
    (_, published), *_ = service.journal.publications(done.shoot_id)
    assert facts(published) == before, "what was published stays as it is"
    frames = service.journal.frames(done.shoot_id)
    assert [f.index for f in frames] == list(range(last - first + 1))
    assert [f.position_mm for f in frames[: LAST - FIRST + 1]] == [11, 11.5, 12, 12.5], "nobody gets another number"


@pytest.mark.parametrize(
    ("method", "outputs"),
    [
        (Method(reference="middle"), Outputs(aligned=True, slab_frames=4, slab_overlap=1)),
        (Method(fusion="depthmap"), Outputs()),
    ],
    ids=["survey, aligned, slabs", "two passes"],
)
def test_its_stacks_of_other_methods_equal_those_of_one_go(
    service: Service, in_one_go: OneGo, method: Method, outputs: Outputs
) -> None:
    one, other = service.shoot(stack(FIRST, LAST)), in_one_go(FIRST - 2, LAST + 1)
    service.extend(one.shoot_id, near=2, far=1)
    folder = service.restack(one.shoot_id, method=method, outputs=outputs).folder
    expected = in_one_go.service.restack(other.shoot_id, method=method, outputs=outputs).folder
    assert_alike(folder, expected)
    pictures = [str(path.relative_to(expected)) for path in sorted(expected.glob("*/*.tif"))]
    assert len(pictures) == (7 + 2 if outputs.aligned else 0)
    for name in pictures:
        assert np.array_equal(photograph(folder / name), photograph(expected / name)), name


def test_frames_keep_their_numbers_where_a_person_names_them(service: Service) -> None:
    done = service.shoot(stack(FIRST, LAST))
    done = service.extend(done.shoot_id, near=2)
    done = service.restack(done.shoot_id, without=frozenset({0, 4}))
    page = manifest(done.folder)
    assert page["without"] == [4, 0]
    assert [(f["index"], f["place"]) for f in page["frames"] if f["used"]] == [(5, 1), (1, 3), (2, 4), (3, 5)]
    assert sorted(np.unique(photograph(done.folder / "index.png"))) == [1, 3, 4, 5]


@pytest.mark.parametrize("stored", [0, 1])
def test_an_extension_that_ends_early_is_gone_on_with(service: Service, in_one_go: OneGo, stored: int) -> None:
    shoot_id = service.shoot(stack(FIRST, LAST)).shoot_id

    def hear(event: object) -> None:
        if isinstance(event, FrameStored) and event.index == LAST - FIRST + stored:
            service.suspend()

    service._listen = hear
    if stored:
        with pytest.raises(ShootAborted, match="waits to be gone on with"):
            service.extend(shoot_id, near=2, far=1)
    else:
        enter = service.journal.extend

        def killed(*given: Any, **more: Any) -> None:
            enter(*given, **more)
            raise FocusrailError("the power is gone")

        service.journal.extend = killed  # type: ignore[method-assign]
        with pytest.raises(FocusrailError, match="the power is gone"):
            service.extend(shoot_id, near=2, far=1)
        service.journal.extend = enter  # type: ignore[method-assign]
    service._listen = lambda _: None
    shoot = service.journal.shoot(shoot_id)
    assert shoot.state is (State.SHOOTING if stored else State.FAILED)
    assert len(shoot.positions_mm) == 7, "the longer plan is journalled before its first frame"
    unfinished, waiting = newest_unfinished(service.journal), interrupted(service.journal, service.spool)
    assert unfinished is not None and unfinished.shoot_id == shoot_id
    assert (waiting is not None) == bool(stored)
    service._suspended = False
    done = service.shoot_on(shoot_id)
    assert (done.version, newest_unfinished(service.journal)) == (2, None)
    assert_alike(done.folder, in_one_go(FIRST - 2, LAST + 1).folder)


def test_what_cannot_be_extended_is_refused_and_stays_as_it_is(service: Service, in_one_go: OneGo) -> None:
    done = service.shoot(stack(FIRST, LAST))
    shoot_id = done.shoot_id
    with pytest.raises(
        RecipeRefused, match=r"30 more frames go to -4\.0000 mm, outside the travel .*: 22 of them have"
    ):
        service.extend(shoot_id, near=30)
    with pytest.raises(RecipeRefused, match="by one frame at least"):
        service.extend(shoot_id)
    with pytest.raises(RecipeRefused, match=r"too near the end of the travel.*is as it was published"):
        service.extend(shoot_id, near=22)  # at 0 mm: backlash could not be taken up
    first, second = (frame.original.path for frame in service.journal.frames(shoot_id)[:2])
    damaged = Path(first).read_bytes()
    Path(first).write_bytes(damaged[:-1])
    Path(second).rename(f"{second}.away")
    with pytest.raises(OriginalChanged, match=r"missing or damaged in the spool: 0-1; `focusrail resume "):
        service.extend(shoot_id, far=1)
    Path(first).write_bytes(damaged)
    Path(f"{second}.away").rename(second)
    camera = service.config.camera.model_copy(update={"settings": {"exposure_s": "0.002"}})
    brighter = Service(service.config.model_copy(update={"camera": camera}))
    with pytest.raises(PreflightFailed, match=r"exposure_s is 0\.002, was 0\.001.*is as it was published"):
        brighter.extend(shoot_id, far=1)
    brighter.close()
    shoot = service.journal.shoot(shoot_id)
    assert (shoot.state, len(shoot.positions_mm)) == (State.PUBLISHED, 4)
    assert newest_unfinished(service.journal) is None
    Path(second).unlink()
    assert service.shoot_on(shoot_id).version == 2, "what is missing is shot again"
    with pytest.raises(IllegalTransition, match="nothing to resume"):
        service.shoot_on(shoot_id)
    assert_alike(service.extend(shoot_id, near=2, far=1).folder, in_one_go(FIRST - 2, LAST + 1).folder)
    for path in Path(first).parent.iterdir():
        path.unlink()
    with pytest.raises(OriginalChanged, match=r"none of the frames .* shoot it anew"):
        service.extend(shoot_id, far=1)


@pytest.mark.timeout(60 + 20 * KILLS)
def test_a_killed_extension_goes_on_to_the_pixels_of_one_go(tmp_path: Path, in_one_go: OneGo) -> None:
    home = Home(tmp_path)
    recipe_file = home.recipe(from_mm=10 + FIRST * STEP_MM, to_mm=10 + LAST * STEP_MM, frames=LAST - FIRST + 1)
    moments = random.Random(KILLS)
    began_s = time.monotonic()
    made = home.run("shoot", recipe_file, "--json")
    took_s = time.monotonic() - began_s
    for kill in range(KILLS):
        if kill:
            made = home.run_here("shoot", recipe_file, "--json")
        assert made.code == 0, made.sentences
        shoot_id = json.loads(made.out)["shoot_id"]
        with home.start("extend", shoot_id, "--near", 2, "--far", 1, stdin=subprocess.DEVNULL) as process:
            drain = threading.Thread(target=process.communicate)
            drain.start()
            drain.join(moments.uniform(0.4 * took_s, 1.2 * took_s))
            process.kill()
            drain.join()
        journal = Journal(home.data / "journal.sqlite")
        shoot, finished = journal.shoot(shoot_id), journal.is_finished(shoot_id)
        journal.close()
        if not finished:
            said = home.run_here("resume", "--json")
        elif len(shoot.positions_mm) == LAST - FIRST + 1:  # killed before it was journalled
            said = home.run_here("extend", shoot_id, "--near", 2, "--far", 1, "--json")
        else:
            continue
        assert said.code == 0, said.sentences
        told = json.loads(said.out)
        assert told["shoot_id"] == shoot_id
        assert_alike(Path(told["folder"]), in_one_go(FIRST - 2, LAST + 1).folder)


def test_one_command_extends_a_shoot(home: Home) -> None:
    made = json.loads(home.run_here("shoot", home.recipe(frames=4, from_mm=11.0, to_mm=12.5), "--json").out)
    said = home.run_here("extend", made["shoot_id"], "--near", 1, "--far", 1, "--json")
    assert said.code == 0, said.sentences
    told = json.loads(said.out)
    assert (told["shoot_id"], told["version"], told["frames_used"]) == (made["shoot_id"], 2, 6)
    assert home.run_here("extend", made["shoot_id"]).code == 64
    assert home.run_here("extend", "20990101T000000-0000", "--far", 1).code == 23
    assert home.run_here("resume", made["shoot_id"]).code == 25
