from __future__ import annotations

import cv2
import numpy as np
import pytest

from focusrail.stacking.depth_map import DepthMap
from focusrail.stacking.judgement import judge, registration_errors, ssim
from peers.textures import about, grey_texture, similarity, texture

SIZE = (160, 120)
FULL = (0, 0, *SIZE)
STEP_MM = 0.2


def verdict(image, **changes):
    facts = {
        "crop": FULL,
        "true_image": texture(SIZE[1], SIZE[0]),
        "true_depth": np.full((SIZE[1], SIZE[0]), 30.0, np.float32),
        "true_transforms": {0: np.eye(3)},
        "transforms": {0: np.eye(3)},
        "reference": 0,
        **changes,
    }
    width, height = facts["crop"][2:]
    depth = facts.pop("depth", np.full((height, width), 30.0, np.float32))
    sure = facts.pop("sure", np.ones((height // 2, width // 2), np.float32))
    return judge(image, DepthMap(depth, STEP_MM, sure, (0, 0)), **facts)


def test_equal_images_are_wholly_similar() -> None:
    grey = grey_texture(80, 90).astype(np.float32)
    assert ssim(grey, grey) == pytest.approx(1.0, abs=1e-6)
    flat = np.full((40, 40), 77, np.float32)
    assert ssim(flat, flat) == pytest.approx(1.0, abs=1e-6)


def test_similarity_of_flat_images_is_the_formula() -> None:
    a, b, c1 = 100.0, 120.0, (0.01 * 255) ** 2
    wanted = (2 * a * b + c1) / (a * a + b * b + c1)
    assert ssim(np.full((40, 40), a, np.float32), np.full((40, 40), b, np.float32)) == pytest.approx(wanted, rel=1e-3)


def test_similarity_falls_with_blur_and_is_symmetric() -> None:
    sharp = grey_texture(80, 90).astype(np.float32)
    scores = [ssim(sharp, cv2.GaussianBlur(sharp, (0, 0), sigma)) for sigma in (0.5, 1, 2, 4)]
    assert scores == sorted(scores, reverse=True)
    assert ssim(sharp, sharp[::-1].copy()) == pytest.approx(ssim(sharp[::-1].copy(), sharp))


def test_the_signal_to_noise_ratio_is_the_textbooks() -> None:
    true = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
    image = true.copy()
    image[::2] += 5
    image[1::2] -= 5  # mean squared error 25, and no gain can lessen it by much
    judged = verdict(image, true_image=true)
    assert judged.psnr_db == pytest.approx(10 * np.log10(255**2 / 25), abs=0.05)


def test_a_perfect_result_is_perfect() -> None:
    judged = verdict(texture(SIZE[1], SIZE[0]))
    assert judged.psnr_db > 80
    assert judged.ssim == pytest.approx(1.0, abs=1e-5)
    assert (judged.registration_p50_px, judged.registration_p95_px, judged.depth_rms_mm) == (0, 0, 0)
    assert (judged.depth_rms_steps, judged.depth_beyond_step, judged.depth_judged) == (0, 0, 1)


@pytest.mark.parametrize("gain", [0.8, 0.95])
def test_the_references_exposure_is_nobodys_fault(gain: float) -> None:
    image = np.rint(texture(SIZE[1], SIZE[0]) * gain).astype(np.uint8)
    assert verdict(image).psnr_db > 50


def test_sixteen_bits_are_judged_like_eight() -> None:
    image = texture(SIZE[1], SIZE[0])
    assert verdict(image.astype(np.uint16) * 257).psnr_db > 80


def test_a_cropped_result_is_laid_where_it_belongs() -> None:
    true = texture(SIZE[1], SIZE[0])
    crop = (20, 10, 100, 80)
    assert verdict(true[10:90, 20:120], crop=crop).psnr_db > 80
    assert verdict(true[11:91, 20:120], crop=crop).psnr_db < 40


def test_registration_is_judged_over_the_whole_frame_whatever_is_cropped() -> None:
    true = texture(SIZE[1], SIZE[0])
    poses = {0: np.eye(3), 1: np.eye(3)}
    found = {0: np.eye(3), 1: similarity(scale=1.1)}  # off by a tenth of the distance from the upper left
    judged = verdict(true[:20, :20], crop=(0, 0, 20, 20), true_transforms=poses, transforms=found)
    wanted = registration_errors(poses, found, 0, SIZE)
    assert judged.registration_p95_px == pytest.approx(np.percentile(wanted, 95))
    assert judged.registration_p95_px > 15


def test_the_references_own_pose_is_taken_into_account() -> None:
    true = texture(SIZE[1] + 20, SIZE[0] + 20)
    image = true[7 : 7 + SIZE[1], 4 : 4 + SIZE[0]]
    depth = np.full(true.shape[:2], 30.0, np.float32)
    poses = {3: similarity(x=-4, y=-7)}
    judged = verdict(image, true_image=true, true_depth=depth, true_transforms=poses, transforms={}, reference=3)
    assert judged.psnr_db > 80


def test_depth_is_judged_where_it_is_sure() -> None:
    depth, sure = np.full((SIZE[1], SIZE[0]), 30.1, np.float32), np.ones((SIZE[1] // 2, SIZE[0] // 2), np.float32)
    depth[:60], sure[:31] = 99.0, 0.89
    judged = verdict(texture(SIZE[1], SIZE[0]), depth=depth, sure=sure)
    assert judged.depth_rms_mm == pytest.approx(0.1, rel=1e-3)
    assert judged.depth_rms_steps == pytest.approx(0.5, rel=1e-3)
    assert judged.depth_beyond_step == 0
    assert judged.depth_judged == pytest.approx(29 / 60, abs=0.01)
    nowhere = verdict(texture(SIZE[1], SIZE[0]), sure=np.zeros_like(sure))
    assert np.isnan([nowhere.depth_rms_mm, nowhere.depth_rms_steps, nowhere.depth_beyond_step]).all()
    assert nowhere.depth_judged == 0


def test_depth_that_is_off_by_more_than_a_step_is_counted() -> None:
    depth = np.full((SIZE[1], SIZE[0]), 30.0, np.float32)
    depth[:30] += 1.01 * STEP_MM
    depth[30:60] -= 0.99 * STEP_MM
    judged = verdict(texture(SIZE[1], SIZE[0]), depth=depth)
    assert judged.depth_beyond_step == pytest.approx(0.25)


def test_beside_a_jump_of_the_true_depth_nothing_is_judged_and_a_slope_is_no_jump() -> None:
    true = np.full((SIZE[1], SIZE[0]), 30.0, np.float32)
    true[:, 80:] = 32.0
    depth = true.copy()
    depth[:, 73:88] = 31.0
    judged = verdict(texture(SIZE[1], SIZE[0]), depth=depth, true_depth=true)
    assert judged.depth_rms_steps < 1e-3
    assert judged.depth_judged == pytest.approx(1 - 17 / 160, abs=0.02)
    depth[:, 60:73] = 31.0
    assert verdict(texture(SIZE[1], SIZE[0]), depth=depth, true_depth=true).depth_rms_steps > 1
    slope = np.tile(30 + 0.4 * STEP_MM * np.arange(SIZE[0], dtype=np.float32), (SIZE[1], 1))
    assert verdict(texture(SIZE[1], SIZE[0]), depth=slope, true_depth=slope).depth_judged == 1


def test_where_the_truth_knows_no_depth_nothing_is_judged() -> None:
    true = np.full((SIZE[1], SIZE[0]), 30.0, np.float32)
    true[:40] = np.nan
    judged = verdict(texture(SIZE[1], SIZE[0]), true_depth=true)
    assert judged.depth_judged == pytest.approx(72 / 120, abs=0.02)
    assert judged.depth_rms_steps == 0


def test_the_true_transforms_have_no_error() -> None:
    true = {k: about(similarity(scale=1 + 0.01 * k, degrees=k, x=3 * k), SIZE) for k in range(4)}
    found = {k: true[1] @ np.linalg.inv(true[k]) for k in true}
    assert registration_errors(true, found, 1, SIZE).max() < 1e-9
    assert len(registration_errors(true, found, 1, SIZE)) == 3 * 81


def test_a_shifted_transform_is_off_by_its_shift() -> None:
    true = {0: np.eye(3), 1: similarity(x=5)}
    found = {1: similarity(x=-5 + 0.3, y=0.4)}
    assert registration_errors(true, found, 0, SIZE) == pytest.approx(0.5)
    assert registration_errors(true, {0: np.eye(3), 7: np.eye(3)}, 0, SIZE).size == 0
