from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from focusrail.capture.events import Published
from focusrail.errors import exit_code
from focusrail.model.method import Method, notebook
from focusrail.service import Service
from focusrail.store.image_io import Metadata, write_png, write_tiff
from peers.negative import negative
from peers.small_rig import FRAMES, Home, manifest, photograph, pixels, published, small_rig

IDENTITY = [1, 0, 0, 0, 1, 0, 0, 0, 1]
Stack = Callable[..., Published]


@pytest.fixture
def stack(tmp_path: Path, request: pytest.FixtureRequest) -> Stack:
    """Stack a folder; `threads` as in the configuration."""

    def run(folder: Path, *, threads: int = 2, **options: Any) -> Published:
        service = Service(small_rig(tmp_path / "data", stacking={"threads": threads}))
        try:
            return service.stack_folder(folder, **options)[1]
        finally:
            service.close()

    return run


@pytest.fixture
def few(photographs: Path, tmp_path: Path) -> Path:
    """Four of the photographs, which is quick."""
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted(photographs.iterdir())[2:6]:
        shutil.copy(path, folder)
    return folder


def test_photographs_are_read_in_natural_order_and_the_rest_is_named(home: Home, photographs: Path) -> None:
    folder = home.folder / "beetle"
    folder.mkdir()
    for number, path in enumerate(sorted(photographs.iterdir()), 4):
        shutil.copy(path, folder / f"Frame {number}.{'JPEG' if number % 2 else 'jpg'}")
    (folder / "raw.NEF").write_bytes(b"II*\0")
    (folder / "notes.txt").write_text("aphids")
    (folder / ".hidden.jpg").write_text("not looked at")
    said = home.run_here("stack", folder)
    assert said.code == 0
    assert said.faults == [f"skipped    {name}: not a JPEG, PNG or TIFF file" for name in ("notes.txt", "raw.NEF")]
    (result,) = published(home.outbound)
    page = manifest(result)
    assert [f["file"].split(".")[0] for f in page["frames"]] == [f"Frame {k}" for k in range(4, 4 + FRAMES)]
    assert page["shoot"]["name"] == "beetle"
    assert page["shoot"]["source"] == str(folder)


@pytest.mark.parametrize(("reference", "index"), [("first", 0), ("middle", 2), ("last", 3)])
def test_the_others_are_laid_on_the_reference(stack: Stack, few: Path, reference: str, index: int) -> None:
    done = stack(few, method=Method(reference=reference, crop=False))
    frames = manifest(done.folder)["frames"]
    assert [k for k, frame in enumerate(frames) if np.allclose(frame["transform"], IDENTITY, atol=1e-9)] == [index]
    assert all(frame["used"] for frame in frames)
    # Focus breathing: what is nearer to the lens is larger, so the scale tells the order of the frames.
    scales = [np.hypot(*frame["transform"][:4:3]) for frame in frames]
    assert scales == sorted(scales) or scales == sorted(scales, reverse=True)


def test_the_automatic_reference_has_the_smallest_field_wherever_it_stands(
    stack: Stack, few: Path, tmp_path: Path
) -> None:
    def kept(folder: Path, reference: str) -> tuple[int, list[float]]:
        page = manifest(stack(folder, method=Method(reference=reference)).folder)
        scales = [float(np.hypot(*frame["transform"][:4:3])) for frame in page["frames"]]
        return page["result"]["width_px"] * page["result"]["height_px"], scales

    sizes = {reference: kept(few, reference) for reference in ("first", "last", "auto")}
    assert sizes["auto"][0] == max(pixels for pixels, _ in sizes.values()) > min(pixels for pixels, _ in sizes.values())
    assert min(sizes["auto"][1]) == pytest.approx(1), "no frame shows less than the reference"
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    smallest = sizes["auto"][1].index(min(sizes["auto"][1]))
    order = [k for k in range(4) if k != smallest]
    for place, k in enumerate([order[0], smallest, *order[1:]]):
        shutil.copy(sorted(few.iterdir())[k], mixed / f"{place}.jpg")
    assert kept(mixed, "auto")[1].index(min(kept(mixed, "auto")[1])) == 1


def test_a_reference_that_cannot_be_read_is_replaced_by_its_neighbour(stack: Stack, few: Path) -> None:
    last = max(few.iterdir())
    last.write_bytes(last.read_bytes()[:3000])
    done = stack(few, method=Method(reference="last"))
    assert done.finished.frames_used == 3
    assert [exit_code(error) for error in done.left_out] == [13]
    assert np.allclose(manifest(done.folder)["frames"][2]["transform"], IDENTITY)


def test_what_the_command_line_says_reaches_the_method(home: Home, few: Path) -> None:
    said = home.run_here(
        *("stack", few, "--method", "lob", "--blur", "3", "--laplacian", "7", "--detector", "orb", "--model", "affine"),
        *("--estimator", "lmeds", "--threshold-px", "1.5", "--warp", "linear", "--no-crop", "--reference", "middle"),
        *("--step-mm", "0.5", "--debug"),
    )
    assert said.code == 0, said.sentences
    (result,) = published(home.outbound)
    page = manifest(result)
    method = page["method"]
    wanted = {"fusion": "lob", "blur_px": 3, "laplacian_px": 7, "reference": "middle", "warp": "linear", "crop": False}
    assert {key: method[key] for key in wanted} == wanted
    how = {"detector": "orb", "model": "affine", "estimator": "lmeds", "threshold_px": 1.5}
    assert {key: method["registration"][key] for key in how} == how
    assert page["result"]["depth_unit"] == "mm"
    assert [frame["position_mm"] for frame in page["frames"]] == [0, 0.5, 1.0, 1.5]
    assert (page["result"]["width_px"], page["result"]["height_px"]) == (324, 216)
    # Debug mode saves every stage of every frame.
    for stage in ("aligned", "measure"):
        assert [p.name for p in sorted((result / "debug" / stage).iterdir())] == [f"{k:06d}.png" for k in range(4)]
    assert photograph(result / "debug" / "winner.png").shape == (216, 324, 3)
    aligned = photograph(result / "debug" / "aligned" / "000002.png")
    assert np.array_equal(aligned, photograph(sorted(few.iterdir())[2])), "the reference is not moved"
    assert photograph(result / "debug" / "measure" / "000000.png").any()


def test_compat_is_the_notebooks_method(home: Home, few: Path) -> None:
    assert home.run_here("stack", few, "--method", "lob", "--compat").code == 0
    (result,) = published(home.outbound)
    page = manifest(result)
    wanted = notebook()
    assert page["method"]["registration"]["model"] == wanted.registration.model == "homography"
    assert (page["method"]["border"], page["method"]["crop"]) == ("black", False)
    assert pixels(result).shape[:2] == (216, 324)


def test_without_registration_faults_every_winner_is_a_pixel_of_its_frame(stack: Stack, few: Path) -> None:
    done = stack(few, method=Method(fusion="lob", crop=False, normalise_exposure=False), debug=True)
    aligned = np.stack([photograph(path) for path in sorted((done.folder / "debug" / "aligned").iterdir())])
    index = photograph(done.folder / "index.png")
    rows, columns = np.indices(index.shape)
    assert np.array_equal(pixels(done.folder)[..., ::-1], aligned[index, rows, columns])


def test_where_results_go(home: Home, few: Path) -> None:
    def run(out: Path) -> Path:
        before = set(home.folder.rglob("shoot.json"))
        said = home.run_here("stack", few, "-o", out)
        assert said.code == 0, said.sentences
        (page,) = set(home.folder.rglob("shoot.json")) - before
        assert f"{page.parent / 'result.jpg'}" in said.out
        return page.parent

    new, empty, full = home.folder / "a" / "new", home.folder / "empty", home.folder / "full"
    empty.mkdir()
    full.mkdir()
    (full / "thesis.tex").write_text("chapter 1")
    assert run(new) == new, "a new folder becomes the result"
    assert run(empty) == empty, "so does an empty one"
    first = (new / "shoot.json").read_bytes()
    assert run(new) == home.folder / "a" / "new.v2", "an earlier result stays, and the next lies beside it"
    assert (new / "shoot.json").read_bytes() == first
    assert manifest(home.folder / "a" / "new.v2")["version"] == 2
    assert run(full) == full / "few", "in any other folder a new one is made"
    assert (full / "thesis.tex").read_text() == "chapter 1"
    assert not published(home.outbound)


@pytest.fixture
def deep(few: Path, tmp_path: Path) -> dict[str, Path]:
    """The few photographs with 16 bits, as PNG and as TIFF."""
    folders = {}
    noise = np.random.default_rng(5)
    for kind in ("png", "tif"):
        folders[kind] = tmp_path / kind
        folders[kind].mkdir()
    for path in sorted(few.iterdir()):
        image = photograph(path).astype(np.uint16) * 257
        image = np.clip(image.astype(np.int32) + noise.integers(-100, 100, image.shape), 0, 65535).astype(np.uint16)
        write_png(folders["png"] / f"{path.stem}.png", image)
        write_tiff(folders["tif"] / f"{path.stem}.tif", image, Metadata(), description="")
    return folders


def test_16_bits_go_in_and_come_out(stack: Stack, deep: dict[str, Path]) -> None:
    results = {kind: stack(folder) for kind, folder in deep.items()}
    timings_s = manifest(results["png"].folder)["timings_s"]
    assert 0 < timings_s["saving"] < results["png"].finished.took_s, "the picture is safe before all else"
    images = {kind: pixels(done.folder) for kind, done in results.items()}
    assert images["png"].dtype == np.uint16
    assert np.array_equal(images["png"], images["tif"]), "the same pixels give the same result, whatever they came in"
    assert len(np.unique(images["png"])) > 256
    eight = photograph(results["png"].folder / "result.jpg").astype(int)
    assert np.abs(eight - cv2.cvtColor(images["png"], cv2.COLOR_RGB2BGR) / 257).mean() < 4


def test_raw_files_go_in_and_sixteen_bits_come_out(stack: Stack, few: Path, tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    folder = tmp_path / "raw"
    folder.mkdir()
    for path in sorted(few.iterdir()):
        share = cv2.cvtColor(photograph(path), cv2.COLOR_BGR2RGB) / 255
        light = 65535 * np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        (folder / f"{path.stem}.dng").write_bytes(negative(light, make="Maker of cameras"))
    raw, jpeg = stack(folder), stack(few)
    assert raw.finished.frames_used == 4
    assert pixels(raw.folder).dtype == np.uint16
    (one, other) = (photograph(done.folder / "result.jpg")[8:200, 8:300].astype(int) for done in (raw, jpeg))
    assert np.abs(one - other).mean() < 6, "demosaicing costs a little"
    with tifffile.TiffFile(raw.folder / "result.tif") as file:
        assert file.pages.first.tags["Make"].value == "Maker of cameras"


def test_a_frame_of_another_depth_is_left_out_and_named(stack: Stack, few: Path, deep: dict[str, Path]) -> None:
    shutil.copy(deep["png"] / "000003.png", few / "000009.png")
    done = stack(few)
    assert [exit_code(error) for error in done.left_out] == [12]
    assert "000009.png is 324 x 216 px at 16 bit, the first frame is 324 x 216 px at 8 bit" in str(done.left_out[0])


@pytest.mark.parametrize("fusion", ["soft", "lob", "pyramid", "depthmap"])
def test_pixels_do_not_depend_on_threads(stack: Stack, few: Path, fusion: str) -> None:
    results = [stack(few, threads=threads, method=Method(fusion=fusion)) for threads in (1, 2, 4)]
    for name in ("result.tif", "depth.tif", "index.png"):
        one, *others = (photograph(done.folder / name) for done in results)
        assert all(np.array_equal(one, other) for other in others), name


def test_shoots_are_listed_with_their_versions(home: Home, few: Path) -> None:
    assert home.run_here("stack", few).code == 0
    said = home.run_here("shoots")
    (result,) = published(home.outbound)
    first, second = said.out.splitlines()
    assert first.split()[1:] == ["published", "4", "frames", "few"]
    assert second == f"    version 1: {result}"
    again = home.run_here("stack", "--shoot", first.split()[0])
    assert again.code == 0
    assert np.array_equal(pixels(result), pixels(result.with_name(result.name + ".v2")))


def test_two_passes_give_a_picture_that_lies_on_that_of_one(stack: Stack, few: Path) -> None:
    one, two = (stack(few, method=Method(fusion=fusion, reference="middle")) for fusion in ("bands", "depthmap"))
    assert manifest(two.folder)["result"]["crop"] == manifest(one.folder)["result"]["crop"]
    assert np.array_equal(photograph(two.folder / "depth.tif"), photograph(one.folder / "depth.tif"))
    off = np.abs(pixels(two.folder).astype(int) - pixels(one.folder))
    assert off.mean() < 4
    assert [f["used"] for f in manifest(two.folder)["frames"]] == [True] * 4


def test_slabs_are_refused_before_a_method_of_two_passes_begins(home: Home, few: Path) -> None:
    said = home.run_here("stack", few, "--method", "depthmap", "--slab-frames", "2")
    assert said.code != 0
    told = " ".join(said.sentences)
    assert "slab_frames" in told and "depthmap" in told and "two passes" in told
    assert not published(home.outbound)
    assert home.run_here("stack", few, "--method", "depthmap", "--save-aligned").code == 0
    (result,) = published(home.outbound)
    assert len(list((result / "aligned").iterdir())) == 4
