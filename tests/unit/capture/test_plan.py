from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timezone
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from focusrail.capture.plan import extended, plan
from focusrail.errors import PreflightFailed, RecipeRefused
from focusrail.model.method import Method
from focusrail.model.recipe import Recipe
from focusrail.model.shoot import Shoot
from focusrail_drivers.base import Travel

TRAVEL = Travel(0.0, 60.0)


def positions(*, resolution_mm: float = 0.001, travel: Travel = TRAVEL, **recipe) -> list[float]:
    return list(plan(Recipe(name="a", **recipe), travel=travel, resolution_mm=resolution_mm).positions_mm)


@pytest.mark.parametrize(
    ("recipe", "wanted"),
    [
        ({"from_mm": 1, "to_mm": 2, "frames": 2}, [1, 2]),
        ({"from_mm": 1, "to_mm": 2, "frames": 3}, [1, 1.5, 2]),
        ({"from_mm": 1, "depth_mm": 1, "step_mm": 0.25}, [1, 1.25, 1.5, 1.75, 2]),
        ({"from_mm": 1, "depth_mm": 0.3, "step_mm": 0.1}, [1, 1.1, 1.2, 1.3]),  # 0.3 / 0.1 is 2.9999999999999996
        ({"from_mm": 1, "depth_mm": 0.7, "step_mm": 0.1}, [1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]),
        ({"from_mm": 2, "to_mm": 1, "frames": 3}, [2, 1.5, 1]),
        ({"from_mm": 2, "depth_mm": -1, "step_mm": 0.5}, [2, 1.5, 1]),
        ({"from_mm": 0, "to_mm": 1, "step_mm": 0.4}, [0, 0.333, 0.667, 1]),  # evenly, with at most that step
        ({"from_mm": 0, "to_mm": 1, "step_mm": 0.4, "keep_step": True}, [0, 0.4, 0.8, 1.2]),  # up to a step beyond
        ({"from_mm": 0, "to_mm": 1, "step_mm": 0.5, "keep_step": True}, [0, 0.5, 1]),
        ({"from_mm": 3, "to_mm": 2, "step_mm": 0.4, "keep_step": True}, [3, 2.6, 2.2, 1.8]),
        ({"from_mm": 1, "to_mm": 1.2, "step_mm": 5}, [1, 1.2]),
        ({"from_mm": 1, "to_mm": 1.2, "step_mm": 5, "keep_step": True}, [1, 6]),
        ({"from_mm": 0, "to_mm": 60, "frames": 2}, [0, 60]),
    ],
)
def test_a_recipe_becomes_these_positions(recipe: dict, wanted: list[float]) -> None:
    assert positions(**recipe) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"from_mm": -0.01, "to_mm": 1, "frames": 2}, "frame 0 at -0.0100 mm lies outside the travel of 0 to 60 mm"),
        ({"from_mm": 59, "to_mm": 60.002, "frames": 3}, "frame 2 at 60.0020 mm"),
        ({"from_mm": 59.9, "to_mm": 60, "step_mm": 0.07, "keep_step": True}, "frame 2 at 60.0400 mm"),
        ({"from_mm": 1e308, "to_mm": -1e308, "frames": 2}, "outside the travel"),
        ({"from_mm": 0, "to_mm": 1e308, "frames": 2}, "outside the travel"),
        ({"from_mm": 0, "to_mm": 1, "frames": 2000}, "0.500 um is finer than the rail's smallest, 1.000 um"),
        ({"from_mm": 0, "to_mm": 1, "step_mm": 0.0005}, "finer"),
        ({"from_mm": 0, "to_mm": 60, "step_mm": 0.0009}, "makes 66668 frames; at most 65535"),
        ({"from_mm": 0, "to_mm": 1e308, "step_mm": 1e-308}, "frames; at most 65535"),
        ({"from_mm": 0, "to_mm": 1e-8, "step_mm": 0.5}, "finer"),
        ({"from_mm": 0, "to_mm": 1e-8, "frames": 2}, "finer"),
    ],
)
def test_what_this_rig_cannot_do_is_refused_with_numbers(recipe: dict, said: str) -> None:
    with pytest.raises(RecipeRefused, match=said.replace("(", r"\(")):
        positions(**recipe)


def test_a_depth_below_the_step_that_is_kept_makes_two_frames() -> None:
    assert positions(from_mm=1, to_mm=1 + 1e-8, step_mm=0.5, keep_step=True) == pytest.approx([1, 1.5])


steps_per_mm = st.sampled_from([1600.0, 400.0, 1000.0, 320.0, 3.0, 7.0, 12800.0, 101.6])


@given(start=st.floats(0.5, 59.5), end=st.floats(1, 59), frames=st.integers(2, 400), per_mm=steps_per_mm)
@settings(suppress_health_check=[HealthCheck.filter_too_much])  # steps finer than the rail's are many, and refused
def test_every_frame_is_the_nearest_whole_step_and_rounding_never_adds_up(
    start: float, end: float, frames: int, per_mm: float
) -> None:
    depth = end - start
    assume(abs(depth) / (frames - 1) >= 1 / per_mm)
    got = positions(from_mm=start, depth_mm=depth, frames=frames, resolution_mm=1 / per_mm)
    assert len(got) == frames
    for k, position in enumerate(got):
        exact = start + k * depth / (frames - 1)
        assert abs(position - exact) <= 0.5 / per_mm + 2e-6 / per_mm
        assert abs(position * per_mm - round(position * per_mm)) < 1e-6
    order = got if depth > 0 else got[::-1]
    assert all(a < b for a, b in pairwise(order)), "no frame is made twice"


@given(offset=st.integers(-2, 2), steps=st.integers(2, 300), half=st.booleans(), per_mm=steps_per_mm)
def test_the_finest_step_makes_no_frame_twice(offset: int, steps: int, half: bool, per_mm: float) -> None:
    assume(steps / per_mm < 40)
    start = (10 * per_mm + offset + 0.5 * half) / per_mm
    got = positions(from_mm=start, depth_mm=steps / per_mm * (1 + 1e-12), frames=steps + 1, resolution_mm=1 / per_mm)
    counted = [round(p * per_mm) for p in got]
    assert counted == list(range(counted[0], counted[0] + steps + 1))


@given(start=st.floats(0, 50), depth=st.floats(0.01, 10), step=st.floats(0.001, 12))
def test_a_step_is_never_exceeded_and_the_ends_are_kept(start: float, depth: float, step: float) -> None:
    assume(depth / step < 60000)
    got = positions(from_mm=start, depth_mm=depth, step_mm=step, resolution_mm=1e-4)
    assert got[0] == pytest.approx(start, abs=1e-4)
    assert got[-1] == pytest.approx(start + depth, abs=1e-4)
    assert max(b - a for a, b in pairwise(got)) <= step * (1 + 1e-5) + 1.1e-4
    assert len(got) == max(2, math.ceil(depth / step - 1e-6) + 1)


@given(high=st.integers(1, 6000), frames=st.integers(2, 20), per_mm=steps_per_mm)
def test_the_ends_of_the_travel_can_be_used(high: int, frames: int, per_mm: float) -> None:
    travel = Travel(0.0, high * 0.1)
    assume(travel.max_mm / (frames - 1) >= 1 / per_mm)
    got = positions(from_mm=0, to_mm=travel.max_mm, frames=frames, resolution_mm=1 / per_mm, travel=travel)
    assert all(position in travel for position in got)
    assert got[-1] > travel.max_mm - 1 / per_mm


def test_the_plans_step_is_signed() -> None:
    made = plan(Recipe(name="a", from_mm=2, to_mm=1, frames=5), travel=TRAVEL, resolution_mm=0.001)
    assert made.step_mm == pytest.approx(-0.25)


# --- more frames ------------------------------------------------------------------------------------------------------


def shoot_of(recipe: Recipe, *, resolution_mm: float = 0.001) -> Shoot:
    positions_mm = plan(recipe, travel=TRAVEL, resolution_mm=resolution_mm).positions_mm
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    return Shoot("s", "a", now, Method(), recipe=recipe, positions_mm=positions_mm)


def longer(shoot: Shoot, near: int, far: int, *, far_is_high: bool = True, resolution_mm: float = 0.001) -> Shoot:
    assert shoot.recipe is not None
    return replace(
        shoot,
        positions_mm=extended(
            shoot, shoot.recipe, near=near, far=far, far_is_high=far_is_high, travel=TRAVEL, resolution_mm=resolution_mm
        ),
    )


@pytest.mark.parametrize(
    ("from_mm", "to_mm", "far_is_high", "wanted", "order"),
    [
        (10, 12, True, [10, 11, 12, 8, 9, 13], (3, 4, 0, 1, 2, 5)),
        (10, 12, False, [10, 11, 12, 9, 13, 14], (3, 0, 1, 2, 4, 5)),
        (12, 10, True, [12, 11, 10, 13, 9, 8], (3, 0, 1, 2, 4, 5)),
        (12, 10, False, [12, 11, 10, 14, 13, 9], (3, 4, 0, 1, 2, 5)),
    ],
)
def test_more_frames_lie_on_the_side_that_was_meant_and_those_that_are_there_keep_their_numbers(
    from_mm: float, to_mm: float, far_is_high: bool, wanted: list[float], order: tuple[int, ...]
) -> None:
    made = longer(shoot_of(Recipe("a", from_mm, to_mm=to_mm, frames=3)), 2, 1, far_is_high=far_is_high)
    assert list(made.positions_mm) == wanted
    assert made.order == order


@given(
    from_mm=st.floats(20, 40),
    step_mm=st.floats(0.002, 0.1),
    frames=st.integers(2, 20),
    up=st.booleans(),
    more=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=3),
    resolution_mm=st.sampled_from([0.001, 0.000625, 0.002]),
)
def test_an_extended_plan_is_that_of_the_whole(
    from_mm: float, step_mm: float, frames: int, *, up: bool, more: list[tuple[int, int]], resolution_mm: float
) -> None:
    step_mm = step_mm if up else -step_mm
    recipe = Recipe("a", from_mm, depth_mm=step_mm * (frames - 1), frames=frames)
    shoot = shoot_of(recipe, resolution_mm=resolution_mm)
    for near, far in more:
        shoot = longer(shoot, near, far, resolution_mm=resolution_mm)
    front, back = (sum(side) for side in zip(*more, strict=True))
    if not up:
        front, back = back, front
    count = front + frames + back
    whole = Recipe("a", from_mm - front * step_mm, depth_mm=step_mm * (count - 1), frames=count)
    wanted = plan(whole, travel=TRAVEL, resolution_mm=resolution_mm).positions_mm
    off_steps = [abs(shoot.positions_mm[i] - mm) / resolution_mm for i, mm in zip(shoot.order, wanted, strict=True)]
    # What lies on the very edge between two steps may be rounded either way: binary fractions are not exact.
    assert max(off_steps) < 1e-6 or (max(off_steps) < 1 + 1e-6 and min(off_steps) < 1e-6)
    assert all(a != b for a, b in pairwise(shoot.positions_mm))


@pytest.mark.parametrize(
    ("near", "far", "said"),
    [
        (11, 0, "11 more frames go to -1.0000 mm, outside the travel of 0 to 60 mm: 10 of them have room; take fewer"),
        (0, 49, "49 more frames go to 61.0000 mm, outside"),
        (0, 65533, "3 frames and 65533 more are too many; at most 65535"),
    ],
)
def test_more_frames_than_there_is_room_for_are_refused(near: int, far: int, said: str) -> None:
    with pytest.raises(RecipeRefused) as refused:
        longer(shoot_of(Recipe("a", 10, to_mm=12, frames=3)), near, far)
    assert said in str(refused.value)


def test_a_plan_of_a_finer_rail_is_not_extended_on_a_coarser_one() -> None:
    with pytest.raises(PreflightFailed, match="another rail"):
        longer(shoot_of(Recipe("a", 10, to_mm=10.002, frames=3)), 0, 2, resolution_mm=0.01)
