"""Where the accumulated planes lie."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from focusrail.worker.planes import Planes


def test_planes_lie_in_memory_until_the_budget_is_used_and_then_in_a_file(tmp_path: Path) -> None:
    planes = Planes(tmp_path, budget_bytes=4_000_000)
    first, second = planes((3, 1000, 1000), np.uint8), planes((1000, 1000), np.uint16)
    assert not isinstance(first, np.memmap)
    assert isinstance(second, np.memmap)
    assert (planes.memory_bytes, planes.file_bytes) == (3_000_000, 2_000_000)
    assert second.shape == (1000, 1000)
    assert second.dtype == np.uint16
    assert not second.any()
    second[...] = 7
    assert (second == 7).all()
    assert not list(tmp_path.iterdir()), "the file has no name, and goes with the process"


def test_a_disk_without_room_is_told_before_anything_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = os.statvfs(tmp_path)
    planes = Planes(tmp_path, budget_bytes=1_000_000)
    with pytest.raises(OSError, match=r"No space left|File too large"):
        planes((room.f_bavail * room.f_frsize + (1 << 30),), np.uint8)
