from __future__ import annotations

import cv2
import numpy as np
import pytest

from focusrail.stacking.exposure import ExposureReference
from peers.textures import about, grey_texture, similarity, view

SIZE = (400, 300)


def brightened(grey: np.ndarray, gain: float) -> np.ndarray:
    return np.clip(np.rint(grey * gain), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("gain", [0.7, 0.9, 0.99, 1.01, 1.1, 1.3])
@pytest.mark.parametrize("sigma", [0.0, 1.0, 3.0, 6.0])
def test_a_known_gain_is_found_whatever_the_defocus(gain: float, sigma: float) -> None:
    sharp = grey_texture(SIZE[1], SIZE[0])
    frame = brightened(cv2.GaussianBlur(sharp, (0, 0), sigma) if sigma else sharp, 1 / gain)
    assert ExposureReference(sharp).gain(frame, np.eye(3)) == pytest.approx(gain, rel=0.005)


@pytest.mark.parametrize("gain", [0.8, 1.05, 1.2])
def test_a_known_gain_is_found_under_shift_breathing_and_defocus(gain: float) -> None:
    world = grey_texture(500, 600)
    to_world = similarity(x=100, y=100)
    transform = about(similarity(scale=1.03, degrees=0.5, x=14.3, y=-9.7), SIZE)
    reference = view(world, to_world, SIZE)
    frame = brightened(cv2.GaussianBlur(view(world, to_world @ transform, SIZE), (0, 0), 3), 1 / gain)
    assert ExposureReference(reference).gain(frame, transform) == pytest.approx(gain, rel=0.005)


@pytest.mark.parametrize("gain", [0.85, 1.15])
def test_a_dark_ground_and_a_burnt_highlight_do_not_mislead(gain: float) -> None:
    scene = grey_texture(SIZE[1], SIZE[0])
    scene[:150] = 0
    scene[200:230, 50:120] = 255
    frame = brightened(cv2.GaussianBlur(scene, (0, 0), 2), 1 / gain)
    assert ExposureReference(scene).gain(frame, np.eye(3)) == pytest.approx(gain, rel=0.015)


@pytest.mark.parametrize("level", [0, 3, 255])
def test_a_black_or_burnt_frame_is_left_as_it_is(level: int) -> None:
    scene = grey_texture(SIZE[1], SIZE[0])
    flat = np.full_like(scene, level)
    assert ExposureReference(scene).gain(flat, np.eye(3)) == 1.0
    assert ExposureReference(flat).gain(scene, np.eye(3)) == 1.0


def test_frames_that_do_not_overlap_are_left_as_they_are() -> None:
    scene = grey_texture(SIZE[1], SIZE[0])
    assert ExposureReference(scene).gain(scene, similarity(x=5000)) == 1.0


def test_a_gain_is_never_absurd() -> None:
    bright, dim = np.full((50, 50), 240, np.uint8), np.full((50, 50), 6, np.uint8)
    assert ExposureReference(bright).gain(dim, np.eye(3)) == 4.0
    assert ExposureReference(dim).gain(bright, np.eye(3)) == 0.25


def test_the_reference_itself_is_not_changed() -> None:
    scene = grey_texture(SIZE[1], SIZE[0])
    assert ExposureReference(scene).gain(scene, np.eye(3)) == 1.0


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 900), (900, 1), (255, 257), (3, 3)])
def test_any_size_has_a_gain(height: int, width: int) -> None:
    grey = np.full((height, width), 100, np.uint8)
    assert ExposureReference(grey).gain(brightened(grey, 0.5), np.eye(3)) == pytest.approx(2.0)
