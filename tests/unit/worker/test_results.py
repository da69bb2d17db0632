from __future__ import annotations

from datetime import datetime, timezone

import pytest

from focusrail.model.outcome import FrameOutcome
from focusrail.worker.results import shown

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
