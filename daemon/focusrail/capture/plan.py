"""The plan: the ordered positions made from a recipe for one rig."""

from __future__ import annotations

import math
from dataclasses import dataclass

from focusrail.errors import PreflightFailed, RecipeRefused
from focusrail.model.recipe import LARGEST_STACK, Recipe
from focusrail.model.shoot import Shoot
from focusrail_drivers.base import Travel

_WHOLE = 1e-6  # a depth this near to whole steps counts as whole: 0.3 / 0.1 is 2.9999999999999996


@dataclass(frozen=True, slots=True)
class Plan:
    """Where each frame is made, in shooting order (mm from home)."""

    positions_mm: tuple[float, ...]

    @property
    def step_mm(self) -> float:
        """The distance from frame to frame, signed."""
        return (self.positions_mm[-1] - self.positions_mm[0]) / (len(self.positions_mm) - 1)


def plan(recipe: Recipe, *, travel: Travel, resolution_mm: float) -> Plan:
    """The positions of a recipe's frames, each rounded to whole steps of the rail from home. Raises RecipeRefused.

    Rounding starts from home for every frame: rounded increments would add up.
    """
    count, step_mm = _grid(recipe)
    if abs(step_mm) < resolution_mm * (1 - _WHOLE):
        raise RecipeRefused(
            f"a step of {abs(step_mm) * 1000:.3f} um is finer than the rail's smallest, {resolution_mm * 1000:.3f} um; "
            "take fewer frames or a longer step"
        )
    exact = [recipe.from_mm + k * step_mm for k in range(count)]
    for index, position_mm in enumerate(exact):
        if not _within(position_mm, travel, resolution_mm):
            raise RecipeRefused(
                f"frame {index} at {position_mm:.4f} mm lies outside the travel of {travel}; change from_mm, to_mm, "
                "depth_mm or the rig's rail.travel_mm"
            )
    positions_mm = tuple(_on_a_step(position_mm, travel, resolution_mm) for position_mm in exact)
    return Plan(positions_mm)


def extended(
    shoot: Shoot, recipe: Recipe, *, near: int, far: int, far_is_high: bool, travel: Travel, resolution_mm: float
) -> tuple[float, ...]:
    """The positions of a shoot's frames, and after them those of `near` more and `far` more, by frame index.

    All are where one plan for the whole would have them; the frames that are there keep their indices. `far_is_high`:
    larger positions are farther from the camera. Raises RecipeRefused.
    """
    before_mm = shoot.positions_mm
    count, step_mm = _grid(recipe)
    added = before_mm[count:]  # by extensions that came before
    front = sum((position_mm < before_mm[0]) == (step_mm > 0) for position_mm in added)
    back = len(added) - front
    at_front, at_back = (near, far) if (step_mm > 0) == far_is_high else (far, near)
    if len(before_mm) + near + far > LARGEST_STACK:
        raise RecipeRefused(
            f"{len(before_mm)} frames and {near + far} more are too many; at most {LARGEST_STACK} are possible"
        )
    numbers = [*range(-front - at_front, -front), *range(count + back, count + back + at_back)]
    exact = [recipe.from_mm + k * step_mm for k in numbers]
    outside = [position_mm for position_mm in exact if not _within(position_mm, travel, resolution_mm)]
    if outside:
        end_mm = max(outside, key=lambda position_mm: abs(position_mm - before_mm[0]))
        fit = f"{len(exact) - len(outside)} of them have room" if len(outside) < len(exact) else "none has room"
        raise RecipeRefused(
            f"{len(exact)} more frames go to {end_mm:.4f} mm, outside the travel of {travel}: {fit}; take fewer, or "
            "change the rig's rail.travel_mm"
        )
    more_mm = tuple(_on_a_step(position_mm, travel, resolution_mm) for position_mm in exact)
    if len({*before_mm, *more_mm}) < len(before_mm) + len(more_mm):
        raise PreflightFailed(
            f"shoot {shoot.shoot_id} was planned for another rail: more frames would lie on those that it has; "
            "shoot it anew"
        )
    return (*before_mm, *more_mm)


def _grid(recipe: Recipe) -> tuple[int, float]:
    """How many frames a recipe has, and the distance from one to the next (mm, signed). Raises RecipeRefused."""
    depth_mm = recipe.end_mm - recipe.from_mm
    if recipe.frames is not None:
        return recipe.frames, depth_mm / (recipe.frames - 1)
    assert recipe.step_mm is not None
    steps = abs(depth_mm) / recipe.step_mm - _WHOLE
    if steps > LARGEST_STACK - 1:
        raise RecipeRefused(
            f"step_mm {recipe.step_mm:g} makes {steps + 1:.0f} frames; at most {LARGEST_STACK} are possible"
        )
    count = max(1, math.ceil(steps)) + 1
    return count, math.copysign(recipe.step_mm, depth_mm) if recipe.keep_step else depth_mm / (count - 1)


def _within(position_mm: float, travel: Travel, resolution_mm: float) -> bool:
    return travel.min_mm - resolution_mm * _WHOLE <= position_mm <= travel.max_mm + resolution_mm * _WHOLE


def _on_a_step(position_mm: float, travel: Travel, resolution_mm: float) -> float:
    """The nearest whole step from home, inwards at the ends of the travel. Halves go outwards, always the same way.

    Rounding halves to even would make some of a row of them twice.
    """
    step = math.floor(position_mm / resolution_mm + 0.5 + _WHOLE)
    if step * resolution_mm > travel.max_mm:
        step = math.floor(travel.max_mm / resolution_mm + _WHOLE)
    elif step * resolution_mm < travel.min_mm:
        step = math.ceil(travel.min_mm / resolution_mm - _WHOLE)
    return min(max(step * resolution_mm, travel.min_mm), travel.max_mm)  # a product may miss the end by its last bit
