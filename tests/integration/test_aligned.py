"""Aligned frames and slabs: pictures that lie on the result without a pixel's shift."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from focusrail.capture.events import Published
from focusrail.model.method import Method
from focusrail.model.outputs import Outputs
from focusrail.service import Service
from focusrail.store.image_io import Metadata, write_tiff
from focusrail_drivers.clock import VirtualClock
from peers.small_rig import Home, manifest, photograph, pixels, published, recipe, small_rig

Stack = Callable[..., Published]


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    def run(folder: Path, **options: Any) -> Published:
        service = Service(small_rig(tmp_path / "data"))
        try:
            return service.stack_folder(folder, **options)[1]
        finally:
            service.close()

    return run


@pytest.fixture
def few(photographs: Path, tmp_path: Path) -> Path:
    """Five of the photographs with 16 bits; the fourth a little darker, as if the lamp had flickered."""
    folder = tmp_path / "few"
    folder.mkdir()
    for k, path in enumerate(sorted(photographs.iterdir())[1:6]):
        image = photograph(path).astype(np.float32) * 257 * (0.9 if k == 3 else 1)
        write_tiff(folder / f"{k}.tif", np.rint(image).astype(np.uint16), Metadata(), description="")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "method",
    [Method(), Method(warp="cubic", reference="middle"), Method(fusion="lob", border="black", warp="linear")],
    ids=["keys", "cubic", "black border"],
)
def test_aligned_frames_are_what_was_fused_cut_as_the_result_is(stack: Stack, few: Path, method: Method) -> None:
    done = stack(few, method=method, outputs=Outputs(aligned=True), debug=True)
    page = manifest(done.folder)
    x, y, width, height = (page["result"]["crop"][key] for key in ("x", "y", "width", "height"))
    assert (width, height) != (324, 216), "something is cut away, or this would prove nothing"
    assert names(done.folder / "aligned") == [f"{k:06d}.tif" for k in range(5)]
    for k in range(5):
        image = tifffile.imread(done.folder / "aligned" / f"{k:06d}.tif")
        fused = photograph(done.folder / "debug" / "aligned" / f"{k:06d}.png")[y : y + height, x : x + width]
        assert image.dtype == np.uint16
        assert np.array_equal(image, fused[..., ::-1])
        assert image.shape == pixels(done.folder).shape
    assert page["frames"][3]["gain"] > 1.04, "flicker is taken out"


def test_where_one_frame_wins_the_result_is_its_pixel(stack: Stack, few: Path) -> None:
    done = stack(few, method=Method(fusion="lob"), outputs=Outputs(aligned=True))
    aligned = np.stack([tifffile.imread(path) for path in sorted((done.folder / "aligned").iterdir())])
    index = photograph(done.folder / "index.png")
    rows, columns = np.indices(index.shape)
    assert np.array_equal(pixels(done.folder), aligned[index, rows, columns])


def test_the_manifest_proves_them_and_the_report_leads_to_them(home: Home, photographs: Path) -> None:
    said = home.run_here(
        *("stack", photographs, "--save-aligned", "--slab-frames", "4", "--slab-overlap", "2", "--without", "3")
    )
    assert said.code == 0, said.sentences
    assert re.fullmatch(r"needs      0\.\d\d GB for aligned frames and slabs; \d+\.\d\d GB are free", said.sentences[0])
    (result,) = published(home.outbound)
    page = manifest(result)
    assert names(result / "aligned") == [f"{k:06d}.tif" for k in range(8) if k != 3]
    assert names(result / "slabs") == ["slab_000-002.tif", "slab_002-005.tif", "slab_004-007.tif"], (
        "and no scratch file"
    )
    for path in [*(result / "aligned").iterdir(), *(result / "slabs").iterdir()]:
        facts = page["files"][f"{path.parent.name}/{path.name}"]
        assert facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        with tifffile.TiffFile(path) as file:
            assert file.pages[0].dtype == np.uint16
            assert file.pages[0].shape == pixels(result).shape
    report = (result / "report.html").read_text(encoding="utf-8")
    assert 'href="./aligned/"' in report and 'href="./slabs/"' in report
    assert "000004.tif" not in report, "of hundreds of files the report names the folder"


def test_the_whole_stacks_result_does_not_depend_on_what_else_is_wanted(stack: Stack, few: Path) -> None:
    plain = stack(few)
    more = stack(few, outputs=Outputs(aligned=True, slab_frames=3, slab_overlap=1))
    for name in ("result.tif", "depth.tif", "index.png"):
        assert (plain.folder / name).read_bytes() == (more.folder / name).read_bytes() or np.array_equal(
            photograph(plain.folder / name), photograph(more.folder / name)
        )
    assert not (plain.folder / "aligned").exists() and not (plain.folder / "slabs").exists()


def test_two_methods_give_pictures_that_lie_on_each_other(stack: Stack, few: Path) -> None:
    results = [
        stack(few, method=method, outputs=Outputs(aligned=True, slab_frames=3))
        for method in (Method(), Method(fusion="lob"))
    ]
    pages = [manifest(done.folder) for done in results]
    assert pages[0]["result"]["crop"] == pages[1]["result"]["crop"]
    for k in range(5):
        name = f"aligned/{k:06d}.tif"
        one, other = (tifffile.imread(done.folder / name) for done in results)
        assert np.array_equal(one, other)
    shift, _ = cv2.phaseCorrelate(*(pixels(done.folder).mean(axis=2).astype(np.float64) for done in results))
    assert np.hypot(*shift) < 0.05


@pytest.mark.parametrize("which", ["slabs", "aligned"])
def test_what_lies_on_each_other_is_fused_again_without_being_moved(home: Home, few: Path, which: str) -> None:
    first, again = home.folder / "first", home.folder / "again"
    outputs = ("--slab-frames", "3", "--slab-overlap", "1", "--save-aligned")
    assert home.run_here("stack", few, "-o", first, *outputs).code == 0
    assert home.run_here("stack", first / which, "-o", again).code == 0
    page = manifest(again)
    assert page["method"]["aligned"] is True
    assert (page["method"]["detail_gain"] == 1.0) == (which == "slabs"), "what slabs have been given, they have"
    assert all(frame["transform"] == [1, 0, 0, 0, 1, 0, 0, 0, 1] for frame in page["frames"])
    assert pixels(again).shape == pixels(first).shape
    assert page["result"]["crop"]["width"] == pixels(first).shape[1]
    apart = np.abs(pixels(again).astype(float) - pixels(first)).mean()
    blurred = cv2.warpAffine(pixels(first), np.array([[1, 0, 1], [0, 1, 0]], np.float32), pixels(first).shape[1::-1])
    assert apart < 0.35 * np.abs(blurred.astype(float) - pixels(first)).mean(), "a pixel's shift is much more"
    assert "aligned already" in (again / "report.html").read_text(encoding="utf-8")


def test_aligned_frames_are_all_it_takes_to_make_the_result_again(home: Home, few: Path) -> None:
    first, again = home.folder / "first", home.folder / "again"
    assert home.run_here("stack", few, "-o", first, "--method", "lob", "--save-aligned").code == 0
    assert home.run_here("stack", first / "aligned", "-o", again, "--method", "lob").code == 0
    inner = (slice(8, -8), slice(8, -8))  # where the focus measure does not look beyond the edge
    assert np.array_equal(pixels(again)[inner], pixels(first)[inner])
    assert np.array_equal(photograph(again / "index.png")[inner], photograph(first / "index.png")[inner])


def test_pictures_of_unknown_origin_are_moved_unless_they_are_said_to_lie_on_each_other(home: Home, few: Path) -> None:
    first = home.folder / "first"
    assert home.run_here("stack", few, "-o", first, "--save-aligned").code == 0
    elsewhere = home.folder / "elsewhere"
    shutil.copytree(first / "aligned", elsewhere)
    for options, wanted in (((), False), (("--aligned",), True)):
        out = home.folder / f"out-{wanted}"
        assert home.run_here("stack", elsewhere, "-o", out, *options).code == 0
        assert manifest(out)["method"]["aligned"] is wanted
    out = home.folder / "moved"
    assert home.run_here("stack", first / "aligned", "--no-aligned", "-o", out).code == 0
    assert manifest(out)["method"]["aligned"] is False
    shutil.copy(few / "0.tif", first / "aligned" / "strange.tif")
    out = home.folder / "mixed"
    assert home.run_here("stack", first / "aligned", "-o", out).code == 12  # it has another size
    assert manifest(out)["method"]["aligned"] is False, "one of them is not from there"


def test_too_little_room_is_said_before_the_first_frame_is_fused(
    home: Home, few: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The stacking process looks at the disk by itself: it is given another answer by its own sitecustomize.
    (home.folder / "sitecustomize.py").write_text(
        "import collections, shutil\n"
        "usage = collections.namedtuple('usage', 'total used free')\n"
        "shutil.disk_usage = lambda path: usage(0, 0, (200 << 20) + 2_500_000)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(home.folder), os.environ.get("PYTHONPATH", "")]))
    assert home.run_here("stack", few, "--slab-frames", "4").code == 0, "three times 0.42 MB fit"
    before = published(home.outbound)
    said = home.run_here("stack", few, "--save-aligned", "--slab-frames", "4")
    assert said.code == 17
    assert "aligned frames and slabs need 0.00 GB, and" in said.sentences[-1]
    assert not said.event("frame.left_out")
    assert published(home.outbound) == before


@pytest.mark.usefixtures("painted_scene")
def test_a_recipe_can_ask_for_them_and_a_restack_makes_them_again_unless_told_otherwise(tmp_path: Path) -> None:
    service = Service(small_rig(tmp_path / "data"), clock=VirtualClock())
    try:
        done = service.shoot(recipe(outputs=Outputs(slab_frames=4)))
        again = service.restack(done.shoot_id)
        without = service.restack(done.shoot_id, outputs=Outputs())
    finally:
        service.close()
    assert [(one.folder / "slabs").exists() for one in (done, again, without)] == [True, True, False]
    assert names(done.folder / "slabs") == names(again.folder / "slabs")
