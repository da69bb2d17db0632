"""The reference arithmetic against the filter's definition, written out in loops, and against the LoB it stands for."""

from __future__ import annotations

import cv2
import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focusrail_drivers.accelerators.cpu import CpuAccelerator
from focusrail_drivers.accelerators.kv260 import reference

tiles = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)))
kernels = arrays.arrays(np.int16, (3, 3), elements=st.integers(-32768, 32767))
faint = st.builds(lambda seed: np.random.default_rng(seed).integers(120, 124, (9, 12), np.uint8), st.integers(0, 999))


def by_definition(tile, kernel, shift):
    height, width = tile.shape
    out = np.zeros(tile.shape, np.uint8)
    for y in range(height):
        for x in range(width):
            total = 0
            for m in range(3):
                for n in range(3):
                    row, column = y - 1 + m, x - 1 + n
                    if 0 <= row < height and 0 <= column < width:
                        total += int(kernel[m, n]) * int(tile[row, column])
            out[y, x] = min(max(total >> shift, 0), 255)
    return out


@given(tiles, kernels, st.integers(0, 31))
def test_a_filter_is_its_definition_for_every_kernel_and_shift(tile, kernel, shift):
    assert np.array_equal(reference.filter2d(tile, kernel, shift), by_definition(tile, kernel, shift))


@given(tiles, st.integers(0, 4))
def test_the_graph_is_the_laplacian_first_and_then_the_binomial(tile, shift):
    first = by_definition(tile, reference.LAPLACIAN, 0)
    assert np.array_equal(reference.graph(tile, shift), by_definition(first, reference.BINOMIAL, shift))


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))), st.integers(0, 4))
def test_planes_do_not_touch_each_other(frame, shift):
    together = reference.graph(frame, shift)
    assert together.shape == frame.shape
    for plane in range(frame.shape[2]):
        assert np.array_equal(together[..., plane], reference.graph(np.ascontiguousarray(frame[..., plane]), shift))


@given(faint)
def test_without_saturation_shift_0_is_the_focus_measure_of_the_processor(luma):
    assert np.array_equal(reference.score(luma, 0), CpuAccelerator().measure(luma))


@given(tiles, st.integers(0, 4))
def test_a_score_is_below_the_exact_one_by_less_than_a_step_or_saturates(luma, shift):
    padded = cv2.copyMakeBorder(luma, 2, 2, 2, 2, cv2.BORDER_REFLECT_101)
    full = np.maximum(*reference.planes(padded, shift))[2:-2, 2:-2] == 255
    clipped = cv2.dilate((np.maximum(*reference.planes(padded, 0)) == 255).astype(np.uint8), np.ones((3, 3)))[
        2:-2, 2:-2
    ]
    exact = CpuAccelerator().measure(luma).astype(np.int32)
    error = np.abs((reference.score(luma, shift).astype(np.int32) << shift) - exact)
    assert error[~(full | clipped.astype(bool))].max(initial=0) < 1 << shift


@given(tiles)
def test_a_bracket_shows_weak_texture_at_shift_0_and_strong_at_shift_3(luma):
    padded = cv2.copyMakeBorder(luma, 2, 2, 2, 2, cv2.BORDER_REFLECT_101)
    bracket, fine, coarse = (reference.score(luma, shift) for shift in ("bracket", 0, 3))
    full = np.maximum(*reference.planes(padded, 0))[2:-2, 2:-2] == 255
    assert np.array_equal(bracket[~full], fine[~full])
    assert np.array_equal(bracket[full], coarse[full] << 3)


@pytest.mark.parametrize("shift", [0, 1, 2, 3, "bracket"])
def test_scores_reach_the_saturation_that_the_scale_names_and_never_more(shift):
    dots = np.zeros((40, 40), np.uint8)
    dots[::4, ::4] = 255
    extremes = [dots, ~dots, cv2.dilate(dots, np.ones((2, 2), np.uint8))]
    assert max(reference.score(each, shift).max() for each in extremes) == reference.score_scale(shift).saturation


@settings(max_examples=30)
@given(st.integers(0, 99), st.sampled_from([*reference.SHIFTS, "bracket"]))
def test_scores_of_all_shifts_have_one_unit(seed, shift):
    noise = np.random.default_rng(seed).normal(128, 40, (32, 32))
    luma = np.clip(cv2.GaussianBlur(noise, (0, 0), 2.5), 0, 255).astype(np.uint8)
    exact = CpuAccelerator().measure(luma) / 16
    scale = reference.score_scale(shift)
    assert np.abs(reference.score(luma, shift) / scale.scale - exact).max() < 1 / scale.scale + 1e-9


@given(arrays.arrays(np.uint8, (12, 15)), st.integers(2, 10), st.sampled_from([1, "bracket"]))
def test_a_picture_in_two_tiles_with_halo_scores_as_in_one(luma, cut, shift):
    halo = reference.HALO_PX
    padded = cv2.copyMakeBorder(luma, halo, halo, halo, halo, cv2.BORDER_REFLECT_101)
    parts = [
        reference.tile_score(padded[: cut + 2 * halo], shift)[halo:-halo, halo:-halo],
        reference.tile_score(padded[cut:], shift)[halo:-halo, halo:-halo],
    ]
    assert np.array_equal(np.concatenate(parts), reference.score(luma, shift))


@pytest.mark.parametrize("shift", [-1, 32])
def test_a_shift_that_the_register_does_not_mean_is_refused(shift):
    with pytest.raises(ValueError, match="shifts by 0 to 31"):
        reference.filter2d(np.zeros((3, 3), np.uint8), reference.BINOMIAL, shift)
