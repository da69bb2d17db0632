from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focusrail.model.method import Method
from focusrail.stacking import kernels, pyramid
from focusrail.stacking.accumulators import accumulator
from focusrail.stacking.canvas import STRIPE_ROWS, stripes
from focusrail.stacking.focus_measure import Scores, lob
from focusrail.stacking.fusion import Accumulator, Fused, LobAccumulator
from focusrail_drivers.accelerators.cpu import CpuAccelerator
from peers.textures import texture

BANDS, SOFT, LOB = Method(detail_gain=1.0), Method(fusion="soft"), Method(fusion="lob")
PYRAMID = Method(fusion="pyramid")


def make(method: Method, first: np.ndarray) -> Accumulator:
    height, width = first.shape[:2]
    return accumulator(height, width, method, first.dtype, accelerator=CpuAccelerator())


def fold(into: Accumulator, frame: np.ndarray, index: int, *, rows: int = STRIPE_ROWS) -> None:
    into.begin(frame, np.eye(3), kernels.UNCHANGED, index)
    for stripe in stripes(frame.shape[0], halo_px=into.halo_px, rows=rows):
        tile = kernels.split(frame[stripe.halo_top : stripe.halo_bottom])
        luma = kernels.luma(tile)
        into.add(stripe, tile, luma, Scores.of(luma, CpuAccelerator()), index)
    into.end(index)


def fuse(method: Method, frames: list[np.ndarray]) -> Fused:
    folded = make(method, frames[0])
    for index, frame in enumerate(frames):
        fold(folded, frame, index)
    return folded.finish()


def scene(height: int, width: int) -> np.ndarray:
    """Texture above a flat ground, which tells a method how strong the noise is."""
    image = texture(height, width)
    image[height * 6 // 10 :] = 90
    return image


def blurred(image: np.ndarray, sigma: float = 4.0) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma)


def test_lob_takes_each_pixel_from_the_frame_with_the_largest_measure() -> None:
    random = np.random.default_rng(1)
    frames = [random.integers(0, 256, (130, 70, 3), np.uint8) for _ in range(4)]
    fused = fuse(LOB, frames)
    greys = [cv2.cvtColor(f, cv2.COLOR_BGR2GRAY) for f in frames]
    measures = np.stack([lob(g, blur_px=5, laplacian_px=5) for g in greys])
    winner = len(frames) - 1 - np.argmax(measures[::-1], axis=0)  # of equals the latest
    assert np.array_equal(fused.index, winner)
    assert np.array_equal(fused.image, np.choose(winner[..., None], np.stack(frames)))


def test_lob_takes_the_later_of_equal_frames() -> None:
    frame = texture(70, 60)
    assert (fuse(LOB, [frame, frame, frame]).index == 2).all()
    black = np.zeros((70, 60, 3), np.uint8)
    assert (fuse(LOB, [black, black]).index == 1).all()


def test_lob_with_large_kernels_works_in_floating_point() -> None:
    frames = [texture(70, 60, seed=k) for k in range(2)]
    fused = fuse(Method(fusion="lob", laplacian_px=7), frames)
    assert set(np.unique(fused.index)) == {0, 1}


@settings(deadline=None, max_examples=40)
@given(
    frames=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    style=st.sampled_from(["noise", "flat", "black and white"]),
    method=st.sampled_from([SOFT, PYRAMID]),
)
def test_no_colour_is_invented(frames: int, seed: int, dtype: type, style: str, method: Method) -> None:
    random = np.random.default_rng(seed)
    top = np.iinfo(dtype).max
    shape = (70, 40, 3)
    if style == "noise":
        stack = [random.integers(0, top, shape, dtype, endpoint=True) for _ in range(frames)]
    elif style == "flat":
        stack = [np.full(shape, random.integers(0, top, endpoint=True), dtype) for _ in range(frames)]
    else:
        stack = [(random.integers(0, 2, shape) * top).astype(dtype) for _ in range(frames)]
    fused = fuse(method, stack)
    assert fused.image.dtype == dtype
    assert (fused.image >= np.min(stack, axis=0)).all()
    assert (fused.image <= np.max(stack, axis=0)).all()
    assert fused.index.max() < frames


def test_soft_averages_flat_areas_so_that_noise_falls() -> None:
    random = np.random.default_rng(2)
    frames = [
        np.clip(np.rint(128 + 3 * random.standard_normal((128, 128, 3))), 0, 255).astype(np.uint8) for _ in range(16)
    ]
    assert fuse(SOFT, frames).image.std() < 0.45 * frames[0].std()
    assert fuse(LOB, frames).image.std() > 0.9 * frames[0].std()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(150, 91), (33, 64), (20, 30), (3, 2), (1, 1)])
def test_a_pyramid_does_not_depend_on_where_stripes_begin(size: tuple[int, int], dtype: type) -> None:
    random = np.random.default_rng(6)
    frames = [random.integers(0, np.iinfo(dtype).max, (*size, 3), dtype, endpoint=True) for _ in range(3)]
    results = []
    for rows in (STRIPE_ROWS, 16, 1000):
        folded = make(PYRAMID, frames[0])
        for index, frame in enumerate(frames):
            fold(folded, frame, 7 + index, rows=rows)
        results.append(folded.finish())
    for other in results[1:]:
        assert np.array_equal(results[0].image, other.image)
        assert np.array_equal(results[0].index, other.index)
    assert set(np.unique(results[0].index)) <= {7, 8, 9}


def test_a_pyramids_own_stripes_leave_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [np.random.default_rng(k).integers(0, 256, (150, 91, 3), np.uint8) for k in range(3)]
    cut = fuse(PYRAMID, frames)
    monkeypatch.setattr(pyramid, "stripes", partial(stripes, rows=1000))
    whole = fuse(PYRAMID, frames)
    assert np.array_equal(cut.image, whole.image)
    assert np.array_equal(cut.index, whole.index)


def test_each_scale_of_a_pyramid_comes_from_the_frame_that_shows_it() -> None:
    """Fine detail of one frame over the coarse forms of another, which no choice of whole pixels can give."""
    random = np.random.default_rng(7)
    fine = random.normal(0, 10, (192, 192, 1))
    coarse = cv2.GaussianBlur(random.normal(0, 1, (192, 192)), (0, 0), 12)[..., None]
    coarse *= 60 / np.abs(coarse).max()
    frames = [np.clip(np.rint(128 + part + np.zeros(3)), 0, 255).astype(np.uint8) for part in (fine, coarse)]
    fused = fuse(PYRAMID, frames).image[..., 0]
    likeness = [np.corrcoef(fused.ravel(), part.ravel())[0, 1] for part in (fine, coarse)]
    assert min(likeness) > 0.5


def test_the_top_of_a_pyramid_is_the_mean() -> None:
    flat = [np.full((64, 64, 3), grey, np.uint8) for grey in (90, 100, 140)]
    assert (fuse(PYRAMID, flat).image == 110).all()


def test_detail_is_multiplied_by_its_gain_and_nothing_else_is() -> None:
    frame = cv2.GaussianBlur(texture(160, 200), (0, 0), 0.7)
    plain, more = (fuse(Method(detail_gain=gain), [frame]).image.astype(float) for gain in (1.0, 1.1))

    def deviations(image: np.ndarray) -> tuple[float, float]:
        coarse = cv2.GaussianBlur(image, (0, 0), 9)
        return float(coarse.std()), float((image - cv2.GaussianBlur(image, (0, 0), 1)).std())

    (coarse, fine), (coarse_more, fine_more) = deviations(plain), deviations(more)
    assert fine_more / fine == pytest.approx(1.1, abs=0.02)
    assert coarse_more / coarse == pytest.approx(1.0, abs=0.003)


@pytest.mark.parametrize("method", [SOFT, PYRAMID])
@pytest.mark.parametrize("sharp_at", [0, 1, 2])
def test_texture_is_taken_from_the_sharp_frame(sharp_at: int, method: Method) -> None:
    sharp = scene(128, 128)
    frames = [sharp if k == sharp_at else blurred(sharp) for k in range(3)]
    fused = fuse(method, frames)
    off = np.abs(fused.image.astype(float) - sharp)
    assert off.mean() < 1.5
    assert np.abs(blurred(sharp).astype(float) - sharp).mean() > 5 * off.mean()
    textured = slice(0, 70)
    assert np.mean(fused.index[textured] == sharp_at) > 0.85


def test_what_no_frame_has_in_focus_is_as_in_the_frame_nearest_to_it() -> None:
    rng = np.random.default_rng(3)
    far = cv2.resize(texture(75, 100), (400, 300), interpolation=cv2.INTER_CUBIC).astype(np.float32) * 0.3 + 60
    quiet = [cv2.GaussianBlur(far, (0, 0), sigma) for sigma in (48, 40, 32, 26, 20, 16)]
    frames = [np.rint(one + rng.normal(0, 1.5, one.shape)).astype(np.uint8) for one in quiet]
    image = fuse(BANDS, frames).image.astype(np.float32)
    off = [np.sqrt(np.mean((image - one) ** 2)) for one in quiet]
    assert np.argmin(off) == len(quiet) - 1
    assert off[-1] < 1.0, "less than the noise of one frame"


def test_the_loudest_picture_there_can_be_is_weighed_like_any_other() -> None:
    rng = np.random.default_rng(5)
    flat = np.full((256, 320, 3), 90, np.uint8)  # a first frame without any noise
    blocks = rng.integers(0, 2, (16, 20, 3)).repeat(16, axis=0).repeat(16, axis=1)
    fine = rng.integers(0, 2, (256, 320, 3))
    loud = ((blocks ^ fine) * 255).astype(np.uint8)
    assert np.abs(fuse(BANDS, [flat, loud, flat]).image.astype(int) - loud).max() <= 1


def test_half_sharp_frames_make_one_sharp_image() -> None:
    sharp = scene(128, 160)
    soft = blurred(sharp)
    left, right = sharp.copy(), sharp.copy()
    left[:, 80:], right[:, :80] = soft[:, 80:], soft[:, :80]
    for method in (BANDS, SOFT, LOB, PYRAMID):
        fused = fuse(method, [left, right])
        assert np.mean(fused.index[:70, :70] == 0) > 0.8
        assert np.mean(fused.index[:70, 90:] == 1) > 0.8
        assert np.abs(fused.image.astype(float) - sharp).mean() < 2


@pytest.mark.parametrize("method", [BANDS, SOFT, LOB, PYRAMID])
def test_sixteen_bits_come_out_as_sixteen_bits(method: Method) -> None:
    frame = texture(70, 60).astype(np.uint16) * 257
    frame += np.random.default_rng(0).integers(0, 100, frame.shape, np.uint16)
    fused = fuse(method, [frame, frame])
    assert fused.image.dtype == np.uint16
    # Bands are kept apart at half the sixteen bits' resolution; so are levels, but what was seen limits them.
    assert np.abs(fused.image.astype(int) - frame).max() <= (2 if method is BANDS else 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("method", [BANDS, SOFT, LOB, PYRAMID])
def test_one_frame_alone_comes_out_unchanged(method: Method, dtype: type) -> None:
    frame = np.random.default_rng(4).integers(0, np.iinfo(dtype).max, (70, 60, 3), dtype, endpoint=True)
    off = np.abs(fuse(method, [frame]).image.astype(int) - frame)
    assert off.max() <= (1 if method is BANDS and dtype == np.uint16 else 0)


def bytes_of(accumulated: Accumulator) -> int:
    return nbytes(list(vars(accumulated).values()))


def nbytes(held: object) -> int:
    if isinstance(held, np.ndarray):
        return held.nbytes
    if isinstance(held, list):
        return sum(nbytes(one) for one in held)
    return nbytes(list(vars(held).values())) if isinstance(held, pyramid._Level) else 0


@pytest.mark.parametrize("method", [BANDS, SOFT, LOB, PYRAMID])
def test_memory_does_not_grow_with_the_number_of_frames(method: Method) -> None:
    frame = texture(64, 48)
    folded = make(method, frame)
    fold(folded, frame, 0)
    held = bytes_of(folded)
    names = set(vars(folded))
    for index in range(40):
        fold(folded, frame, index)
    assert bytes_of(folded) == held
    assert set(vars(folded)) == names
    assert held <= frame.nbytes * 10


@pytest.mark.parametrize("method", [BANDS, SOFT, LOB, PYRAMID])
def test_finishing_and_glancing_leave_the_accumulator_as_it_was(method: Method) -> None:
    frames = [texture(70, 60, seed=k) for k in range(3)]
    watched = make(method, frames[0])
    for index, frame in enumerate(frames):
        fold(watched, frame, index)
        assert watched.glance(3).shape == (24, 20, 3)
        watched.finish()
    undisturbed = fuse(method, frames)
    assert np.array_equal(watched.finish().image, undisturbed.image)
    assert np.array_equal(watched.glance(1), undisturbed.image)


@pytest.mark.parametrize("method", [BANDS, SOFT, LOB, PYRAMID])
def test_what_a_glance_shows_does_not_change_when_more_frames_come(method: Method) -> None:
    frames = [texture(70, 60, seed=k) for k in range(2)]
    folded = make(method, frames[0])
    fold(folded, frames[0], 0)
    seen = folded.glance(1)
    before = seen.copy()
    fold(folded, frames[1], 1)
    assert np.array_equal(seen, before)


def test_the_last_possible_index_fits() -> None:
    folded = make(LOB, texture(20, 20))
    assert isinstance(folded, LobAccumulator)
    fold(folded, texture(20, 20), 65535)
    assert (folded.finish().index == 65535).all()
