"""Depth from focus peaks, against known truth."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focusrail.stacking import kernels
from focusrail.stacking.canvas import stripes
from focusrail.stacking.depth_map import SURE, DepthMap, Won, find_depth
from focusrail.stacking.focus_measure import Scores
from focusrail.stacking.focus_peak import FocusPeaks, PeakTracker
from focusrail_drivers.accelerators.cpu import CpuAccelerator

CPU = CpuAccelerator()
NOISE = 0.1
Array = npt.NDArray[np.float64]


def gaussian_peaks(
    truth: Array, positions: Sequence[float], *, width: float = 0.5, height: float = 1000.0
) -> FocusPeaks:
    """Peaks of energies that are Gaussians over position, above noise; half-size planes."""
    peaks = FocusPeaks.empty(2 * truth.shape[0], 2 * truth.shape[1])
    for rank, position in enumerate(positions):
        energy = height * np.exp(-((position - truth) ** 2) / (2 * width**2)) + 1e-3
        track(peaks, energy.astype(np.float32), rank)
    return peaks


def track(peaks: FocusPeaks, energy: npt.NDArray[np.float32], rank: int) -> None:
    kernels.track(energy, energy, floors=(0.0, 0.0), state=peaks.state, now=rank)


def depth_of(peaks: FocusPeaks, positions: Sequence[float]) -> DepthMap:
    height, width = peaks.best.shape
    return find_depth(peaks, positions, noise=NOISE, crop=(0, 0, 2 * width, 2 * height))


@pytest.mark.parametrize("corner", [(0, 0), (1, 1), (0, 1)])
def test_a_depth_that_the_winner_by_colour_contradicts_is_doubted_and_kept(corner: tuple[int, int]) -> None:
    peaks, (top, left) = gaussian_peaks(ramp(), EVEN), corner
    crop = (left, top, 200, 100)
    trusted = find_depth(peaks, EVEN, noise=NOISE, crop=crop)
    index = 7 + 3 * np.abs(trusted.depth[..., None] - np.array(EVEN)).argmin(axis=2).astype(np.uint16)
    index[30:60, 80:120] = 7
    won = Won(index, {7 + 3 * rank: position for rank, position in enumerate(EVEN)})
    for executor in (None, ThreadPoolExecutor(3)):
        found = find_depth(peaks, EVEN, noise=NOISE, crop=crop, won=won, executor=executor)
        assert np.array_equal(found.depth, trusted.depth)
        share = found.confidence() / trusted.confidence()
        assert share[32:58, 82:118] == pytest.approx(0.5, abs=0.01)
        share[28:62, 78:122] = 1
        assert share == pytest.approx(1, abs=0.001)


def full(half: Array) -> Array:
    return np.repeat(np.repeat(half, 2, axis=0), 2, axis=1)


def ramp(low: float = 10.5, high: float = 13.5) -> Array:
    return np.linspace(low, high, 120)[None] * np.ones((60, 1))


EVEN = list(np.linspace(10, 14, 17))
ORDERS = {
    "even": EVEN,
    "from far to near": EVEN[::-1],
    "uneven": list(10 + 4 * np.linspace(0, 1, 19) ** 1.3),
    "with frames left out": [p for k, p in enumerate(np.linspace(10, 14, 25)) if k not in (5, 11, 12, 19)],
    "extended nearer after the far end": EVEN[8:] + EVEN[:8],
    "extended nearer, backwards": EVEN[8:] + EVEN[7::-1],
    "with a frame taken twice": EVEN[:9] + EVEN[8:],
}


@pytest.mark.parametrize("positions", ORDERS.values(), ids=ORDERS.keys())
def test_the_peak_is_found_between_frames_wherever_they_stand(positions: list[float]) -> None:
    found = depth_of(gaussian_peaks(ramp(), positions), positions)
    off = np.abs(found.depth - full(ramp()))[8:-8, 8:-8]
    # Where a pass ends in the middle of the range one neighbour is missing: there the usual curvature helps.
    assert np.percentile(off, 97) < 0.02
    assert off.max() < 0.13  # half a step
    assert not found.hole().any()


def test_a_peak_just_inside_the_first_or_last_frame_is_not_drawn_to_it() -> None:
    truth = ramp()
    truth[:30, :90], truth[30:, :90] = 10.09, 13.91
    off = np.abs(depth_of(gaussian_peaks(truth, EVEN), EVEN).depth - full(truth))
    assert off[:, :160].max() < 0.03
    assert off[[0, -1], :160].max() < 0.01


def test_where_no_peak_has_two_neighbours_the_best_frame_is_the_depth() -> None:
    truth = ramp()
    truth[:30], truth[30:] = 10.09, 13.91
    off = np.abs(depth_of(gaussian_peaks(truth, EVEN), EVEN).depth - np.where(full(truth) < 12, 10.0, 14.0))
    assert off.max() < 1e-5


def test_a_peak_beyond_the_stack_is_never_sure_and_its_depth_stays_inside() -> None:
    found = depth_of(gaussian_peaks(ramp(8.0, 13.0), EVEN), EVEN)
    beyond = full(ramp(8.0, 13.0)) < 9.9
    assert found.depth.min() >= 10.0
    assert found.confidence()[beyond].max() <= 0.4
    assert found.confidence()[full(ramp(8.0, 13.0)) > 10.4].mean() > 0.9


def photographs(
    depth: Array, positions: Sequence[float], *, noise: float, contrast: float = 45.0
) -> list[npt.NDArray[np.uint8]]:
    """A textured surface of (height, width) depth through a lens whose blur grows by 2.4 px a step: 8-bit luma."""
    random = np.random.default_rng(1)
    step = abs(positions[1] - positions[0])
    sharp = random.normal(0, 1, depth.shape).astype(np.float32)
    sharp = cv2.GaussianBlur(sharp, (0, 0), 1.2)
    sharp = 120 + contrast * sharp / sharp.std()
    radii = np.geomspace(0.4, 40, 24)
    blurred = np.stack([sharp] + [cv2.GaussianBlur(sharp, (0, 0), radius) for radius in radii])
    frames = []
    for position in positions:
        radius = 0.3 + 1.2 * np.abs(position - depth) / step
        at = np.interp(radius, np.concatenate([[0], radii]), np.arange(len(radii) + 1))
        low = np.clip(at.astype(int), 0, len(radii) - 1)
        share = at - low
        y, x = np.indices(depth.shape)
        picture = blurred[low, y, x] * (1 - share) + blurred[low + 1, y, x] * share
        frames.append(np.clip(np.rint(picture + random.normal(0, noise, depth.shape)), 0, 255).astype(np.uint8))
    return frames


def measured(
    frames: list[npt.NDArray[np.uint8]],
    positions: Sequence[float],
    *,
    crop: tuple[int, int, int, int] | None = None,
    executor: ThreadPoolExecutor | None = None,
) -> DepthMap:
    tracker = PeakTracker(cv2.cvtColor(frames[0], cv2.COLOR_GRAY2BGR), CPU)
    height, width = frames[0].shape
    (whole,) = stripes(height, halo_px=0, rows=height)
    for grey, position in zip(frames, positions, strict=True):
        tracker.add(whole, Scores.of(grey, CPU), tracker.begin(position))
    crop = crop or (0, 0, width, height)
    return find_depth(tracker.peaks, tracker.positions, noise=tracker.noise, crop=crop, executor=executor)


def hill(height: int = 160, width: int = 240) -> Array:
    y, x = np.mgrid[0:height, 0:width]
    return 13.5 - 3.0 * np.exp(-((x - width / 2) ** 2 + (y - height / 2) ** 2) / (2 * 50**2))


@pytest.mark.parametrize("noise", [0.7, 2.8])
def test_a_textured_surface_is_measured_to_a_seventh_of_the_step(noise: float) -> None:
    positions = list(np.linspace(10, 14, 20))
    step = positions[1] - positions[0]
    found = measured(photographs(hill(), positions, noise=noise), positions)
    off = (found.depth - hill()) / step
    assert np.sqrt(np.mean(off**2)) < 0.15
    assert np.mean(np.abs(off) > 1) < 0.02
    assert np.mean(found.confidence() > SURE) > 0.9


@pytest.mark.parametrize("noise", [0.7, 2.8])
def test_what_has_no_texture_is_a_hole_with_the_depth_of_its_surroundings(noise: float) -> None:
    positions = list(np.linspace(10, 14, 20))
    frames = photographs(np.full((160, 240), 12.3), positions, noise=noise)
    random = np.random.default_rng(2)
    y, x = np.mgrid[0:160, 0:240]
    disc = (x - 120) ** 2 + (y - 80) ** 2 < 40**2
    for frame in frames:
        frame[disc] = np.clip(np.rint(120 + random.normal(0, noise, disc.sum())), 0, 255)
    found = measured(frames, positions)
    inside = (x - 120) ** 2 + (y - 80) ** 2 < 28**2
    outside = (x - 120) ** 2 + (y - 80) ** 2 > 52**2
    assert found.hole()[inside].mean() > 0.99
    assert found.confidence()[inside].mean() < 0.1
    assert not found.hole()[outside].any()
    assert np.abs(found.depth - 12.3)[inside].mean() < 0.3


def test_a_picture_of_noise_has_no_depth() -> None:
    positions = list(np.linspace(10, 14, 12))
    random = np.random.default_rng(0)
    frames = [np.clip(np.rint(90 + random.normal(0, 3, (120, 160))), 0, 255).astype(np.uint8) for _ in positions]
    found = measured(frames, positions)
    assert found.hole().mean() > 0.99
    assert found.confidence().max() < 0.5
    assert np.isfinite(found.depth).all()


def test_between_a_near_and_a_far_surface_there_is_nothing_in_between_that_is_sure() -> None:
    positions = list(np.linspace(10, 14, 20))
    depth = np.full((160, 240), 13.0)
    depth[:, 120:] = 10.7
    found = measured(photographs(depth, positions, noise=0.7), positions)
    between = (found.depth > 10.7 + 0.3) & (found.depth < 13.0 - 0.3)
    assert between.mean() < 0.005
    assert (found.confidence()[between] < SURE).all()
    assert (np.abs(found.depth - depth)[:, np.r_[0:100, 140:240]] < 0.1).all()


def test_a_part_of_the_canvas_has_the_depth_of_the_whole() -> None:
    positions = list(np.linspace(10, 14, 20))
    frames = photographs(hill(), positions, noise=0.7)
    whole = measured(frames, positions)
    part = measured(frames, positions, crop=(21, 33, 150, 101))
    assert part.depth.shape == part.confidence().shape == part.hole().shape == (101, 150)
    inner = (slice(16, -16), slice(16, -16))
    with ThreadPoolExecutor(2) as executor:
        again = measured(frames, positions, crop=(21, 33, 150, 101), executor=executor)
    assert (again.depth == part.depth).all()
    assert (again.confidence() == part.confidence()).all()
    cut = whole.depth[33 : 33 + 101, 21 : 21 + 150]
    assert np.abs(part.depth - cut)[inner].max() < 0.01


@pytest.mark.parametrize("corner", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_confidence_in_eight_bits_is_the_confidence(corner: tuple[int, int]) -> None:
    half = np.random.default_rng(2).uniform(0, 1, (31, 41)).astype(np.float32)
    found = DepthMap(np.zeros((60, 80), np.float32), 1.0, half, corner)
    assert found.confidence_255().shape == (60, 80)
    assert np.abs(found.confidence_255() - 255 * found.confidence()).max() < 1.3


def test_islands_in_a_flat_sea_have_a_depth_and_a_confidence() -> None:
    positions = list(np.linspace(0.0, 9.0, 10))
    random = np.random.default_rng(4)
    field = cv2.GaussianBlur(random.normal(0, 1, (300, 400)), (0, 0), 4.0)
    truth = np.maximum(-0.5, field / field.std() * 4)
    found = depth_of(gaussian_peaks(truth, positions, width=1.3), positions)
    assert np.isfinite(found.confidence()).all()
    assert np.isfinite(found.depth).all()


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 30), width=st.integers(1, 30), frames=st.integers(1, 7),
    low=st.floats(-50, 50), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_depth_is_always_finite_and_one_of_the_stack(
    height: int, width: int, frames: int, low: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    positions = list(random.choice([low, low + 0.1, low + 0.35, low + 2.0], frames))
    peaks = FocusPeaks.empty(height, width)
    for rank in range(frames):
        energy = np.exp(random.uniform(-20, 20, peaks.best.shape)) if seed % 2 else np.full(peaks.best.shape, 0.5)
        track(peaks, energy.astype(np.float32), rank)
    found = find_depth(peaks, positions, noise=0.02, crop=(0, 0, width, height))
    assert found.depth.shape == (height, width)
    assert found.depth.dtype == found.confidence().dtype == np.float32
    assert found.depth.min() >= min(positions) - 1e-4
    assert found.depth.max() <= max(positions) + 1e-4
    assert 0 <= found.confidence().min() <= found.confidence().max() <= 1
