from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import PurePosixPath

import numpy as np

from focusrail.model.outcome import FrameOutcome, Judgement, StackOutcome
from focusrail.worker.manifest import SCHEMA_VERSION, FileFacts, manifest, plain, to_json, utc_text

NOON = datetime(2025, 5, 17, 12, 0, tzinfo=timezone.utc)
OUTCOME = StackOutcome(
    shoot_id="20250517-120000-ant",
    name="Ant",
    specimen_id=None,
    version=1,
    source="folder",
    created_at=NOON,
    size_px=(640, 480),
    bit_depth=16,
    depth_unit="mm",
    frames=(
        FrameOutcome(0, "a.jpg", 1.0, NOON, True, residual_px=math.nan, gain=1.02, gain_bgr=(0.98, 1.02, 1.03)),
        FrameOutcome(1, "b\udcff.jpg", None, NOON, False, reason="truncated"),
    ),
    settings={"fusion": "soft"},
    timings_s={"fuse": math.inf},
    versions={"focusrail": "0"},
)
FILES = {"result.tif": FileFacts("ab" * 32, 12), "depth.png": FileFacts("cd" * 32, 7)}


def _round_trip(outcome: StackOutcome) -> dict[str, object]:
    text = to_json(manifest(outcome, FILES))
    page: dict[str, object] = json.loads(text.encode("utf-8"))
    return page


def test_the_manifest_is_strict_json_that_reads_back_as_it_was() -> None:
    text = to_json(manifest(OUTCOME, FILES))
    assert "NaN" not in text
    assert "Infinity" not in text
    assert _round_trip(OUTCOME) == manifest(OUTCOME, FILES)


def test_numbers_that_are_not_finite_become_null() -> None:
    page = manifest(OUTCOME, FILES)
    assert page["frames"][0]["residual_px"] is None  # type: ignore[index]
    assert page["timings_s"] == {"fuse": None}


def test_gains_are_told_of_grey_and_of_the_colours_in_the_order_of_colours() -> None:
    page = manifest(OUTCOME, FILES)["frames"][0]  # type: ignore[index]
    assert page["gain"] == 1.02
    assert tuple(page["gain_rgb"]) == (1.03, 1.02, 0.98)


def test_keys_and_files_always_come_in_the_same_order() -> None:
    swapped = dict(reversed(FILES.items()))
    assert to_json(manifest(OUTCOME, FILES)) == to_json(manifest(OUTCOME, swapped))
    page = manifest(OUTCOME, FILES)
    assert list(page)[:3] == ["schema_version", "shoot", "version"]
    assert page["schema_version"] == SCHEMA_VERSION
    assert list(page["files"]) == ["depth.png", "result.tif"]  # type: ignore[call-overload]


def test_every_file_is_listed_with_its_hash_and_size() -> None:
    assert manifest(OUTCOME, FILES)["files"] == {
        "depth.png": {"sha256": "cd" * 32, "size_bytes": 7},
        "result.tif": {"sha256": "ab" * 32, "size_bytes": 12},
    }


def test_each_frame_and_each_file_has_a_line_of_its_own() -> None:
    lines = to_json(manifest(OUTCOME, FILES)).splitlines()
    assert sum('"index":' in line for line in lines) == 2
    assert sum('"sha256":' in line for line in lines) == 2


def test_judgement_and_crop_are_named_not_numbered() -> None:
    page = manifest(
        replace(OUTCOME, crop=(1, 2, 3, 4), judgement=Judgement(30, 0.9, 0.2, 0.7, math.nan, 0.1, 0.02, 0.5)), FILES
    )
    assert page["result"]["crop"] == {"x": 1, "y": 2, "width": 3, "height": 4}  # type: ignore[index]
    assert page["judgement"]["psnr_db"] == 30  # type: ignore[index]
    assert page["judgement"]["depth_rms_mm"] is None  # type: ignore[index]
    assert page["judgement"]["depth_rms_steps"] == 0.1  # type: ignore[index]
    assert page["judgement"]["depth_beyond_step"] == 0.02  # type: ignore[index]


def test_times_are_utc_with_a_z() -> None:
    assert utc_text(NOON) == "2025-05-17T12:00:00Z"
    assert utc_text(NOON.astimezone(timezone(timedelta(hours=2)))) == "2025-05-17T12:00:00Z"
    assert utc_text(NOON.replace(tzinfo=None)) == "2025-05-17T12:00:00Z"


def test_whatever_a_recipe_holds_becomes_plain() -> None:
    values = {"path": PurePosixPath("/a"), "n": np.float32(0.5), "k": np.arange(2), "at": NOON, "t": (1, True), 3: {2}}
    assert plain(values) == {
        "path": "/a", "n": 0.5, "k": [0, 1], "at": "2025-05-17T12:00:00Z", "t": [1, True], "3": [2],
    }  # fmt: skip
