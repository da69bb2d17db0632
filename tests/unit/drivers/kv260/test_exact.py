"""The processor's double of the KV260 gives the reference's scores, bit for bit."""

from __future__ import annotations

import cv2
import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.accelerators.kv260.exact import Kv260Exact, score_plainly

shifts = st.sampled_from([*reference.SHIFTS, "bracket"])
tiles = arrays.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 40)))


@given(tiles, shifts)
def test_its_scores_are_the_reference(luma, shift):
    accelerator = Kv260Exact(Kv260Exact.Options(shift=shift))
    score = accelerator.measure(luma)
    assert score.dtype == np.uint16 and np.array_equal(score, reference.score(luma, shift))
    assert np.array_equal(score_plainly(luma, shift), score)


@given(st.integers(0, 99), shifts)
def test_its_scores_are_the_reference_for_faint_and_strong_textures(seed, shift):
    rng = np.random.default_rng(seed)
    luma = np.clip(rng.normal(128, rng.choice([1, 10, 60]), (64, 96)), 0, 255).astype(np.uint8)
    score = Kv260Exact(Kv260Exact.Options(shift)).measure(luma)
    assert np.array_equal(score, reference.score(luma, shift))
    assert np.array_equal(score_plainly(luma, shift), score)
    assert np.array_equal(
        Kv260Exact(Kv260Exact.Options(shift)).measure(luma[5:40:2, ::3]), reference.score(luma[5:40:2, ::3], shift)
    )


def test_auto_takes_one_shift_for_strong_textures_and_the_bracket_where_something_sharper_may_come():
    rng = np.random.default_rng(1)
    chosen = []
    for contrast in (0, 1, 4, 12, 40, 120):
        accelerator = Kv260Exact()
        accelerator.probe(np.clip(rng.normal(128, contrast, (80, 80)), 0, 255).astype(np.uint8))
        chosen.append(accelerator.shift)
        assert accelerator.configure() == reference.score_scale(accelerator.shift)
    assert chosen == ["bracket", "bracket", 2, 3, 4, 4]


def test_a_first_frame_all_out_of_focus_does_not_make_sharp_ones_saturate():
    rng = np.random.default_rng(2)
    sharp = cv2.resize(rng.integers(0, 256, (100, 150), np.uint8), (600, 400), interpolation=cv2.INTER_CUBIC)
    accelerator = Kv260Exact()
    accelerator.probe(cv2.GaussianBlur(sharp, (0, 0), 20))
    full = accelerator.configure().saturation
    assert np.mean(accelerator.measure(sharp) == full) < 1e-4 < np.mean(reference.score(sharp, 0) == 255)


def test_a_probe_is_looked_at_part_by_part_with_the_result_of_the_whole():
    luma = np.zeros((1000, 64), np.uint8)
    dots = np.random.default_rng(3).integers(0, 256, (80, 64), np.uint8)
    for top in (0, 100, 915):
        luma[:] = 0
        luma[top : top + 80] = dots
        assert reference.suitable_shift(luma) == reference.suitable_shift(np.ascontiguousarray(luma.T)) == 4


def test_without_a_probe_auto_is_the_bracket_and_a_probe_changes_no_shift_that_was_set():
    assert Kv260Exact().configure() == reference.score_scale("bracket")
    accelerator = Kv260Exact(Kv260Exact.Options(shift=3))
    accelerator.probe(np.zeros((9, 9), np.uint8))
    assert accelerator.shift == 3


@pytest.mark.parametrize("shift", [5, -1, "fine", True])
def test_a_shift_that_does_not_exist_is_refused_when_the_configuration_is_read(shift):
    with pytest.raises(ValueError, match="none of auto, bracket, 0, 1, 2, 3, 4"):
        Kv260Exact.Options(shift=shift)
