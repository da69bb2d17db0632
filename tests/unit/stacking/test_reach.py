"""A stack that is too shallow, and one that is not, of a simulated scene."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest

from focusrail.model.method import Method
from focusrail.stacking.arrays import Transform
from focusrail.stacking.features import Found
from focusrail.stacking.pipeline import Stacker
from focusrail.stacking.reach import Unreached
from focusrail_drivers.accelerators.cpu import CpuAccelerator
from focusrail_drivers.simulation.moment import Moment
from focusrail_drivers.simulation.noise import Sensor
from focusrail_drivers.simulation.scene import SceneOptions
from focusrail_drivers.simulation.stage import Stage, StageOptions

NEAR_MM, FAR_MM, STEP_MM = 10.0, 14.0, 0.16
NOT_IN_FOCUS_MM = 30.0


@cache
def stage(background_mm: float) -> Stage:
    scene = SceneOptions(3, NEAR_MM, FAR_MM, background_mm)
    return Stage(
        StageOptions(
            scene=scene, width_px=432, height_px=288, field_mm=8.0, numerical_aperture=0.055, breathing_per_mm=0.02,
            drift_um_per_mm=(6.0, -4.0), rotation_deg_per_mm=0.02, jitter_um=0.4, projection="similarity",
            working_distance_mm=40.0,
        )
    )  # fmt: skip


@cache
def photograph(background_mm: float, position_mm: float, well: float) -> tuple[np.ndarray, Transform]:
    moment = [Moment(position_mm)]
    number = round(position_mm * 100)
    counts = Sensor(1, well, 5.0, 0.0).counts(stage(background_mm).frame(moment, number), number, bits=8)
    return counts, stage(background_mm).transform(moment, number)


def look(
    from_mm: float, to_mm: float, *, background_mm: float = 14.6, well: float = 20000.0, backwards: bool = False
) -> tuple[list[Unreached], int]:
    """What is unreached by a stack from here to there, and how many frames it has."""
    positions = list(np.arange(from_mm, to_mm, STEP_MM))[:: -1 if backwards else 1]
    shots = [photograph(background_mm, float(position), well) for position in positions]
    first: Transform = shots[0][1]
    known = {k: Found(np.asarray(first @ np.linalg.inv(t), np.float64)) for k, (_, t) in enumerate(shots)}
    with ThreadPoolExecutor(1) as executor:
        stacker = Stacker(Method(fusion="lob"), accelerator=CpuAccelerator(), executor=executor, known=known)
        for k, (frame, _) in enumerate(shots):
            stacker.fuse(stacker.register(stacker.examine(frame), k, float(positions[k])))
        return stacker.finish().unreached(), len(positions)


@pytest.mark.parametrize("well", [20000.0, 1500.0], ids=["quiet", "noisy"])
def test_a_stack_that_is_deep_enough_is_not_suspected(well: float) -> None:
    assert look(9.6, 15.2, well=well)[0] == []
    assert look(10.0, 14.8, well=well)[0] == [], "neither is one that ends just behind the subject"


def test_a_background_that_is_never_in_focus_does_not_count() -> None:
    assert look(10.0, 14.8, background_mm=NOT_IN_FOCUS_MM)[0] == []


@pytest.mark.parametrize("well", [20000.0, 1500.0], ids=["quiet", "noisy"])
@pytest.mark.parametrize("backwards", [False, True], ids=["away", "towards"])
def test_each_end_that_is_too_near_is_named(backwards: bool, well: float) -> None:
    def ends(from_mm: float, to_mm: float) -> list[str]:
        found, frames = look(from_mm, to_mm, well=well, backwards=backwards)
        near = frames - 1 if backwards else 0
        assert all(one.share > 0.005 for one in found)
        return ["near" if one.number == near else "far" for one in found]

    assert ends(10.7, 14.8) == ["near"]
    assert ends(10.0, 13.4) == ["far"]
    assert ends(10.9, 13.2) == ["near", "far"]


def test_it_is_told_in_which_part_of_the_picture() -> None:
    (whole,), _ = look(10.7, 14.8)
    before = (stage(14.6).truth().depth_mm < 10.7).astype(float)
    height, width = before.shape
    shares = {
        (r, c): before[r * height // 3 : (r + 1) * height // 3, c * width // 3 : (c + 1) * width // 3].mean()
        for r in range(3)
        for c in range(3)
    }
    most = sorted(shares, key=lambda ninth: -shares[ninth])
    assert set(whole.ninths[:2]) == set(most[:2])
    assert shares[most[-1]] < 0.001 and most[-1] not in whole.ninths


def test_a_picture_without_any_detail_is_no_reason_to_warn() -> None:
    flat = np.full((120, 160, 3), 90, np.uint8)
    noise = np.random.default_rng(1)
    with ThreadPoolExecutor(1) as executor:
        stacker = Stacker(Method(aligned=True), accelerator=CpuAccelerator(), executor=executor)
        for k in range(5):
            seen = np.clip(flat + noise.normal(0, 2, flat.shape), 0, 255).astype(np.uint8)
            stacker.fuse(stacker.register(stacker.examine(seen), k, float(k)))
        assert stacker.finish().unreached() == []
