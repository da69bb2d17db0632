from __future__ import annotations

from pathlib import Path

import numpy as np

from focusrail.worker.thumbnails import LONGEST_PX, Thumbnails
from peers.small_rig import photograph

FRAME = np.full((800, 1200, 3), 200, np.uint8)


def test_a_frame_is_kept_small_for_the_sheet_and_larger_for_the_screen(tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    Thumbnails(tmp_path / "published", shown).save(12, FRAME)
    assert photograph(tmp_path / "published" / "000012.jpg").shape[1] == 128
    assert photograph(shown / "000012.jpg").shape[1] == LONGEST_PX
    assert [path.name for path in shown.iterdir()] == ["000012.jpg"]


def test_no_stack_ends_because_none_can_be_shown(tmp_path: Path) -> None:
    (tmp_path / "shown").write_text("in the way")
    thumbnails = Thumbnails(tmp_path / "published", tmp_path / "shown")
    thumbnails.save(0, FRAME)
    assert (tmp_path / "published" / "000000.jpg").exists()


def test_a_spool_that_goes_away_ends_no_stack(tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    thumbnails = Thumbnails(tmp_path / "published", shown)
    shown.rmdir()
    for index in range(2):
        thumbnails.save(index, FRAME)
    assert len(list((tmp_path / "published").iterdir())) == 2
