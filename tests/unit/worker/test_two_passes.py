"""A method that looks at the frames twice, in the stacking process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest

from focusrail.errors import OriginalChanged
from focusrail.model.frame import FrameRecord, Original
from focusrail.model.method import Method
from focusrail.store.image_io import Metadata
from focusrail.worker.messages import Begin, Finish, Finished, LookedAgain
from focusrail.worker.stack import Stack
from peers.textures import texture

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
SHARP = texture(160, 240)
BLURRED = cv2.GaussianBlur(SHARP, (0, 0), 3)
FRAMES = 4
RECORDS = [
    FrameRecord("s1", k, float(k), NOON, (Original(Path(f"/spool/{k}.jpg"), "0" * 64, 12, "image/jpeg"),), {})
    for k in range(FRAMES)
]
Run = Callable[..., list[object]]


def picture(index: int) -> np.ndarray:
    """Sharp in its own quarter."""
    frame = BLURRED.copy()
    frame[:, index * 60 : (index + 1) * 60] = SHARP[:, index * 60 : (index + 1) * 60]
    return frame


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with ThreadPoolExecutor(2) as executor:

        def stack(read: Callable[[FrameRecord], np.ndarray], **begin: object) -> list[object]:
            said: list[object] = []
            method = Method(fusion="depthmap", aligned=True, normalise_exposure=False)
            begun = Begin("s1", "a", None, "rig", NOON, 1, method, tmp_path, "mm", live_every=1, **begin)  # type: ignore[arg-type]
            made = Stack(begun, said.append, executor=executor, read=read)
            for record in RECORDS:
                examined = made.examine(record, picture(record.index))
                made.fuse(record, made.register(record, examined, Metadata()), began_s=0.0)
            made.finish(Finish())
            return said

        yield stack


def result(folder: Path) -> np.ndarray:
    return cv2.imread(str(folder / "result.tif"))


def test_each_frame_is_read_again_and_told_of(run: Run, tmp_path: Path) -> None:
    again: list[int] = []

    def read(record: FrameRecord) -> np.ndarray:
        again.append(record.index)
        return picture(record.index)

    said = run(read, live=tmp_path / "live.jpg")
    assert again == [0, 1, 2, 3]
    assert [e for e in said if isinstance(e, LookedAgain)] == [LookedAgain(k, FRAMES) for k in range(1, FRAMES + 1)]
    off = np.abs(result(tmp_path).astype(int) - SHARP)
    for k in range(FRAMES):
        assert off[8:-8, k * 60 + 12 : k * 60 + 48].mean() < 1.5
    assert np.abs(BLURRED.astype(int) - SHARP).mean() > 5
    assert not (tmp_path / "live.jpg").exists(), "until then there is nothing to show"


def test_a_frame_that_has_changed_meanwhile_is_named_and_leaves_no_hole(run: Run, tmp_path: Path) -> None:
    def read(record: FrameRecord) -> np.ndarray:
        if record.index == 2:
            raise OriginalChanged("2.jpg is not what it was")
        return picture(record.index)

    (finished,) = (event for event in run(read) if isinstance(event, Finished))
    told = "frame 2 is not in the picture, only in its depth: 2.jpg is not what it was"
    assert told in finished.warnings
    assert told in json.loads((tmp_path / "shoot.json").read_text())["warnings"]
    off = np.abs(result(tmp_path)[8:-8].astype(int) - BLURRED[8:-8])
    assert off[:, 132:168].mean() < 1.5, "its place is taken by a neighbour, which is blurred there"
    assert set(np.unique(cv2.imread(str(tmp_path / "index.png"), cv2.IMREAD_UNCHANGED))) <= {0, 1, 3}
