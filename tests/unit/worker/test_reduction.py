from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from focusrail.worker.reduction import reduced, thumbnail


@pytest.mark.parametrize("shape", [(3000, 4000, 3), (4000, 30), (100, 50, 3), (1, 5000)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_thumbnail_is_small_and_in_eight_bit_colour(shape: tuple[int, ...], dtype: type[np.unsignedinteger]) -> None:
    image = np.full(shape, np.iinfo(dtype).max, dtype)
    small = thumbnail(image)
    assert max(small.shape[:2]) <= 128
    assert small.shape[2] == 3
    assert small.dtype == np.uint8
    assert small.min() == 255


def test_a_thumbnail_of_a_large_frame_is_near_the_mean_of_all_its_pixels_and_quickly_made() -> None:
    grain = np.random.default_rng(0).integers(0, 60, (4000, 6000, 3), np.uint8)
    cv2.circle(grain, (3000, 2000), 1200, (200, 180, 90), -1)
    wanted = cv2.resize(grain, (128, 85), interpolation=cv2.INTER_AREA).astype(int)
    began_s = time.thread_time()
    small = thumbnail(grain)
    assert time.thread_time() - began_s < 0.02  # all pixels take a tenth of a second
    off = np.abs(small.astype(int) - wanted)
    assert off.mean() < 2
    assert np.percentile(off, 99) < 12


@pytest.mark.parametrize("shape", [(3000, 4000, 3), (2999, 4001), (4000, 30), (1, 5000), (801, 1600, 3), (1600, 1200)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_reduced_picture_has_the_size_asked_for_and_the_same_content(shape: tuple[int, ...], dtype: type) -> None:
    slope = np.linspace(0, 200, shape[0] * shape[1]).reshape(shape[:2])
    image: np.ndarray = slope.astype(dtype)
    if len(shape) == 3:
        image = np.repeat(image[..., None], 3, axis=2)
    small, zoom = reduced(image, 800)
    assert max(small.shape[:2]) == 800
    assert zoom == 800 / max(shape[:2])
    assert small.dtype == dtype and small.ndim == image.ndim
    wanted = cv2.resize(image, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(float) - wanted).max() <= 2


def test_a_small_picture_is_not_enlarged() -> None:
    image = np.zeros((30, 40, 3), np.uint8)
    small, zoom = reduced(image, 40)
    assert small is image and zoom == 1
