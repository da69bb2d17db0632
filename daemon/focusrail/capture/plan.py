"""The plan: the ordered positions made from a recipe for one rig."""

from __future__ import annotations

import math
from dataclasses import dataclass

from focusrail.errors import RecipeRefused
from focusrail.model.recipe import Recipe
from focusrail_drivers.base import Travel

_MOST_FRAMES = 65535  # the index plane has 16 bits
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
    depth_mm = recipe.end_mm - recipe.from_mm
    if recipe.frames is not None:
        count, step_mm = recipe.frames, depth_mm / (recipe.frames - 1)
    else:
        assert recipe.step_mm is not None
        count = math.ceil(abs(depth_mm) / recipe.step_mm - _WHOLE) + 1
        if count > _MOST_FRAMES:
            raise RecipeRefused(f"step_mm {recipe.step_mm:g} makes {count} frames; at most {_MOST_FRAMES} are possible")
        step_mm = math.copysign(recipe.step_mm, depth_mm) if recipe.keep_step else depth_mm / (count - 1)
    if abs(step_mm) < resolution_mm:
        raise RecipeRefused(
            f"a step of {abs(step_mm) * 1000:.3f} um is finer than the rail's smallest, {resolution_mm * 1000:.3f} um; "
            "take fewer frames or a longer step"
        )
    exact = (recipe.from_mm + k * step_mm for k in range(count))
    positions_mm = tuple(round(position / resolution_mm) * resolution_mm for position in exact)
    for index, position_mm in enumerate(positions_mm):
        if position_mm not in travel:
            raise RecipeRefused(
                f"frame {index} at {position_mm:.4f} mm lies outside the travel of {travel}; change from_mm, to_mm, "
                "depth_mm or the rig's rail.travel_mm"
            )
    return Plan(positions_mm)
