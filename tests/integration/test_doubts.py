"""What a person is warned of: frames that look wrong, and a stack that does not reach far enough."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from focusrail.service import Service
from focusrail_drivers.cameras.simulated import SimulatedCamera
from focusrail_drivers.clock import VirtualClock
from peers.small_rig import Home, manifest, published, recipe, small_rig

FINE = 16  # frames from the nearest bristle to behind the background


@pytest.fixture(scope="module")
def fine(tmp_path_factory: pytest.TempPathFactory, painted_scene: SimulatedCamera) -> Path:
    """A stack that is deep enough, in fine steps."""
    config = small_rig(tmp_path_factory.mktemp("fine"))
    service = Service(config, clock=VirtualClock())
    with closing(service.journal):
        done = service.shoot(recipe(from_mm=9.8, to_mm=15.2, frames=FINE))
    assert done.finished.warnings == (), "a stack in order is not suspected"
    return config.store.spool_folder / done.shoot_id / "frames"


@pytest.fixture
def stack_of(home: Home, fine: Path) -> Callable[..., Path]:
    """A folder with some of these frames."""

    def make(*indices: int) -> Path:
        folder = home.folder / "some"
        folder.mkdir()
        for index in indices:
            shutil.copy(fine / f"{index:06d}.jpg", folder)
        return folder

    return make


def test_a_shaken_frame_is_named_with_the_way_out(home: Home, stack_of: Callable[..., Path]) -> None:
    folder = stack_of(*range(FINE))
    shaken = folder / "000006.jpg"
    image = cv2.imread(str(shaken))
    assert image is not None
    cv2.imwrite(str(shaken), cv2.filter2D(image, -1, np.full((1, 13), 1 / 13, np.float32)))
    said = home.run_here("stack", folder)
    assert said.code == 0, "it is a doubt and no fault"
    (result,) = published(home.outbound)
    page = manifest(result)
    assert [frame["index"] for frame in page["frames"] if frame["suspect"]] == [6]
    (sentence,) = said.sentences
    assert sentence.startswith("warning    frame 6 looks shaken, or something moved in it (it is ")
    assert sentence.endswith("try --without 6")
    assert page["warnings"] == [sentence.removeprefix("warning    ")]
    report = (result / "report.html").read_text(encoding="utf-8")
    assert report.count('class="odd"') == 1
    assert page["frames"][6]["suspect"] in report
    assert home.run_here("stack", folder, "--without", "6").sentences == [], "and that helps"


def test_a_frame_in_which_something_moved_is_named(home: Home, stack_of: Callable[..., Path]) -> None:
    folder = stack_of(*range(FINE))
    moved = folder / "000008.jpg"
    image = cv2.imread(str(moved))
    assert image is not None
    part = image[60:160, 100:220].copy()
    image[66:166, 108:228] = part
    cv2.imwrite(str(moved), image, [cv2.IMWRITE_JPEG_QUALITY, 97])
    said = home.run_here("stack", folder)
    (sentence,) = said.sentences
    assert sentence.startswith("warning    frame 8 looks shaken, or something moved in it (")
    assert "does not fit the frames around it" in sentence


def test_a_stack_that_is_too_shallow_is_named_with_end_and_place(home: Home, stack_of: Callable[..., Path]) -> None:
    said = home.run_here("stack", stack_of(*range(4, 11)), "--step-mm", "0.36")
    assert said.code == 0
    near, far = said.sentences
    for sentence, end in ((near, "first frame (0 at 0.000 mm)"), (far, "last frame (6 at 2.160 mm)")):
        assert sentence.startswith("warning    the stack is too shallow: ")
        assert f"something is still getting sharper at its {end}, " in sentence
    (result,) = published(home.outbound)
    assert manifest(result)["warnings"] == [sentence.removeprefix("warning    ") for sentence in said.sentences]
    assert near.removeprefix("warning    ") in (result / "report.html").read_text(encoding="utf-8")


def test_loops_that_are_not_compiled_are_told(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOCUSRAIL_PLAIN", "1")
    said = Home(tmp_path).run("stack", photographs)
    assert any("without a C compiler" in line for line in said.sentences)
    monkeypatch.delenv("FOCUSRAIL_PLAIN")
    assert not any("C compiler" in line for line in Home(tmp_path).run("stack", photographs).sentences)
