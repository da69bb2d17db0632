from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focusrail.stacking.depth_map import confidence, depth_map

Plane = np.ndarray


def slope(height: int = 120, width: int = 160) -> Plane:
    return np.tile(np.linspace(30.0, 31.5, width, dtype=np.float32), (height, 1))


def sure(height: int = 120, width: int = 160, level: float = 1.0) -> Plane:
    return np.full((height, width), level, np.float32)


def test_noise_is_not_trusted_and_strong_texture_is() -> None:
    measure = np.zeros((60, 80), np.float32)
    measure[:, 40:] = 20.0
    trust = confidence(measure, noise=2.0)
    assert trust.dtype == np.float32
    assert (trust[:, :37] == 0).all()
    assert (trust[:, 43:] == 1).all()


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_confidence_stays_from_nothing_to_certain_even_without_noise(dtype: type) -> None:
    measure: Plane = np.random.default_rng(0).integers(0, 30000, (40, 50)).astype(dtype)
    for noise in (0.0, 1.0, 1e9):
        trust = confidence(measure, noise)
        assert 0 <= trust.min() <= trust.max() <= 1


def test_a_lone_wrong_pixel_is_not_a_hole() -> None:
    position = slope()
    position[50:60:7, 20:120:9] = 99.0
    assert np.abs(depth_map(position, sure()) - slope()).max() < 0.05


def test_what_is_sure_is_hardly_changed() -> None:
    assert np.abs(depth_map(slope(), sure()) - slope()).max() < 0.02


def test_unsure_pixels_are_filled_from_their_surroundings() -> None:
    position, trust = slope(), sure()
    trust[30:90, 60:100] = 0
    position[30:90, 60:100] = np.random.default_rng(0).uniform(0, 100, (60, 40))
    filled = depth_map(position, trust)
    assert np.abs(filled - slope())[:, 60:100].max() < 0.35
    assert np.abs(filled - slope())[:, :55].max() < 0.05


@pytest.mark.parametrize("level", [0.0, 1e-9, 1e-3])
def test_where_nothing_is_sure_the_depth_is_still_one_of_the_stack(level: float) -> None:
    filled = depth_map(slope(), sure(level=level))
    assert filled.min() >= 30.0 - 1e-3
    assert filled.max() <= 31.5 + 1e-3


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    low=st.floats(-50, 50),
    seed=st.integers(0, 2**32 - 1),
    power=st.sampled_from([0.0, 1.0, 8.0, 40.0]),
)
def test_depth_never_leaves_the_range_of_the_positions(
    height: int, width: int, low: float, seed: int, power: float
) -> None:
    random = np.random.default_rng(seed)
    position: Plane = random.uniform(low, low + 2, (height, width)).astype(np.float32)
    trust: Plane = (random.uniform(0, 1, (height, width)) ** power).astype(np.float32)
    trust[random.uniform(size=trust.shape) < 0.5] = 0
    filled = depth_map(position, trust)
    assert filled.shape == position.shape
    assert filled.dtype == np.float32
    assert filled.min() >= position.min() - 1e-3
    assert filled.max() <= position.max() + 1e-3


def test_one_sure_spot_tells_the_depth_of_all_that_is_unsure() -> None:
    position, trust = slope(), sure(level=0.0)
    trust[60:68, 80:88] = 1
    assert np.abs(depth_map(position, trust) - position[64, 84]).max() < 0.1
