"""Round numbers, and words in Pillow's own font."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from focusrail.worker.lettering import decimals, draw_text, length_text, round_ends, round_number, round_ticks


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [(0, 10, 6, [0, 2, 4, 6, 8, 10]), (12.3, 13.45, 4, [12.5, 13.0]), (-1, 1, 3, [-1, 0, 1]), (5, 5, 6, [5])],
)
def test_ticks_are_round(low: float, high: float, most: int, ticks: list[float]) -> None:
    assert round_ticks(low, high, most) == pytest.approx(ticks)


def test_round_numbers_and_their_texts() -> None:
    assert [round_number(value) for value in (0.7, 1, 3.9, 70)] == pytest.approx([0.5, 1, 2, 50])
    assert round_number(3.9, upwards=True) == pytest.approx(5)
    assert [decimals(step) for step in (5, 1, 0.5, 0.02)] == [0, 0, 1, 2]
    assert [length_text(um) for um in (500, 2000, 0.5)] == ["500 µm", "2 mm", "0.5 µm"]


@settings(max_examples=500)
@given(st.floats(-200, 200), st.floats(0.01, 500))
def test_a_round_scale_holds_all_it_should_and_wastes_little(low: float, span: float) -> None:
    first, last, step = round_ends(low, low + span)
    assert first <= low + 1e-5 * span
    assert last >= low + span - 1e-5 * span
    assert last - first <= 1.25 * span * (1 + 1e-6)
    steps = (last - first) / step
    assert steps == pytest.approx(round(steps), abs=1e-6)
    assert first / step == pytest.approx(round(first / step), abs=1e-4)
    assert round_number(step) == pytest.approx(step)
    assert any(round(steps) % labels == 0 for labels in (3, 4, 5)), "so that labels stand at even distances"


def test_scales_that_people_would_draw() -> None:
    assert round_ends(10.44, 14.62) == pytest.approx((10, 15, 1))
    assert round_ends(12.31, 13.45) == pytest.approx((12.3, 13.5, 0.1))
    assert round_ends(0.1, 4.9, least_step=1) == (0, 5, 1)
    assert round_ends(2.4, 2.6, least_step=1) == (2, 3, 1)


def test_signs_that_the_font_lacks_are_drawn() -> None:
    def drawn(text: str) -> np.ndarray:
        image = Image.new("L", (200, 60))
        draw_text(ImageDraw.Draw(image), (100, 5), text, ImageFont.load_default(32), 255)
        return np.asarray(image)

    for sign, alike in (("≤", "<"), ("≥", ">"), ("µ", "u")):
        more = drawn(f"{sign} 5").astype(int) - drawn(f"{alike} 5")
        assert more.min() == 0
        assert 20 < (more > 100).sum() < 200, sign
        assert np.nonzero(more.any(axis=0))[0].max() < 110, "under the sign"
