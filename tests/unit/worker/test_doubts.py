from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from focusrail.model.outcome import FrameOutcome
from focusrail.stacking.features import ADVICE
from focusrail.stacking.reach import Unreached
from focusrail.worker.doubts import left_out, poor_fit, reasons_of, small_crop, too_shallow, where

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def frame(index: int, *, used: bool = True, unwanted: bool = False, position_mm: float | None = None) -> FrameOutcome:
    reason = "" if used else f"{index}.jpg is damaged"
    return FrameOutcome(index, f"{index}.jpg", position_mm, NOON, used, reason=reason, unwanted=unwanted)


@pytest.mark.parametrize(
    ("ninths", "words"),
    [
        ([(0, 0)], "in the upper left"),
        ([(1, 1)], "in the middle"),
        ([(1, 0), (0, 1)], "in the left and upper"),
        ([(2, 2), (2, 0), (1, 2), (1, 1)], "in the lower right, lower left and right"),
        ([(r, c) for r in range(3) for c in range(3)], "nearly everywhere"),
    ],
)
def test_places_are_told_in_words_the_most_important_first(ninths: list[tuple[int, int]], words: str) -> None:
    assert where(ninths) == words


def test_the_frame_at_the_end_is_named_by_its_number_in_the_table() -> None:
    frames = [frame(0, used=False), frame(1, position_mm=10.6), frame(2, position_mm=11), frame(3, position_mm=11.4)]
    (first,) = too_shallow([Unreached(0, 0.123, ((2, 0),))], frames)
    assert first == (
        "the stack is too shallow: in the lower left something is still getting sharper at its first frame "
        "(1 at 10.600 mm), 12.3% of all sharp detail; go on beyond it"
    )
    assert "its last frame (3 at 11.400 mm)" in too_shallow([Unreached(2, 0.01, ((0, 0),))], frames)[0]
    assert "its first frame (4), 0.1%" in too_shallow([Unreached(0, 1e-5, ((0, 0),))], [frame(4), frame(5)])[0]
    assert too_shallow([], frames) == []


def test_only_frames_that_could_not_be_used_are_a_reason_to_warn() -> None:
    frames = [frame(0), frame(1, used=False), frame(2, used=False, unwanted=True)]
    assert left_out(frames) == ["1 of 3 frames were left out: 1.jpg is damaged"]
    assert left_out([frames[0], frames[2]]) == []


def test_advice_that_several_frames_share_is_given_once() -> None:
    alike = [f"{index}.jpg cannot be aligned: {index} matches; {ADVICE}" for index in range(4)]
    said = reasons_of([alike[0], "x.jpg is damaged", *alike[1:]], most=3)
    assert said == (
        "0.jpg cannot be aligned: 0 matches; x.jpg is damaged; 1.jpg cannot be aligned: 1 matches; and 2 more; "
        "if they belong to this stack, smaller steps or `--detector orb` may help; if not, take them out"
    )
    assert reasons_of(["x.jpg is damaged", alike[0]], most=3) == f"x.jpg is damaged; {alike[0]}", "of one frame: it"
    frames = [replace(frame(index, used=False), reason=reason) for index, reason in enumerate(alike)]
    assert left_out(frames)[0].count("smaller steps") == 1


def test_a_small_crop_is_a_reason_to_warn() -> None:
    assert small_crop(0.8) == []
    assert small_crop(0.4) == ["only 40% of the frame is covered by all frames: another reference frame may keep more"]


@pytest.mark.parametrize(
    ("model", "advice"), [("translation", "try --model similarity"), ("homography", "smaller steps may help")]
)
def test_a_model_that_does_not_fit_is_a_reason_to_warn(model: str, advice: str) -> None:
    def fitting(inliers: int) -> list[FrameOutcome]:
        return [replace(frame(index), matches=100, inliers=inliers if index else 100) for index in range(6)]

    assert poor_fit(fitting(36), model) == []
    (said,) = poor_fit(fitting(20), model)
    assert said == (f"only 20% of what neighbouring frames show fits the model {model}: edges may be doubled; {advice}")
    assert poor_fit([frame(0), frame(1)], model) == [], "they lie on each other already"
