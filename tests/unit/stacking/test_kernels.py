"""Compiled loops and their twins in numpy give the same bits; and what both give is right."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focusrail.stacking import kernels
from focusrail_drivers import native
from focusrail_drivers.accelerators import lob
from peers.textures import about, similarity, texture

SIZES = st.tuples(st.integers(1, 90), st.integers(1, 700))
GAINS = st.tuples(*[st.floats(0.3, 3.0)] * 3)
SEEDS = st.integers(0, 2**32 - 1)
GAUSSIAN = np.ascontiguousarray(cv2.getGaussianKernel(7, 1.0)[3:, 0].astype(np.float32))


@pytest.fixture(autouse=True)
def _compiled() -> None:
    assert kernels.compiled(), "`make` compiles the loops; without a compiler it says so and stops"


def both_ways(work: Callable[[], list[np.ndarray]]) -> Iterator[list[np.ndarray]]:
    """What a piece of work gives compiled, and in numpy."""
    yield work()
    library: ctypes.CDLL | None = kernels._LIBRARY
    kernels._LIBRARY = None
    try:
        yield work()
    finally:
        kernels._LIBRARY = library


def same_bits(work: Callable[[], list[np.ndarray]]) -> None:
    compiled, plain = both_ways(work)
    for one, other in zip(compiled, plain, strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


def pixels(rng: np.random.Generator, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@settings(deadline=None, max_examples=60)
@given(
    SIZES, SEEDS, st.sampled_from([np.uint8, np.uint16]), st.floats(-5, 5), st.floats(0.6, 1.7), st.floats(-900, 900),
    st.floats(-900, 900), GAINS,
)  # fmt: skip
def test_a_warp_is_the_same_in_numpy(size, seed, dtype, degrees, scale, x, y, gain) -> None:
    rng = np.random.default_rng(seed)
    frame = pixels(rng, (*size, 3), dtype)
    inverse = similarity(scale=scale, degrees=degrees, x=x, y=y)[:2]
    top = int(rng.integers(0, size[0]))
    rows = int(rng.integers(1, size[0] - top + 1))
    same_bits(lambda: [kernels.warp(frame, inverse, gain=gain, top=top, rows=rows)])


@settings(deadline=None, max_examples=40)
@given(SIZES, SEEDS, st.sampled_from([np.uint8, np.uint16]), st.integers(2, 4))
def test_every_other_loop_is_the_same_in_numpy(size, seed, dtype, level) -> None:
    def work() -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        image = pixels(rng, (*size, 3), dtype)
        tile = kernels.split(image, gain=tuple(rng.uniform(0.5, 2, 3)))
        score = rng.integers(0, 4081, size).astype(np.uint16)
        made = [tile, kernels.luma(tile), kernels.join(tile, np.dtype(dtype))]
        made.append(kernels.smooth(rng.random(size, np.float32) * 255, GAUSSIAN))
        for halved in (False, True):
            made.append(kernels.energy(score, scale=1 / 16, kernel=GAUSSIAN, halved=halved))
            made.append(kernels.energy(score, score[::-1].copy(), scale=1 / 7, kernel=GAUSSIAN, halved=halved))
        made += [kernels.shrink(image, side) for side in (2, 3, 5) if side <= min(size)]
        state, mean = np.zeros((5, *size), np.uint16), np.zeros((3, *size), np.uint16)
        largest, weight, best = np.zeros(size, np.uint16), np.zeros(size, np.float32), np.zeros((3, *size), dtype)
        winners = np.zeros((2, *size), np.uint16)
        for measure_dtype in (np.int16, np.float32):
            most = np.full(size, -1, measure_dtype)
            for frame in range(4):
                tile = pixels(rng, (3, *size), np.uint16)
                measure = rng.integers(0, 9, size).astype(measure_dtype)
                kernels.choose(measure, tile, largest=most, best=best, winner=winners[0], frame=frame)
            made.append(most)
        bands, shape = mean.copy(), (-(-size[0] // 2**level), -(-size[1] // 2**level))
        base = rng.random((3, *shape), np.float32) * 65535
        colour = rng.random(((size[0] + 1) // 2, (size[1] + 1) // 2), np.float32) * 30
        made += kernels.chroma(tile)
        for frame in range(5):
            fine, coarse = rng.random((2, *size), np.float32) * 50
            kernels.track(fine, coarse, floors=(0.3, 0.1), state=state, now=frame)
            tile = pixels(rng, (3, *size), np.uint16)
            kernels.blend(
                fine + 1, tile, mean=mean, largest=largest, weight=weight, winner=winners[1], frame=frame,
                power=3,
            )  # fmt: skip
            top = int(rng.integers(0, size[0]))
            rows = int(rng.integers(1, size[0] - top + 1))
            sharp = kernels.focus(fine, colour, noise=(0.7, 1.9), floor=8, top=top, rows=rows)
            part = slice(top, top + rows)
            kernels.blend(
                sharp, tile[:, part], mean=bands[:, part], largest=largest[part], weight=weight[part],
                winner=winners[1][part], frame=frame, power=2, base=base, level=level, top=top,
            )  # fmt: skip
            made.append(sharp)
        made.append(kernels.compose(bands, base=base, level=level, top=0, rows=(size[0] + 2) // 3, step=3, gain=1.06))
        return [*made, state, bands, mean, largest, weight, best, winners]

    same_bits(work)


@settings(deadline=None, max_examples=30)
@given(SIZES, SEEDS)
def test_the_accelerators_loop_is_the_same_by_opencv(size, seed) -> None:
    luma = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    assert np.array_equal(lob.score(luma), lob.score_plainly(luma))


@settings(deadline=None, max_examples=40)
@given(SIZES, SEEDS, st.booleans())
def test_lob_of_the_usual_sizes_is_opencvs(size, seed, extreme) -> None:
    luma = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    luma = luma // 128 * 255 if extreme else luma
    wanted = np.abs(cv2.Laplacian(cv2.GaussianBlur(luma, (5, 5), 0), cv2.CV_64F, ksize=5))
    compiled = kernels.lob5(luma)
    assert compiled is not None
    assert np.array_equal(compiled, wanted)


def test_a_missing_library_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert native.load(__file__, "libnothing.so") is None
    assert native.load(kernels.__file__, "native/libnative.so") is not None
    monkeypatch.setenv("FOCUSRAIL_PLAIN", "1")
    assert native.load(kernels.__file__, "native/libnative.so") is None


def test_no_pixel_depends_on_the_rows_that_are_warped_with_it() -> None:
    frame = texture(130, 1100)
    inverse = np.linalg.inv(about(similarity(scale=1.02, degrees=0.8, x=3.4, y=-2.1), (1100, 130)))[:2]
    whole = kernels.warp(frame, inverse, top=0, rows=130)
    for top, rows in ((0, 1), (1, 64), (65, 65), (129, 1)):
        assert np.array_equal(kernels.warp(frame, inverse, top=top, rows=rows), whole[:, top : top + rows])


@pytest.mark.parametrize("degrees", [0.0, 0.3, -4.0])
def test_a_cubic_surface_is_warped_exactly(degrees: float) -> None:
    # Six-point convolution reproduces polynomials up to the third degree, and so do two passes of it.
    y, x = np.mgrid[0:200, 0:300].astype(np.float64)

    def surface(u, v):
        u, v = (u - 150) / 150, (v - 100) / 100
        return 30000 + 9000 * u**3 - 7000 * u * u * v + 5000 * u * v * v + 4000 * v**3 + 3000 * u

    frame = np.repeat(np.rint(surface(x, y)).astype(np.uint16)[..., None], 3, axis=2)
    inverse = np.linalg.inv(about(similarity(scale=1.03, degrees=degrees, x=2.3, y=-1.7), (300, 200)))[:2]
    tile = kernels.warp(frame, inverse, top=0, rows=200)
    u = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
    v = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
    inside = (u > 3) & (u < 296) & (v > 3) & (v < 196)
    for plane in tile:
        assert np.abs(plane - surface(u, v))[inside].max() < 2.0


def test_there_and_back_a_texture_keeps_more_than_by_opencvs_cubic_kernel() -> None:
    frame = cv2.GaussianBlur(texture(200, 300), (0, 0), 0.8)
    there = about(similarity(scale=1.004, degrees=0.3, x=1.37, y=-2.61), (300, 200))

    def again(warp) -> float:
        back = warp(warp(frame, there), np.linalg.inv(there))
        return float(np.abs(back.astype(float) - frame)[20:-20, 20:-20].mean())

    def ours(image, transform):
        return kernels.join(kernels.warp(image, np.linalg.inv(transform)[:2], top=0, rows=200), np.dtype(np.uint8))

    def theirs(image, transform):
        return cv2.warpAffine(image, transform[:2], (300, 200), flags=cv2.INTER_CUBIC)

    assert again(ours) < 0.6 * again(theirs)


def test_luma_of_eight_bits_is_opencvs() -> None:
    image = np.random.default_rng(5).integers(0, 256, (300, 400, 3), np.uint8)
    assert np.array_equal(kernels.luma(kernels.split(image)), cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_splitting_and_joining_return_the_very_pixels(dtype: type) -> None:
    image = pixels(np.random.default_rng(6), (33, 47, 3), dtype)
    assert np.array_equal(kernels.join(kernels.split(image), np.dtype(dtype)), image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_joined_pixels_are_whole_rows_which_encoders_insist_on(dtype: type) -> None:
    tile = pixels(np.random.default_rng(3), (3, 20, 30), np.uint16)
    for (joined,) in both_ways(lambda: [kernels.join(tile, np.dtype(dtype))]):
        assert joined.flags.c_contiguous


@pytest.mark.parametrize("gain", [0.25, 0.83, 1.0, 1.7, 4.0])
def test_a_gain_multiplies_its_channel_and_clips(gain: float) -> None:
    image = np.arange(65536, dtype=np.uint16).repeat(3).reshape(256, 256, 3)
    gains = (gain, 1.0, gain / 2)
    wanted = np.clip(image * gains, 0, 65535)
    assert np.abs(kernels.join(kernels.split(image, gain=gains), np.dtype(np.uint16)) - wanted).max() <= 0.51


def test_smoothing_is_opencvs_gaussian() -> None:
    plane = np.random.default_rng(7).random((60, 90), np.float32)
    assert np.allclose(kernels.smooth(plane, GAUSSIAN), cv2.GaussianBlur(plane, (7, 7), 1.0), rtol=1e-6)


def test_blending_is_the_weighted_mean_of_all_frames_and_never_leaves_their_range() -> None:
    rng = np.random.default_rng(8)
    focus = rng.uniform(0.01, 100, (30, 20, 40)).astype(np.float32)
    frames = rng.integers(20000, 50000, (30, 3, 20, 40)).astype(np.uint16)
    mean, winner = np.zeros((3, 20, 40), np.uint16), np.zeros((20, 40), np.uint16)
    largest, weight = np.zeros((20, 40), np.uint16), np.zeros((20, 40), np.float32)
    for index, (one, frame) in enumerate(zip(focus, frames, strict=True)):
        kernels.blend(one, frame, mean=mean, largest=largest, weight=weight, winner=winner, frame=index, power=3)
    weights = focus[:, None].astype(np.float64) ** 3
    assert np.abs(mean - (weights * frames).sum(0) / weights.sum(0)).max() < 8.0
    assert np.mean(winner == focus.argmax(0)) > 0.97, "but where two are alike to a few parts in a thousand"
    assert np.allclose(kernels.decode(largest), focus.max(0), rtol=0.004)
    assert (mean >= frames.min(0)).all() and (mean <= frames.max(0)).all()


def test_tracking_knows_the_best_frame_and_its_neighbours() -> None:
    rng = np.random.default_rng(9)
    energies = rng.uniform(0.5, 900, (12, 25, 31)).astype(np.float32)
    state = np.zeros((5, 25, 31), np.uint16)
    for number, energy in enumerate(energies):
        kernels.track(energy, energy, floors=(0.0, 0.0), state=state, now=number)
    codes = ((energies.view(np.uint32) + 0x4000) >> 15).astype(np.uint16)
    best = codes.argmax(0)
    assert np.array_equal(state[4], best)
    padded = np.concatenate([np.zeros_like(codes[:1]), codes, np.zeros_like(codes[:1])])
    for plane, offset in ((0, 1), (1, 0), (2, 2)):  # best, before, after
        assert np.array_equal(state[plane], np.take_along_axis(padded, best[None] + offset, 0)[0])
    decoded = (state[0].astype(np.uint32) << 15).view(np.float32)
    assert np.allclose(decoded, energies.max(0), rtol=0.004)
