"""The manifest, shoot.json: what was asked for, what came of it, and a hash of every file beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import date, datetime, timezone
from enum import Enum
from pathlib import PurePath

from focusrail.model.outcome import FrameOutcome, StackOutcome

SCHEMA_VERSION = 1  # raised when a key changes its meaning or goes; new keys may come at any time


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A published file: enough to tell whether it is still what was published."""

    sha256: str
    size_bytes: int


def manifest(outcome: StackOutcome, files: Mapping[str, FileFacts]) -> dict[str, object]:
    """The manifest as plain JSON values, keys always in the same order, files by name.

    Times are ISO 8601 in UTC; a number that is not finite becomes null. A transform is row-major 3x3 and takes pixels
    of the frame to pixels of the reference frame; `crop` says where the result lies within the reference frame.
    """
    width_px, height_px = outcome.size_px
    crop = None if outcome.crop is None else dict(zip(("x", "y", "width", "height"), outcome.crop, strict=True))
    page = {
        "schema_version": SCHEMA_VERSION,
        "shoot": {
            "id": outcome.shoot_id,
            "name": outcome.name,
            "specimen_id": outcome.specimen_id,
            "source": outcome.source,
            "created_at": outcome.created_at,
        },
        "version": outcome.version,
        "result": {
            "width_px": width_px,
            "height_px": height_px,
            "bit_depth": outcome.bit_depth,
            "depth_unit": outcome.depth_unit,
            "far_is_high": outcome.far_is_high,
            "lateral_um_per_px": outcome.lateral_um_per_px,
            "crop": crop,
        },
        "warnings": outcome.warnings,
        "judgement": outcome.judgement,
        "recipe": outcome.recipe,
        "without": [frame.index for frame in outcome.frames if frame.unwanted],
        "method": outcome.settings,
        "measured_by": outcome.measured_by,
        "software": outcome.versions,
        "timings_s": outcome.timings_s,
        "needed_memory_bytes": outcome.needed_memory_bytes,
        "peak_memory_bytes": outcome.peak_memory_bytes,
        "frames": [_frame(frame) for frame in outcome.frames],
        "files": {name: files[name] for name in sorted(files)},
    }
    return {key: plain(value) for key, value in page.items()}


def to_json(page: Mapping[str, object]) -> str:
    """The manifest as JSON text, one line a frame and one a file, so that people can read, grep and compare it."""
    parts = []
    for key, value in page.items():
        if isinstance(value, Mapping) and value:
            body = ",\n".join(f"    {_dump(name)}: {_dump(item)}" for name, item in value.items())
            text = f"{{\n{body}\n  }}"
        elif isinstance(value, list) and value:
            body = ",\n".join(f"    {_dump(item)}" for item in value)
            text = f"[\n{body}\n  ]"
        else:
            text = _dump(value)
        parts.append(f"  {_dump(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def plain(value: object) -> object:
    """The value in JSON's own types: dict, list, str, int, float, bool, None. What has no JSON form becomes text."""
    if isinstance(value, Enum):
        return plain(value.value)
    if hasattr(value, "tolist"):  # numpy's values and arrays, without importing it for those who have none
        return plain(value.tolist())
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return utc_text(value)
    if isinstance(value, (date, PurePath)):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    return str(value)


def utc_text(moment: datetime) -> str:
    """ISO 8601 in UTC with a Z; a time without a zone is taken to be UTC."""
    aware = moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
    return aware.isoformat().replace("+00:00", "Z")


def _frame(frame: FrameOutcome) -> dict[str, object]:
    return {
        "index": frame.index,
        "place": frame.place,
        "file": frame.file,
        "position_mm": frame.position_mm,
        "exposed_at": frame.exposed_at,
        "used": frame.used,
        "reason": frame.reason,
        "unwanted": frame.unwanted,
        "predicted": frame.predicted,
        "suspect": frame.suspect,
        "transform": frame.transform,
        "matches": frame.matches,
        "inliers": frame.inliers,
        "residual_px": frame.residual_px,
        "gain": frame.gain,
        "gain_rgb": frame.gain_bgr[::-1],
        "sharpness": frame.sharpness,
        "won": frame.won,
        "took_s": frame.took_s,
    }


def _dump(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    # A file name that is no UTF-8 arrives with lone surrogates; as escapes they survive the way through JSON.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
