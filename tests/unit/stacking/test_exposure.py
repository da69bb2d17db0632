from __future__ import annotations

import cv2
import numpy as np
import pytest

from focusrail.stacking.exposure import ExposureReference, luma_gain
from focusrail.stacking.kernels import UNCHANGED
from peers.textures import about, similarity, texture, view

SIZE = (400, 300)
# Of blue, green and red: a lamp alone, and lamps that change their colour.
GAINS = [(0.7,) * 3, (0.99,) * 3, (1.01,) * 3, (1.3,) * 3, (0.93, 1.0, 1.04), (1.2, 0.95, 0.9)]


def brightened(image: np.ndarray, gain: tuple[float, ...]) -> np.ndarray:
    return np.clip(np.rint(image * np.array(gain)), 0, 255).astype(np.uint8)


def dimmed(image: np.ndarray, gain: tuple[float, ...]) -> np.ndarray:
    return brightened(image, tuple(1 / one for one in gain))


def scene_of(size: tuple[int, int] = SIZE) -> np.ndarray:
    """Nowhere black or clipped, whatever the gain."""
    return (texture(size[1], size[0]) * 0.5 + 40).astype(np.uint8)


@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("sigma", [0.0, 1.0, 3.0, 6.0])
def test_a_known_gain_is_found_whatever_the_defocus(gain: tuple[float, ...], sigma: float) -> None:
    sharp = scene_of()
    frame = dimmed(cv2.GaussianBlur(sharp, (0, 0), sigma) if sigma else sharp, gain)
    assert ExposureReference(sharp).gain(frame, np.eye(3)) == pytest.approx(gain, rel=0.005)


@pytest.mark.parametrize("gain", GAINS)
def test_a_known_gain_is_found_under_shift_breathing_and_defocus(gain: tuple[float, ...]) -> None:
    world = scene_of((600, 500))
    to_world = similarity(x=100, y=100)
    transform = about(similarity(scale=1.03, degrees=0.5, x=14.3, y=-9.7), SIZE)
    reference = view(world, to_world, SIZE)
    frame = dimmed(cv2.GaussianBlur(view(world, to_world @ transform, SIZE), (0, 0), 3), gain)
    assert ExposureReference(reference).gain(frame, transform) == pytest.approx(gain, rel=0.005)


@pytest.mark.parametrize("gain", [(0.85,) * 3, (1.15,) * 3, (1.1, 1.0, 0.95)])
def test_a_dark_ground_and_a_burnt_highlight_do_not_mislead(gain: tuple[float, ...]) -> None:
    scene = scene_of()
    scene[:150] = 0
    scene[200:230, 50:120] = 255
    frame = dimmed(cv2.GaussianBlur(scene, (0, 0), 2), gain)
    assert ExposureReference(scene).gain(frame, np.eye(3)) == pytest.approx(gain, rel=0.015)


@pytest.mark.parametrize("level", [0, 2, 255])
def test_a_channel_that_is_black_or_burnt_has_the_gain_of_the_others(level: int) -> None:
    scene = scene_of()
    scene[..., 0] = level
    frame = dimmed(scene, (0.9, 0.9, 0.9))
    frame[..., 0] = level
    gain = ExposureReference(scene).gain(frame, np.eye(3))
    # What does not change holds the luma's gain back by as much as it has to do with luma.
    assert gain == pytest.approx((0.9, 0.9, 0.9), rel=0.03)
    assert gain[1:] == pytest.approx((0.9, 0.9), rel=0.005)


@pytest.mark.parametrize("bits", [8, 16])
def test_the_depth_of_the_pixels_does_not_matter(bits: int) -> None:
    scene = scene_of().astype(np.uint16) * (257 if bits == 16 else 1)
    scene = scene.astype(np.uint8 if bits == 8 else np.uint16)
    frame = (scene * np.array((0.9, 1.0, 1.05))).astype(scene.dtype)
    assert ExposureReference(scene).gain(frame, np.eye(3)) == pytest.approx((1 / 0.9, 1.0, 1 / 1.05), rel=0.006)


@pytest.mark.parametrize("level", [0, 3, 255])
def test_a_black_or_burnt_frame_is_left_as_it_is(level: int) -> None:
    scene = scene_of()
    flat = np.full_like(scene, level)
    assert ExposureReference(scene).gain(flat, np.eye(3)) == UNCHANGED
    assert ExposureReference(flat).gain(scene, np.eye(3)) == UNCHANGED


def test_frames_that_do_not_overlap_are_left_as_they_are() -> None:
    scene = scene_of()
    assert ExposureReference(scene).gain(scene, similarity(x=5000)) == UNCHANGED


def test_a_gain_is_never_absurd() -> None:
    bright, dim = np.full((50, 50, 3), 240, np.uint8), np.full((50, 50, 3), 6, np.uint8)
    assert ExposureReference(bright).gain(dim, np.eye(3)) == (4.0, 4.0, 4.0)
    assert ExposureReference(dim).gain(bright, np.eye(3)) == (0.25, 0.25, 0.25)


def test_the_reference_itself_is_not_changed() -> None:
    scene = scene_of()
    assert ExposureReference(scene).gain(scene, np.eye(3)) == UNCHANGED


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 900), (900, 1), (255, 257), (3, 3)])
def test_any_size_has_a_gain(height: int, width: int) -> None:
    grey = np.full((height, width, 3), 100, np.uint8)
    assert ExposureReference(grey).gain(brightened(grey, (0.5,) * 3), np.eye(3)) == pytest.approx((2.0,) * 3)


def test_the_gain_of_grey_weighs_colours_as_the_eye_does() -> None:
    assert luma_gain((1.2, 1.2, 1.2)) == pytest.approx(1.2)
    assert luma_gain((2.0, 1.0, 1.0)) == pytest.approx(1.114)
