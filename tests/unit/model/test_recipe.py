from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from focusrail.errors import InvalidValue
from focusrail.model.method import Method, Registration, notebook
from focusrail.model.recipe import Recipe

GOOD = Recipe(name="beetle", from_mm=10.0, to_mm=14.0, frames=20)

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "   "}, "name"),
    ({"name": ".."}, "name"),
    ({"name": "a/b"}, "name"),
    ({"name": "a\\b"}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"specimen_id": ""}, "specimen_id"),
    ({"specimen_id": "../00123"}, "specimen_id"),
    ({"name": "a\u202egnp"}, "name"),
    ({"name": "a\x7f"}, "name"),
    ({"from_mm": math.nan}, "from_mm"),
    ({"from_mm": math.inf}, "from_mm"),
    ({"to_mm": math.nan}, "to_mm"),
    ({"to_mm": 10.0}, "to_mm"),  # no depth
    ({"to_mm": None}, "to_mm"),  # no end
    ({"depth_mm": 4.0}, "to_mm"),  # two ends
    ({"to_mm": None, "depth_mm": 0.0}, "depth_mm"),
    ({"to_mm": None, "depth_mm": -math.inf}, "depth_mm"),
    ({"frames": None}, "frames"),  # neither frames nor step
    ({"step_mm": 0.1}, "frames"),  # both
    ({"frames": 1}, "frames"),
    ({"frames": 0}, "frames"),
    ({"frames": 65536}, "frames"),
    ({"frames": None, "step_mm": 0.0}, "step_mm"),
    ({"frames": None, "step_mm": -0.1}, "step_mm"),
    ({"frames": None, "step_mm": math.nan}, "step_mm"),
    ({"settle_s": -0.1}, "settle_s"),
    ({"settle_s": math.inf}, "settle_s"),
]


@pytest.mark.parametrize(("change", "field"), REFUSED)
def test_a_recipe_that_cannot_be_shot_is_refused_and_the_field_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        replace(GOOD, **change)
    assert caught.value.field == field
    assert str(caught.value) == f"{field}: {caught.value.message}"


@pytest.mark.parametrize(
    ("change", "end_mm"),
    [
        ({}, 14.0),
        ({"to_mm": 6.0}, 6.0),
        ({"to_mm": None, "depth_mm": 2.5}, 12.5),
        ({"to_mm": None, "depth_mm": -2.5}, 7.5),
        ({"to_mm": 0.0}, 0.0),
        ({"frames": 2}, 14.0),
        ({"frames": 65535}, 14.0),
        ({"frames": None, "step_mm": 9.0}, 14.0),
        ({"settle_s": 0.0}, 14.0),
        ({"name": "x" * 100, "specimen_id": "MfN 00123 (♀)"}, 14.0),
    ],
)
def test_the_end_follows_from_to_mm_or_from_depth_mm(change: dict[str, Any], end_mm: float) -> None:
    assert replace(GOOD, **change).end_mm == end_mm


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        GOOD.name = "other"  # type: ignore[misc]  # that it does not type-check either is the point


def test_the_recipe_validates_as_it_stands_and_survives_a_round_trip_through_json() -> None:
    adapter = TypeAdapter(Recipe)
    recipe = replace(GOOD, specimen_id="00123", camera_settings={"iso": "100"}, method=notebook())
    assert adapter.validate_json(adapter.dump_json(recipe)) == recipe
    with pytest.raises(ValidationError, match="colour"):
        adapter.validate_python({"name": "a", "from_mm": 1, "to_mm": 2, "frames": 3, "colour": "red"})


@pytest.mark.parametrize(
    ("part", "change", "field"),
    [
        (Method(), {"fusion": "magic"}, "fusion"),
        (Method(), {"blur_px": 4}, "blur_px"),
        (Method(), {"blur_px": -1}, "blur_px"),
        (Method(), {"laplacian_px": 33}, "laplacian_px"),
        (Method(), {"reference": "best"}, "reference"),
        (Method(), {"warp": "nearest"}, "warp"),
        (Registration(), {"detector": "surf"}, "detector"),
        (Registration(), {"model": "rigid"}, "model"),
        (Registration(), {"estimator": "hope"}, "estimator"),
        (Registration(), {"threshold_px": 0.0}, "threshold_px"),
        (Registration(), {"ratio": math.nan}, "ratio"),
        (Registration(), {"orb_features": 0}, "orb_features"),
    ],
)
def test_a_method_that_does_not_exist_is_refused(part: Any, change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        replace(part, **change)
    assert caught.value.field == field
