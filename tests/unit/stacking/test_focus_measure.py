from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focusrail.stacking.canvas import stripes
from focusrail.stacking.focus_measure import (
    ENERGY_HALO_PX,
    Scores,
    energy,
    halved_energy,
    lob,
    lob_halo_px,
    luma,
    luma8,
)
from focusrail_drivers.accelerators.cpu import CpuAccelerator
from peers.textures import grey_texture, texture


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def extreme(height: int, width: int) -> np.ndarray:
    """Black and white only: the largest values that a kernel can make."""
    return noise(height, width) // 128 * 255


@pytest.mark.parametrize("make", [noise, extreme, grey_texture])
@pytest.mark.parametrize("blur_px", [1, 3, 5, 7, 11, 31])
@pytest.mark.parametrize("laplacian_px", [1, 3, 5, 7])
def test_lob_is_exactly_the_textbook_formula_in_double_precision(make, blur_px: int, laplacian_px: int) -> None:
    grey = make(61, 83)
    blurred = cv2.GaussianBlur(grey, (blur_px, blur_px), 0)
    wanted = np.abs(cv2.Laplacian(blurred, cv2.CV_64F, ksize=laplacian_px))
    assert np.array_equal(lob(grey, blur_px=blur_px, laplacian_px=laplacian_px), wanted)


@pytest.mark.parametrize("laplacian_px", [1, 3, 5])
def test_the_sixteen_bits_of_lob_hold_the_worst_case(laplacian_px: int) -> None:
    # Ones where the kernel is positive, and the other way round, without a blur that would soften it.
    impulse = np.zeros((31, 31))
    impulse[15, 15] = 1
    kernel = cv2.Laplacian(impulse, cv2.CV_64F, ksize=laplacian_px)
    for worst in (kernel > 0, kernel < 0):
        grey = worst.astype(np.uint8) * 255
        wanted = np.abs(cv2.Laplacian(grey, cv2.CV_64F, ksize=laplacian_px))
        measure = lob(grey, blur_px=1, laplacian_px=laplacian_px)
        assert measure.min() >= 0
        assert np.array_equal(measure, wanted)


def test_lob_of_sixteen_bits_keeps_them() -> None:
    grey = np.random.default_rng(0).integers(0, 65536, (40, 50), np.uint16)
    wanted = np.abs(cv2.Laplacian(cv2.GaussianBlur(grey, (5, 5), 0), cv2.CV_64F, ksize=5))
    assert np.allclose(lob(grey, blur_px=5, laplacian_px=5), wanted, rtol=1e-6, atol=1)


def by_hand(grey: np.ndarray) -> np.ndarray:
    """16 |4-neighbour Laplacian of the 3x3 binomial|, pixel by pixel; the kernel is applied once, REFLECT_101."""
    binomial = np.outer([1, 2, 1], [1, 2, 1])
    laplacian = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    kernel = np.zeros((5, 5), int)
    for dy in range(3):
        for dx in range(3):
            kernel[dy : dy + 3, dx : dx + 3] += laplacian[dy, dx] * binomial
    padded = np.pad(grey.astype(int), 2, mode="reflect")
    height, width = grey.shape
    out = np.zeros(grey.shape, int)
    for dy in range(5):
        for dx in range(5):
            out += kernel[dy, dx] * padded[dy : dy + height, dx : dx + width]
    return np.abs(out)


@settings(deadline=None, max_examples=60)
@given(st.integers(3, 40), st.integers(3, 40), st.integers(0, 2**32 - 1), st.booleans())
def test_the_accelerator_is_exactly_the_textbook_convolution_borders_included(
    height: int, width: int, seed: int, black_and_white: bool
) -> None:
    grey = noise(height, width, seed)
    if black_and_white:
        grey = grey // 128 * 255
    score = CpuAccelerator().measure(grey)
    assert score.dtype == np.uint16
    assert np.array_equal(score, by_hand(grey))


def test_no_score_exceeds_what_the_scale_says() -> None:
    impulse = np.zeros((9, 9), np.uint8)
    impulse[4, 4] = 1
    positive = np.zeros((9, 9), np.uint8)
    scale = CpuAccelerator().configure()
    for sign in (1, -1):
        kernel = by_signed_kernel()
        positive[2:7, 2:7] = (kernel * sign > 0) * 255
        assert int(CpuAccelerator().measure(positive)[4, 4]) <= scale.saturation
    assert scale.halo_px == 2


def by_signed_kernel() -> np.ndarray:
    binomial = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float64)
    impulse = np.zeros((5, 5))
    impulse[2, 2] = 1
    return cv2.Laplacian(cv2.filter2D(impulse, cv2.CV_64F, binomial), cv2.CV_64F, ksize=1)


@pytest.mark.parametrize(("blur_px", "laplacian_px"), [(1, 1), (3, 1), (5, 5), (7, 7), (31, 31), (1, 3)])
@pytest.mark.parametrize("height", [1, 7, 64, 65, 200])
def test_lob_by_stripes_is_lob_of_the_whole(blur_px: int, laplacian_px: int, height: int) -> None:
    grey = noise(height, 50)
    whole = lob(grey, blur_px=blur_px, laplacian_px=laplacian_px)
    for stripe in stripes(height, halo_px=lob_halo_px(blur_px, laplacian_px)):
        part = lob(grey[stripe.halo_top : stripe.halo_bottom], blur_px=blur_px, laplacian_px=laplacian_px)
        if laplacian_px <= 7:
            assert np.array_equal(part[stripe.inner], whole[stripe.rows])
        else:  # beyond the exact integers of float32
            assert np.allclose(part[stripe.inner], whole[stripe.rows], rtol=1e-3, atol=1e-6 * float(whole.max()))


@pytest.mark.parametrize("height", [7, 64, 69, 200])
def test_energies_by_stripes_are_those_of_the_whole(height: int) -> None:
    grey = noise(height, 50)
    accelerator = CpuAccelerator()
    scale = accelerator.configure()
    whole = Scores.of(grey, accelerator)
    for stripe in stripes(height, halo_px=ENERGY_HALO_PX):
        part = Scores.of(grey[stripe.halo_top : stripe.halo_bottom], accelerator)
        assert np.array_equal(energy(part.fine, scale)[stripe.inner], energy(whole.fine, scale)[stripe.rows])
        half, rows = slice(stripe.inner.start // 2, stripe.inner.stop // 2), slice(stripe.top // 2, stripe.bottom // 2)
        assert np.array_equal(halved_energy(part.fine, scale)[half], halved_energy(whole.fine, scale)[rows])
        assert np.array_equal(energy(part.coarse, scale)[half], energy(whole.coarse, scale)[rows])


def test_energy_is_in_squared_grey_levels_and_falls_with_defocus() -> None:
    accelerator = CpuAccelerator()
    scale = accelerator.configure()

    def of(grey: np.ndarray) -> np.ndarray:
        return energy(accelerator.measure(grey), scale)

    assert (of(np.full((40, 40), 200, np.uint8)) == 0).all()
    sharp = grey_texture(80, 80)
    energies = [of(cv2.GaussianBlur(sharp, (0, 0), sigma)).mean() for sigma in (0.5, 1.0, 2.0, 4.0)]
    assert energies == sorted(energies, reverse=True)
    assert energies[0] > 10 * energies[-1]
    assert halved_energy(accelerator.measure(sharp), scale).mean() == pytest.approx(energies_mean(sharp), rel=0.1)


def energies_mean(grey: np.ndarray) -> float:
    return float(((CpuAccelerator().measure(grey).astype(float) / 16) ** 2).mean())


def test_luma_of_grey_is_that_grey_and_sixteen_bits_become_eight() -> None:
    greys = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    image = cv2.merge([greys] * 3)
    assert np.array_equal(luma(image), greys)
    assert np.array_equal(luma8(image), np.rint(greys / 257).astype(np.uint8))
    small = texture(20, 20)
    assert luma8(small).dtype == np.uint8
    assert np.array_equal(luma8(small), luma(small))
