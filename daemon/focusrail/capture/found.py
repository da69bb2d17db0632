"""A version that lies in its place already: the process that published it was killed before it could journal that."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from focusrail.errors import FocusrailError, FrameError
from focusrail.model.frame import FrameRecord
from focusrail.model.shoot import Shoot
from focusrail.store.durable import file_sha256
from focusrail.worker.manifest import plain
from focusrail.worker.messages import Finished


def found(
    folder: Path, shoot: Shoot, records: Sequence[FrameRecord], *, version: int
) -> tuple[Finished, list[FocusrailError]] | None:
    """What stands in `folder` if it is that version of the shoot, made of all its frames by its own method, and whole.

    With it the frames that were left out. None: it is something else, or nothing; the stack has to be made.
    """
    try:
        page = json.loads((folder / "shoot.json").read_text(encoding="utf-8"))
        if not _is_of(page, shoot, records, version=version):
            return None
        if any(file_sha256(folder / name) != facts["sha256"] for name, facts in page["files"].items()):
            return None
        finished = Finished(
            size_px=(page["result"]["width_px"], page["result"]["height_px"]),
            frames_used=sum(frame["used"] for frame in page["frames"]),
            warnings=tuple(page["warnings"]),
            took_s=sum(page["timings_s"].values()),
            peak_memory_bytes=page["peak_memory_bytes"] or 0,
            measured_by=page["measured_by"],
        )
        left_out = [FrameError(frame["reason"]) for frame in page["frames"] if not frame["used"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # whatever lies there is none of ours
        return None
    return finished, list(left_out)


def _is_of(page: Mapping[str, Any], shoot: Shoot, records: Sequence[FrameRecord], *, version: int) -> bool:
    made = {frame["index"] for frame in page["frames"] if not frame["unwanted"]}
    return (
        (page["shoot"]["id"], page["version"]) == (shoot.shoot_id, version)
        and made == {record.index for record in records}
        and page["method"] == plain(asdict(shoot.method))
    )
