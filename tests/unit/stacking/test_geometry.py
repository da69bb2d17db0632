from __future__ import annotations

import numpy as np
import pytest

from focusrail.stacking.geometry import Geometry
from peers.textures import about, similarity

SIZE = (480, 360)


def law(position: float) -> np.ndarray:
    """Where a frame of a rail that breathes, drifts and turns evenly belongs."""
    off = position - 3
    return about(similarity(scale=np.exp(0.03 * off), degrees=0.2 * off, x=4 * off, y=-2 * off), SIZE)


@pytest.mark.parametrize("position", [2.5, 3.25, 5.0])
def test_an_even_law_is_continued_and_filled_exactly(position: float) -> None:
    geometry = Geometry()
    for seen in (3.0, 3.1, 3.5, 4.0):
        geometry.learn(seen, law(seen), SIZE)
    predicted = geometry.predict(position, SIZE)
    assert predicted is not None
    assert predicted == pytest.approx(law(position), abs=1e-9)


def test_nothing_is_predicted_from_little_or_far_away() -> None:
    geometry = Geometry()
    for seen in (3.0, 3.1, 3.2):
        geometry.learn(seen, law(seen), SIZE)
    assert geometry.predict(3.3, SIZE) is None
    geometry.learn(3.3, law(3.3), SIZE)
    assert geometry.predict(3.4, SIZE) is not None
    assert geometry.predict(9.0, SIZE) is None


def test_a_carriage_that_never_moved_predicts_nothing() -> None:
    geometry = Geometry()
    for _ in range(6):
        geometry.learn(3.0, law(3.0), SIZE)
    assert geometry.predict(3.0, SIZE) is None
