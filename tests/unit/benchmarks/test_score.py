from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest

from benchmarks.score import NotTheScene, Score, read_result, score

WIDTH, HEIGHT = 640, 440
CROP = (24, 20, 590, 400)
STEP_MM = 0.2
Image = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def depth() -> npt.NDArray[np.float32]:
    # Near on the left, far on the right: one jump.
    plane = np.full((HEIGHT, WIDTH), 11.0, np.float32)
    plane[:, WIDTH // 2 :] = 13.0
    return plane


@pytest.fixture(scope="module")
def truth() -> Image:
    # Above strong texture, below a smooth slope of light.
    random = np.random.default_rng(5)
    coarse = random.uniform(20, 220, (HEIGHT // 4, WIDTH // 4, 3)).astype(np.float32)
    image = cv2.GaussianBlur(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), (0, 0), 0.8)
    slope = np.linspace(60, 120, WIDTH, dtype=np.float32)[None, :, None]
    image[HEIGHT * 5 // 8 :] = slope
    return np.clip(image, 0, 235).astype(np.uint8)


def judged(result: Any, truth: Image, depth: npt.NDArray[np.float32], **changed: Any) -> Score:
    facts: dict[str, Any] = {"crop": CROP, "focus_mm": (10.8, 13.2), "step_mm": STEP_MM, **changed}
    return score(result, truth=truth, depth_mm=depth, **facts)


def moved(
    image: Image, *, scale: float = 1.0, degrees: float = 0.0, x: float = 0.0, y: float = 0.0, size: Any = None
) -> Image:
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, scale)
    matrix[:, 2] += (x, y)
    return cv2.warpAffine(
        image, matrix, size or (WIDTH, HEIGHT), flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101
    ).astype(np.uint8)


def noisy(image: Image, deviation: float) -> Image:
    noise = np.random.default_rng(6).normal(0, deviation, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def test_the_truth_itself_is_beyond_reproach(truth: Image, depth: npt.NDArray[np.float32]) -> None:
    perfect = judged(truth, truth, depth)
    assert perfect.psnr_db > 55
    assert perfect.ssim > 0.9995
    assert perfect.sharpness == pytest.approx(1.0, abs=0.005)
    assert perfect.flat_noise is not None and perfect.flat_noise < 0.1
    assert perfect.align_p95_px is not None and perfect.align_p95_px < 0.02
    assert perfect.covered == 1.0


@pytest.mark.parametrize(
    "move",
    [{"x": 7.0, "y": -5.0}, {"x": 3.4, "y": 2.7}, {"scale": 1.02}, {"degrees": 0.6, "scale": 0.97, "x": 4.3}],
    ids=["whole-pixels", "subpixel", "scaled", "turned"],
)
def test_where_a_stacker_lays_its_picture_is_its_own_choice(
    move: dict[str, float], truth: Image, depth: npt.NDArray[np.float32]
) -> None:
    shifted = judged(moved(truth, **move), truth, depth)
    assert shifted.psnr_db > 42  # interpolated twice, which no scorer can undo
    assert shifted.sharpness == pytest.approx(1.0, abs=0.02)
    assert shifted.align_p95_px is not None and shifted.align_p95_px < 0.05


def test_a_crop_exposure_and_bit_depth_of_its_own_are_free(truth: Image, depth: npt.NDArray[np.float32]) -> None:
    cropped = (truth[14:-12, 20:-18].astype(np.float64) * np.array((0.9, 0.95, 1.05)) * 257).clip(0, 65535)
    result = judged(cropped.astype(np.uint16), truth, depth)
    assert result.psnr_db > 50
    assert result.covered == 1.0


def test_what_a_crop_leaves_out_is_said_and_not_judged(truth: Image, depth: npt.NDArray[np.float32]) -> None:
    narrow = judged(truth[:, 100:], truth, depth)
    assert narrow.covered == pytest.approx(1 - 76 / CROP[2], abs=0.01)
    assert narrow.psnr_db > 50


def test_blur_is_less_sharp_and_not_noisier(truth: Image, depth: npt.NDArray[np.float32]) -> None:
    scores = [judged(cv2.GaussianBlur(truth, (0, 0), sigma), truth, depth) for sigma in (0.5, 0.8, 1.2)]
    sharpness = [each.sharpness or 0 for each in scores]
    assert 0.97 > sharpness[0] > sharpness[1] > sharpness[2]
    assert all(each.flat_noise is not None and each.flat_noise < 0.3 for each in scores)
    assert all(each.align_p95_px is not None and each.align_p95_px < 0.1 for each in scores)


def test_noise_is_noisier_and_not_sharper(truth: Image, depth: npt.NDArray[np.float32]) -> None:
    scores = [judged(noisy(truth, deviation), truth, depth) for deviation in (1.0, 2.0, 4.0)]
    noise = [each.flat_noise or 0 for each in scores]
    # Grey is a weighted mean of three channels, so that its noise is 0.67 of theirs.
    assert noise == pytest.approx([0.67, 1.33, 2.66], rel=0.15)
    assert all(each.sharpness == pytest.approx(1.0, abs=0.01) for each in scores)


def test_a_ghost_is_found_where_it_is(truth: Image, depth: npt.NDArray[np.float32]) -> None:
    at_edge = truth.copy()
    at_edge[:, WIDTH // 2 - 2 : WIDTH // 2 + 2] //= 2
    result, perfect = judged(at_edge, truth, depth), judged(truth, truth, depth)
    assert result.edge_psnr_db is not None and perfect.edge_psnr_db is not None
    assert result.edge_psnr_db < 30 < perfect.edge_psnr_db
    assert result.texture_psnr_db is not None and result.texture_psnr_db > 50


def test_texture_laid_astray_is_measured_in_pixels(truth: Image, depth: npt.NDArray[np.float32]) -> None:
    astray = truth.copy()
    astray[:, WIDTH // 2 :] = moved(truth, x=1.0)[:, WIDTH // 2 :]
    result = judged(astray, truth, depth)
    assert result.align_p95_px is not None and 0.3 < result.align_p95_px < 1.1
    assert result.texture_psnr_db is not None and result.texture_psnr_db < 36


def test_what_is_never_in_focus_is_judged_apart(truth: Image, depth: npt.NDArray[np.float32]) -> None:
    far = depth.copy()
    far[HEIGHT * 5 // 8 :] = 20.0
    result = judged(noisy(truth, 2.0), truth, far)
    assert result.flat_noise is None
    assert result.beyond_noise == pytest.approx(1.33, rel=0.15)
    assert result.beyond_psnr_db is not None
    assert judged(truth, truth, depth).beyond_psnr_db is None


def test_another_picture_is_refused(truth: Image, depth: npt.NDArray[np.float32]) -> None:
    with pytest.raises(NotTheScene):
        judged(noisy(np.full_like(truth, 128), 20.0), truth, depth)


def test_a_score_can_be_written_down(truth: Image, depth: npt.NDArray[np.float32]) -> None:
    assert all(value is None or isinstance(value, float) for value in asdict(judged(truth, truth, depth)).values())


def test_results_are_read_in_whatever_way_a_stacker_writes_them(truth: Image, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "deep.tif"), truth.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([truth, np.full(truth.shape[:2], 255, np.uint8)]))
    # Pillow reads what OpenCV does not.
    PIL.Image.fromarray(np.ascontiguousarray(truth[:, :, ::-1])).save(tmp_path / "other.pcx")
    assert np.array_equal(read_result(tmp_path / "deep.tif"), truth.astype(np.uint16) * 257)
    assert np.array_equal(read_result(tmp_path / "alpha.png"), truth)
    assert np.array_equal(read_result(tmp_path / "other.pcx"), truth)
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(NotTheScene, match=r"broken\.png"):
        read_result(tmp_path / "broken.png")
