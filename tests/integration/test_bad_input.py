"""Whatever is wrong: one sentence, an exit code of its own, nothing lost and nothing half-written."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from focusrail.errors import _OUTCOMES
from focusrail.store.image_io import write_png
from peers.small_rig import FRAMES, Home, Said, manifest, photograph, pixels, published, settings
from peers.textures import texture

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


@pytest.fixture
def folder(photographs: Path, tmp_path: Path) -> Path:
    """A folder of photographs to be spoilt."""
    copy = tmp_path / "photographs"
    shutil.copytree(photographs, copy)
    return copy


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    yield from _mounted(tmp_path / "tiny", "size=1m")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A file system that cannot be written."""
    yield from _mounted(tmp_path / "read-only", "ro")


def _mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False, capture_output=True)
    if done.returncode != 0:
        pytest.skip(f"cannot mount here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def refused(said: Said, code: int, *fragments: object, home: Home) -> None:
    """One sentence with these fragments, this exit code, nothing published, no scratch left."""
    assert len(said.sentences) == 1, said.sentences
    for fragment in fragments:
        assert str(fragment) in said.sentences[0]
    assert said.code == code, said.sentences
    _no_traceback(said)
    assert not said.out
    if home.outbound.is_dir():
        assert not list(home.outbound.iterdir())


def published_without(said: Said, code: int, *fragments: str, home: Home, used: int = FRAMES) -> Path:
    """Results in spite of it; the frame that was left out is named, and the exit code says so."""
    assert said.code == code, said.sentences
    _no_traceback(said)
    (warning,) = said.faults
    for fragment in (*fragments, f"1 of {used + 1} frames were left out"):
        assert fragment in warning
    (result,) = published(home.outbound)
    assert said.out.startswith(f"published  {used} frames")
    assert any(fragments[0] in reason for reason in manifest(result)["warnings"])
    assert list(home.outbound.iterdir()) == [result]
    return result


def _no_traceback(said: Said) -> None:
    everything = "\n".join([said.out, *said.sentences, *(str(event) for event in said.events)])
    assert "Traceback" not in everything
    assert "bug of ours" not in everything


# --- folders of photographs -------------------------------------------------------------------------------------------


def test_codes_are_distinct() -> None:
    codes = [code for code, _ in _OUTCOMES.values()]
    shared = {code for code in codes if codes.count(code) > 1}
    assert shared == {11, 21, 22, 30, 78, 130}, (
        "too few, beyond the travel, not ready, the device, a wrong configuration, stopped"
    )


def test_no_frames(home: Home, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("aphids")
    refused(home.run("stack", empty), 10, empty, "no photographs", home=home)


def test_one_frame(home: Home, folder: Path) -> None:
    for path in list(folder.iterdir())[1:]:
        path.unlink()
    (last,) = folder.iterdir()
    refused(home.run("stack", folder), 11, folder, last.name, "needs two", home=home)


def test_no_folder(home: Home, tmp_path: Path) -> None:
    refused(home.run("stack", tmp_path / "missing"), 15, tmp_path / "missing", "No such file", home=home)


def test_a_file_instead_of_a_folder(home: Home, folder: Path) -> None:
    refused(home.run("stack", folder / "000000.jpg"), 15, folder / "000000.jpg", "Not a directory", home=home)


def test_a_folder_that_may_not_be_read(home: Home, folder: Path) -> None:
    folder.chmod(0)
    refused(home.run("stack", folder, humbly=True), 15, folder, "Permission denied", home=home)
    folder.chmod(0o700)


def test_a_photograph_that_may_not_be_read_is_left_out_and_named(home: Home, folder: Path) -> None:
    (folder / "000003.jpg").chmod(0)
    said = home.run("stack", folder, humbly=True)
    _published_unread(said, 19, "000003.jpg cannot be read: Permission denied", home)


SPOILT = {
    "a truncated JPEG": (
        13,
        "000000.jpg",
        lambda path: path.write_bytes(path.read_bytes()[:9000]),
        ["damaged", "Premature end"],
    ),
    "a text file": (14, "000004.jpg", lambda path: path.write_text("Dear diary,\n"), ["is not a JPEG, PNG or TIFF"]),
    "an empty file": (14, "000000.jpg", lambda path: path.write_bytes(b""), ["empty"]),
    "a header and no more": (13, "000007.jpg", lambda path: path.write_bytes(path.read_bytes()[:20]), ["damaged"]),
}


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT.keys())
def test_a_bad_frame_is_left_out_and_named(home: Home, folder: Path, spoilt: tuple) -> None:
    code, name, spoil, words = spoilt
    spoil(folder / name)
    published_without(home.run("stack", folder), code, name, *words, home=home, used=FRAMES - 1)


def test_a_frame_of_another_size_is_left_out_and_named(home: Home, folder: Path) -> None:
    write_png(folder / "000009.png", photograph(folder / "000003.jpg")[:200, :300])
    words = ["000009.png", "300 x 200 px", "324 x 216 px"]
    published_without(home.run("stack", folder), 12, *words, home=home)


def test_a_frame_that_cannot_be_registered_is_left_out_and_named(home: Home, folder: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (216, 324, 3), dtype=np.uint8)
    write_png(folder / "000009.png", noise)
    result = published_without(home.run("stack", folder), 18, "000009.png", "match", home=home)
    whole = home.run("stack", folder, "-o", home.folder / "without")
    assert whole.code == 18
    assert np.array_equal(pixels(result), pixels(home.folder / "without"))


def test_nothing_but_bad_frames(home: Home, folder: Path) -> None:
    for path in list(folder.iterdir())[:-1]:
        path.write_bytes(path.read_bytes()[:5000])
    refused(home.run("stack", folder), 11, "two frames", "000", "damaged", home=home)


def test_a_name_that_is_no_text(home: Home, folder: Path) -> None:
    (folder / "000002.jpg").rename(folder / os.fsdecode(b"000002\xff.jpg"))
    _published_unread(home.run("stack", folder), 20, r"000002\udcff.jpg cannot be used: its name is not UTF-8", home)


def _published_unread(said: Said, code: int, fragment: str, home: Home) -> None:
    assert said.code == code, said.sentences
    _no_traceback(said)
    (warning,) = said.faults
    (result,) = published(home.outbound)
    assert fragment in warning
    assert any(fragment in one for one in manifest(result)["warnings"])
    assert said.out.startswith(f"published  {FRAMES - 1} frames")


def test_a_folder_whose_name_is_no_text(home: Home, folder: Path) -> None:
    strange = folder.rename(folder.with_name(os.fsdecode(b"beetles\xff")))
    refused(home.run("stack", strange), 15, r"beetles\udcff: its name is not UTF-8", home=home)


# --- places to write to -----------------------------------------------------------------------------------------------


def test_a_file_in_the_place_of_outbound(home: Home, folder: Path) -> None:
    home.data.mkdir()
    home.outbound.write_text("mine")
    for arguments in (["stack", folder], ["shoot", home.recipe()]):
        said = home.run(*arguments)
        assert (said.code, len(said.sentences)) == (16, 1), said.sentences
        assert str(home.outbound) in said.sentences[0]
        _no_traceback(said)
    assert home.outbound.read_text() == "mine"
    assert not said.event("rail.homed"), "nothing has moved"


def test_a_file_in_the_place_of_the_results(home: Home, folder: Path) -> None:
    mine = home.folder / "mine.txt"
    mine.write_text("mine")
    refused(home.run("stack", folder, "-o", mine), 16, mine, "not a folder", home=home)
    assert mine.read_text() == "mine"
    assert not list(home.folder.glob("mine*.v2"))


def test_a_file_on_the_way_to_the_results(home: Home, folder: Path) -> None:
    mine = home.folder / "mine.txt"
    mine.write_text("mine")
    refused(home.run("stack", folder, "-o", mine / "out"), 16, mine, home=home)


@as_root
def test_an_outbound_that_cannot_be_written(home: Home, folder: Path, read_only: Path) -> None:
    refused(home.run("stack", folder, "-o", read_only / "out"), 16, read_only, "Read-only", home=home)


@pytest.mark.parametrize("mode", [0o000, 0o500])
def test_somebody_elses_outbound(home: Home, folder: Path, mode: int) -> None:
    theirs = home.folder / "theirs"
    theirs.mkdir(mode=mode)
    refused(home.run("stack", folder, "-o", theirs / "out", humbly=True), 16, theirs, "Permission denied", home=home)
    theirs.chmod(0o700)


def test_somebody_elses_data_folder(home: Home, folder: Path) -> None:
    home.data.mkdir(mode=0)
    said = home.run("stack", folder, humbly=True)
    home.data.chmod(0o700)
    refused(said, 16, home.data, "yours to write", home=home)


@as_root
def test_a_full_outbound_is_found_before_anything_is_done(home: Home, folder: Path, tiny: Path) -> None:
    refused(home.run("stack", folder, "-o", tiny / "out"), 17, tiny, "free some space", home=home)
    assert not list(tiny.iterdir())


@as_root
def test_an_outbound_that_fills_up_leaves_nothing_half_written(home: Home, tmp_path: Path) -> None:
    """The disk has the room that preflight wants, and another program takes it while the frames are shot."""
    full = tmp_path / "full"
    for outbound in _mounted(full, "size=204m"):
        home.config.write_text(yaml.safe_dump(settings(store={"outbound": str(outbound)})))
        command = home.command("shoot", home.recipe(frames=20))
        at = command.index("--data")
        config = yaml.safe_load(home.config.read_text())
        config["store"]["root"] = str(home.data)
        home.config.write_text(yaml.safe_dump(config))
        del command[at : at + 2]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if b"frame.stored" in line:
                    break
            with (outbound / "film.mkv").open("wb") as film:
                try:
                    for _ in range(300):
                        film.write(bytes(1 << 20))
                except OSError:
                    pass
            _, error = process.communicate(timeout=60)
        sentences = [line for line in error.decode().splitlines() if not line.startswith("{")]
        assert process.returncode == 17, sentences
        assert len(sentences) == 1
        assert "no space left" in sentences[0] and "20 frames are safe" in sentences[0]
        assert [p.name for p in outbound.iterdir()] == ["film.mkv"]
        (outbound / "film.mkv").unlink()
        shoot_id = sentences[0].partition("--shoot ")[2].partition("`")[0]
        again = subprocess.run([*command[:-2], "stack", "--shoot", shoot_id], check=False, capture_output=True)
        assert again.returncode == 0, again.stderr


@as_root
def test_a_spool_that_fills_up_ends_the_shoot_with_its_frames_safe(home: Home, tmp_path: Path) -> None:
    for data in _mounted(tmp_path / "small", "size=206m"):
        home.data = data / "data"
        with home.start("shoot", home.recipe(frames=40)) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if b"frame.stored" in line and b'"frame_index": 2' in line:
                    break
            with (data / "film.mkv").open("wb") as film:
                try:
                    for _ in range(300):
                        film.write(bytes(1 << 20))
                except OSError:
                    pass
            _, error = process.communicate(timeout=60)
        sentences = [line for line in error.decode().splitlines() if not line.startswith("{")]
        assert process.returncode == 17, sentences
        assert len(sentences) == 1
        assert "no space left" in sentences[0] and "frames are safe" in sentences[0]
        assert not published(home.outbound)
        (data / "film.mkv").unlink()
        shoot_id = sentences[0].partition("--shoot ")[2].partition("`")[0]
        again = home.run("stack", "--shoot", shoot_id)
        assert again.code == 0, again.sentences


# --- recipes and configurations ---------------------------------------------------------------------------------------

RECIPES = {
    "outside the travel": ("from_mm: 10\nto_mm: 80\nframes: 5\n", 21, ["62.5000 mm", "0 to 60 mm", "change"]),
    "a step that is no number": ("from_mm: 10\nto_mm: 14\nstep_mm: .nan\n", 78, [":4: step_mm: ", "nan"]),
    "a negative step": ("from_mm: 10\nto_mm: 14\nstep_mm: -0.1\n", 78, [":4: step_mm: must be above 0, not -0.1"]),
    "a step of 0": ("from_mm: 10\nto_mm: 14\nstep_mm: 0\n", 78, [":4: step_mm: must be above 0, not 0"]),
    "an endless depth": ("from_mm: 10\ndepth_mm: .inf\nframes: 5\n", 78, [":3: depth_mm: ", "inf"]),
    "no frames": ("from_mm: 10\nto_mm: 14\nframes: 0\n", 78, [":4: frames: must be from 2 to 65535, not 0"]),
    "one frame": ("from_mm: 10\nto_mm: 14\nframes: 1\n", 78, [":4: frames: must be from 2 to 65535, not 1"]),
    "no depth": ("from_mm: 10\nto_mm: 10\nframes: 5\n", 78, [":3: to_mm: "]),
    "a step finer than the rail's": ("from_mm: 10\nto_mm: 10.001\nframes: 9\n", 21, ["finer than the rail's"]),
    "an unknown key": ("from_mm: 10\nto_mm: 14\nframe: 5\n", 78, [":4: frame: ", "did you mean frames?"]),
    "a key given twice": ("from_mm: 10\nto_mm: 14\nto_mm: 15\nframes: 5\n", 78, [":4: to_mm: given twice"]),
    "an even kernel": ("from_mm: 1\nto_mm: 4\nframes: 5\nmethod: {blur_px: 4}\n", 78, [":5: method.blur_px: ", "odd"]),
    "no recipe at all": ("", 78, []),
    "a path for a name": ("from_mm: 10\nto_mm: 14\nframes: 5\nspecimen_id: ../x\n", 78, [":5: specimen_id: "]),
    "a setting that the camera refuses": (
        "from_mm: 10\nto_mm: 14\nframes: 5\ncamera_settings: {aperture: 8}\n", 30, ["aperture"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RECIPES.values(), ids=RECIPES.keys())
def test_a_wrong_recipe_is_refused_before_anything_moves(home: Home, case: tuple[str, int, list[str]]) -> None:
    text, code, fragments = case
    path = home.recipe(f"name: beetle\n{text}" if text else "frames\n")
    said = home.run_here("shoot", path)
    refused(said, code, *fragments, *([path] if code == 78 else []), home=home)
    assert not said.event("rail.homed") or code == 30
    assert not said.event("rail.moved")


def test_a_missing_recipe(home: Home) -> None:
    refused(home.run("shoot", home.folder / "missing.yaml"), 78, "missing.yaml", "no such file", home=home)


OPTIONS = {
    "an even blur": (["--method", "lob", "--blur", "4"], 78, "blur_px: must be an odd number from 1 to 31, not 4"),
    "an even Laplacian": (["--method", "lob", "--laplacian", "6"], 78, "laplacian_px: must be an odd number"),
    "a negative threshold": (["--threshold-px", "-1"], 78, "threshold_px: must be above 0, not -1"),
    "a threshold that is no number": (["--threshold-px", "nan"], 78, "threshold_px: must be a finite number, not nan"),
}


@pytest.mark.parametrize("case", OPTIONS.values(), ids=OPTIONS.keys())
def test_a_wrong_option_is_refused(home: Home, photographs: Path, case: tuple[list[str], int, str]) -> None:
    arguments, code, fragment = case
    refused(home.run_here("stack", photographs, *arguments), code, fragment, home=home)


USAGES = {
    "a step that is no number": ["stack", "x", "--step-mm", "nan"],
    "a negative step": ["stack", "x", "--step-mm", "-0.1"],
    "nothing to stack": ["stack"],
    "compat without its method": ["stack", "x", "--compat"],
    "an unknown command": ["develop"],
    "an unknown choice": ["stack", "x", "--detector", "surf"],
}


@pytest.mark.parametrize("arguments", USAGES.values(), ids=USAGES.keys())
def test_a_wrong_command_line_shows_its_usage(home: Home, arguments: list[str]) -> None:
    said = home.run_here(*arguments)
    assert said.code == 64
    assert said.sentences[-1].startswith("Error: ")
    _no_traceback(said)


def test_an_unknown_shoot(home: Home) -> None:
    refused(home.run_here("stack", "--shoot", "yesterday"), 23, "'yesterday'", "focusrail shoots", home=home)


def test_a_good_configuration(home: Home) -> None:
    said = home.run("config", "check", home.config)
    assert (said.code, said.out, said.sentences) == (0, f"{home.config}: good\n", [])


CONFIGURATIONS = {
    "an unknown key": ("rail:\n  setle_s: 1\n", ":2: rail.setle_s: extra inputs are not permitted (did you mean"),
    "a key given twice": ("rail:\n  settle_s: 1\n  settle_s: 2\n", ":3: rail.settle_s: given twice, first on line 2"),
    "an even kernel": ("stacking:\n  method: {blur_px: 4}\n", ":2: stacking.method.blur_px: must be an odd number"),
    "no YAML": ("rail: {\n", ":2: "),
}  # fmt: skip


@pytest.mark.parametrize("case", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_a_wrong_configuration_is_refused(home: Home, case: tuple[str, str]) -> None:
    text, fragment = case
    home.config.write_text(text)
    for arguments in (["config", "check", home.config], ["shoot", home.recipe()]):
        refused(home.run_here(*arguments), 78, f"{home.config}{fragment}", home=home)


def test_a_missing_configuration(home: Home) -> None:
    home.config.unlink()
    refused(home.run("shoots"), 78, home.config, "no such file", home=home)


def test_a_journal_that_is_none(home: Home) -> None:
    home.data.mkdir()
    (home.data / "journal.sqlite").write_text("Dear diary,\n" * 1000)
    refused(home.run_here("shoots"), 16, home.data / "journal.sqlite", "damaged", home=home)


@pytest.mark.parametrize(("reference", "count"), [("first", 1), ("first", 2), ("middle", 1)])
def test_strangers_in_front_are_left_out_and_the_others_are_stacked(
    home: Home, folder: Path, reference: str, count: int
) -> None:
    for number in range(count):
        (folder / f"{number:06d}.jpg").unlink()
        stranger(folder / f"{number:06d}.png", seed=9)  # two are the same, and fit each other
    said = home.run("stack", folder, "--reference", reference)
    assert said.code == 18, said.sentences
    assert any(f"000000.{suffix}" in line for suffix in ("png",) for line in said.sentences if "left out" in line)
    assert len(said.event("stack.begun_again")) == (reference == "first"), "else it began in the middle anyway"
    (result,) = published(home.outbound)
    frames = manifest(result)["frames"]
    assert [frame["used"] for frame in frames] == [False] * count + [True] * (len(frames) - count)
    assert not frames[0]["unwanted"]
    without = ",".join(map(str, range(count)))
    assert home.run("stack", folder, "--reference", reference, "--without", without).code == 0
    first, second = (pixels(one).astype(float) for one in published(home.outbound))
    assert first.shape == second.shape
    assert np.abs(first - second).mean() < 0.5, "nearly as if they had never been there"


@pytest.mark.parametrize("reference", ["first", "last"])
def test_a_stack_may_begin_far_out_of_focus(home: Home, folder: Path, reference: str) -> None:
    names = sorted(folder.iterdir())
    for path, sigma in zip(names, (25, 16), strict=False):
        cv2.imwrite(str(path), cv2.GaussianBlur(photograph(path), (0, 0), sigma))
    said = home.run("stack", folder, "--reference", reference)
    assert said.code in (0, 18), said.sentences
    (result,) = published(home.outbound)
    assert all(frame["used"] for frame in manifest(result)["frames"][2:]), said.sentences


def test_strangers_only_are_not_stacked_whichever_is_left_out(home: Home, tmp_path: Path) -> None:
    for count in (2, 3):
        folder = tmp_path / f"strangers-{count}"
        folder.mkdir()
        for seed in range(count):
            stranger(folder / f"{seed}.png", seed=20 + seed)
        said = home.run("stack", folder)
        assert said.code == 11
        assert ("if 0.png is not of this stack, leave it out: --without 0" in said.sentences[-1]) == (count > 2)
        assert len(said.event("stack.begun_again")) == (count > 2)
    assert not home.outbound.exists() or not published(home.outbound)


def test_where_all_others_are_unwanted_the_last_frame_is_not_called_a_stranger(home: Home, folder: Path) -> None:
    count = len(list(folder.iterdir()))
    said = home.run("stack", folder, "--without", f"0-{count - 2}")
    assert said.code == 11
    assert "there is 1" in said.sentences[-1]
    assert "--without" not in said.sentences[-1]
    assert not said.event("stack.begun_again")


def stranger(path: Path, *, seed: int) -> None:
    write_png(path, cv2.resize(texture(300, 400, seed=seed), (324, 216)))


def test_many_frames_left_out_do_not_flood_the_terminal(home: Home, folder: Path) -> None:
    for number in range(20, 40):
        (folder / f"0000{number}.jpg").write_bytes(b"\xff\xd8\xff broken")
    said = home.run("stack", folder)
    (line,) = [line for line in said.sentences if "were left out" in line]
    assert "and 15 more, see the table of frames" in line
