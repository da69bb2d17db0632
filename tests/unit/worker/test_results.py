from __future__ import annotations

import hashlib
import json
import time
import tracemalloc
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from focusrail.model.outcome import FrameOutcome, StackOutcome
from focusrail.stacking.depth_map import DepthMap
from focusrail.stacking.focus_peak import PeakTracker
from focusrail.stacking.fusion import Fused
from focusrail.stacking.pipeline import Result
from focusrail.store.image_io import Metadata, encode_jpeg
from focusrail.worker.reduction import thumbnail
from focusrail.worker.report import FILES
from focusrail.worker.results import (
    depth_to_show,
    save_contact_sheet,
    save_depth,
    save_image,
    save_index,
    save_report,
    shown,
)
from focusrail.worker.scratch import Scratch
from focusrail_drivers.accelerators.cpu import CpuAccelerator

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def frames(count: int, left_out: set[int]) -> list[FrameOutcome]:
    return [
        FrameOutcome(index=k, file=f"{k}.jpg", position_mm=None, exposed_at=NOON, used=k not in left_out)
        for k in range(count)
    ]


@pytest.mark.parametrize("count", [0, 1, 399, 400])
def test_a_contact_sheet_shows_all_of_a_usual_stack(count: int) -> None:
    assert shown(frames(count, {3})) == frames(count, {3})


@pytest.mark.parametrize("count", [401, 799, 800, 3000])
@pytest.mark.parametrize("left_out", [set(), {1, 2, 400}, set(range(3000))], ids=["none", "three", "all"])
def test_of_a_long_stack_it_shows_those_left_out_and_some_of_all_others(count: int, left_out: set[int]) -> None:
    chosen = shown(frames(count, left_out))
    indices = [f.index for f in chosen]
    assert 200 <= len(chosen) <= 400
    assert indices == sorted(set(indices))
    assert len(left_out) > 200 or left_out <= set(indices)


def made(folder: Path, *, height: int, width: int, dtype: type = np.uint8) -> tuple[Result, float]:
    """A result of so many pixels, with everything that is written of it; and how long it took until what (s)."""
    rng = np.random.default_rng(3)
    image = cv2.resize(rng.integers(0, np.iinfo(dtype).max, (height // 4, width // 4, 3), dtype), (width, height))
    index = cv2.resize(rng.integers(0, 20, (height // 8, width // 8), np.uint16), (width, height))
    tracker = PeakTracker(image[:8, :8], CpuAccelerator())
    result = Result(
        Fused(image, index),
        (0, 0, width, height),
        dict.fromkeys(range(20), 0.05),
        tracker,
    )
    (folder / "thumbnails").mkdir()
    for frame in range(20):
        (folder / "thumbnails" / f"{frame:06d}.jpg").write_bytes(encode_jpeg(thumbnail(image)))
    outcome = StackOutcome(
        shoot_id="a",
        name="beetle",
        specimen_id=None,
        version=1,
        source="rig",
        created_at=NOON,
        size_px=(width, height),
        bit_depth=8,
        depth_unit="mm",
        frames=tuple(frames(20, {3})),
        settings={},
        timings_s={},
        versions={},
        lateral_um_per_px=2.5,
    )
    depth = depth_of(result)
    began_s = time.process_time()
    with Scratch(folder) as scratch:
        save_image(scratch, result, Metadata(), title="beetle", um_per_px=2.5)
        save_contact_sheet(scratch, outcome.frames)
        save_index(scratch, result)
        save_depth(scratch, depth, title="beetle", unit="mm", um_per_px=2.5)
        save_report(scratch, result, depth, outcome)
    return result, time.process_time() - began_s


def depth_of(result: Result) -> DepthMap:
    height, width = result.fused.index.shape
    sure = np.ones(((height + 1) // 2, (width + 1) // 2), np.float32)
    return DepthMap(result.fused.index * np.float32(0.05) + np.float32(10), 0.05, sure, (0, 0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_all_that_is_written_is_whole_and_in_the_manifest(tmp_path: Path, dtype: type) -> None:
    result, _ = made(tmp_path, height=403, width=605, dtype=dtype)
    page = json.loads((tmp_path / "shoot.json").read_text())
    assert set(page["files"]) == {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()} - {
        "shoot.json"
    }
    for name, fact in page["files"].items():
        assert fact["sha256"] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest(), name
    always = {name for name in FILES if not name.endswith("/")} - {"surface.glb"}  # those are there when asked for
    assert always | {"report.html", "thumbnails"} == {p.name for p in tmp_path.iterdir()}
    assert np.array_equal(tifffile.imread(tmp_path / "result.tif")[..., ::-1], result.fused.image)
    assert np.array_equal(cv2.imread(str(tmp_path / "index.png"), cv2.IMREAD_UNCHANGED), result.fused.index)
    assert tifffile.imread(tmp_path / "depth.tif").shape == (403, 605)
    sure = cv2.imread(str(tmp_path / "confidence.png"), cv2.IMREAD_UNCHANGED)
    assert sure.shape == (403, 605)
    assert sure.dtype == np.uint8
    assert (sure == 255).all()
    report = (tmp_path / "report.html").read_text()
    assert all(f'href="./{name}"' in report for name in always)


def test_what_is_written_takes_little_memory_beyond_the_planes(tmp_path: Path) -> None:
    height, width = 1000, 1500
    tracemalloc.start()
    try:
        result, _ = made(tmp_path, height=height, width=width)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        with Scratch(tmp_path) as scratch:
            save_image(scratch, result, Metadata(), title="beetle", um_per_px=None)
            save_index(scratch, result)
            save_depth(scratch, depth_of(result), title="beetle", unit="mm", um_per_px=None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Depth and confidence take eight bytes a pixel and their pyramid three; float planes of three channels took 33.
    assert (peak - before) / (height * width) < 16


@pytest.mark.slow
def test_a_large_result_is_written_in_few_seconds(tmp_path: Path) -> None:
    # Of the processor's time, since other processes may be at work beside a test; the wall's is in benchmarks/.
    _, took_s = made(tmp_path, height=4000, width=6000)
    assert took_s < 4


def bumpy(height: int, width: int, corner: tuple[int, int]) -> DepthMap:
    rng = np.random.default_rng(8)
    half = ((height + 1 + corner[0]) // 2, (width + 1 + corner[1]) // 2)
    sure = cv2.resize(rng.uniform(0, 1, (half[0] // 12, half[1] // 12)).astype(np.float32), half[::-1])
    depth = np.where(np.arange(width) // 40 % 2 == 0, np.float32(11), np.float32(14)) + np.zeros(
        (height, 1), np.float32
    )
    return DepthMap(depth, 0.05, sure, corner)


@pytest.mark.parametrize("corner", [(0, 0), (1, 0), (1, 1)])
def test_what_is_shown_as_unknown_is_what_was_not_measured(corner: tuple[int, int]) -> None:
    depth = bumpy(481, 640, corner)
    shown_depth, sure, zoom = depth_to_show(depth, 640)
    assert zoom == 1
    unknown = np.isnan(shown_depth)
    assert 0.05 < depth.hole().mean() < 0.4
    assert (unknown != depth.hole()).mean() < 0.002, "but for rounding"
    assert np.array_equal(shown_depth[~unknown], depth.depth[~unknown])
    assert np.abs(sure - depth.confidence()).max() < 0.03


@pytest.mark.parametrize("longest_px", [320, 200, 97])
def test_a_smaller_picture_of_the_depth_invents_none(longest_px: int) -> None:
    depth = bumpy(481, 640, (1, 1))
    shown_depth, sure, zoom = depth_to_show(depth, longest_px)
    assert zoom == longest_px / 640
    assert shown_depth.shape == sure.shape == (round(481 * zoom), longest_px)
    unknown = np.isnan(shown_depth)
    assert set(np.unique(shown_depth[~unknown])) == {11.0, 14.0}, "nothing between what is near and what is far"
    rows, columns = (
        ((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(shown_depth.shape, (481, 640), strict=True)
    )
    there = np.ix_(rows, columns)
    assert (unknown != depth.hole()[there]).mean() < 0.02
    assert (shown_depth[~unknown] == depth.depth[there][~unknown]).mean() > 0.98
