"""The processor's double of the KV260 gives the reference's scores, bit for bit."""

from __future__ import annotations

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


def test_auto_takes_the_finest_shift_that_leaves_room_above_the_probe():
    rng = np.random.default_rng(1)
    chosen = []
    for contrast in (0, 1, 4, 12, 40, 120):
        accelerator = Kv260Exact()
        accelerator.probe(np.clip(rng.normal(128, contrast, (80, 80)), 0, 255).astype(np.uint8))
        chosen.append(accelerator.shift)
        assert accelerator.configure() == reference.score_scale(accelerator.shift)
    assert chosen == sorted(chosen) and chosen[0] == 0 and chosen[-1] == 4 and len(set(chosen)) > 2


def test_without_a_probe_auto_is_the_usual_shift_and_a_probe_changes_no_shift_that_was_set():
    assert Kv260Exact().configure() == reference.score_scale(1)
    accelerator = Kv260Exact(Kv260Exact.Options(shift=3))
    accelerator.probe(np.zeros((9, 9), np.uint8))
    assert accelerator.shift == 3


@pytest.mark.parametrize("shift", [5, -1, "fine", True])
def test_a_shift_that_does_not_exist_is_refused_when_the_configuration_is_read(shift):
    with pytest.raises(ValueError, match="none of auto, bracket, 0, 1, 2, 3, 4"):
        Kv260Exact.Options(shift=shift)
