from __future__ import annotations

import cv2
import numpy as np
import pytest

from focusrail.stacking.shake import directions, shaken
from peers.textures import grey_texture

SIZE = (400, 300)


def smear(grey: np.ndarray, length_px: int, degrees: float) -> np.ndarray:
    """The picture moved along a line during the exposure."""
    half = length_px / 2 * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    shifts = [half * part for part in np.linspace(-1, 1, 2 * length_px + 1)]
    moved = [
        cv2.warpAffine(grey, np.array([[1, 0, x], [0, 1, y]]), SIZE, borderMode=cv2.BORDER_REFLECT_101)
        for x, y in shifts
    ]
    return np.mean(moved, axis=0).astype(np.uint8)


@pytest.mark.parametrize("degrees", [0, 45, 90, 135])
def test_a_frame_smeared_along_any_direction_is_shaken(degrees: float) -> None:
    grey = grey_texture(SIZE[1], SIZE[0])
    assert shaken(directions(grey), directions(smear(grey, 8, degrees)))


def test_the_frame_after_a_shaken_one_is_not() -> None:
    grey = grey_texture(SIZE[1], SIZE[0])
    assert not shaken(directions(smear(grey, 8, 0)), directions(grey))


@pytest.mark.parametrize("sigma", [0.8, 2, 5])
def test_defocus_is_no_shake(sigma: float) -> None:
    grey = grey_texture(SIZE[1], SIZE[0])
    assert not shaken(directions(grey), directions(cv2.GaussianBlur(grey, (0, 0), sigma)))


def test_one_smeared_corner_is_no_shake() -> None:
    grey = grey_texture(SIZE[1], SIZE[0])
    half = grey.copy()
    half[:, :200] = smear(grey, 8, 0)[:, :200]
    assert not shaken(directions(grey), directions(half))


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (60, 80)])
@pytest.mark.parametrize("level", [0, 255])
def test_blank_frames_of_any_size_are_not_shaken(shape: tuple[int, int], level: int) -> None:
    blank = directions(np.full(shape, level, np.uint8))
    assert blank.shape == (25, 4)
    assert not shaken(blank, blank)
