from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import pytest

from focusrail.model.outcome import FrameOutcome
from focusrail.worker.suspects import suspects, warning

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def frames(
    sharpness: Sequence[float], residuals: Sequence[float] = (), *, without: Sequence[int] = ()
) -> list[FrameOutcome]:
    return [
        FrameOutcome(
            k, f"{k}.jpg", None, NOON, used=k not in without, sharpness=value if k not in without else 0.0,
            residual_px=residuals[k] if residuals else 0.3,
        )
        for k, value in enumerate(sharpness)
    ]  # fmt: skip


def profile(count: int, *, noise: float = 0.0, seed: int = 1) -> list[float]:
    """Sharpness of a stack in order: it rises and falls as the subject does."""
    at = np.linspace(0, 1, count)
    values = 3 + 4 * np.exp(-((at - 0.35) ** 2) / 0.02) + 2.5 * np.exp(-((at - 0.7) ** 2) / 0.01)
    return list(values * np.exp(np.random.default_rng(seed).normal(0, noise, count)))


@pytest.mark.parametrize("count", [6, 8, 20, 60, 300])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_stack_in_order_is_not_suspected(count: int, noise: float) -> None:
    for seed in range(20):
        residuals = list(np.linspace(0.3, 2.0, count) * np.random.default_rng(seed).uniform(0.85, 1.15, count))
        assert suspects(frames(profile(count, noise=noise, seed=seed), residuals)) == {}


@pytest.mark.parametrize("shaken", [[7], [1], [58], [12, 13], [5, 21], [30, 31]])
def test_shaken_frames_are_found_and_nothing_else(shaken: list[int]) -> None:
    values = profile(60, noise=0.01)
    for k in shaken:
        values[k] *= 0.6
    found = suspects(frames(values))
    assert list(found) == shaken
    assert all("less sharp than the frames around it" in reason for reason in found.values())


def test_it_says_by_how_much() -> None:
    found = suspects(frames([5.0, 5.0, 5.0, 3.0, 5.0, 5.0, 5.0]))
    assert found == {3: "it is 40% less sharp than the frames around it"}
    assert warning(found) == (
        "frame 3 looks shaken, or something moved in it (it is 40% less sharp than the frames around it): "
        "try --without 3"
    )
    assert warning({3: "a", 4: "b", 9: "c"}).startswith("frames 3-4, 9 look shaken, or something moved in them: try")
    assert warning({3: "a", 4: "b", 9: "c"}).endswith("--without 3-4,9")


def test_a_residual_that_stands_out_is_found_once_though_the_next_frame_shares_it() -> None:
    residuals = [0.3] * 20
    residuals[8], residuals[9] = 1.4, 1.2
    found = suspects(frames(profile(20), residuals))
    assert list(found) == [8]
    assert "residual, 1.40 px" in found[8]


def test_a_frame_in_which_something_moved_fits_its_neighbours_less() -> None:
    stack = [replace(frame, matches=10_000, inliers=9_900 - 30 * frame.index) for frame in frames(profile(20))]
    assert suspects(stack) == {}
    for k in (8, 9):  # the next one is compared with it
        stack[k] = replace(stack[k], inliers=8_500)
    assert suspects(stack) == {8: "15% of it does not fit the frames around it"}


def test_what_registration_has_seen_is_told_too() -> None:
    seen = [replace(frame, suspect="seen" if frame.index == 2 else "") for frame in frames([5.0] * 4)]
    assert suspects(seen) == {2: "seen"}
    assert suspects([replace(frame, used=False) for frame in seen]) == {}


def test_frames_that_are_left_out_are_no_neighbours() -> None:
    values = profile(20)
    values[9] *= 0.5
    assert list(suspects(frames(values, without=[8, 10]))) == [9]
    assert suspects(frames(values, without=[9])) == {}


def test_of_few_frames_or_black_ones_nothing_is_said() -> None:
    assert suspects(frames([5, 1, 5, 5, 5])) == {}
    assert suspects(frames([0.0] * 9)) == {}
    assert suspects([]) == {}


def test_a_frame_after_a_gap_is_not_accused_of_what_the_gap_does() -> None:
    def stack(*without: int) -> list[FrameOutcome]:
        made = [replace(one, matches=100, inliers=98) for one in frames(profile(12), without=without)]
        made[7] = replace(made[7], inliers=70, residual_px=2.0)
        return made

    assert suspects(stack(6)) == {}
    assert set(suspects(stack())) == {7}
    showing_nothing = [replace(one, predicted=one.index == 6) for one in stack()]
    assert suspects(showing_nothing) == {}
