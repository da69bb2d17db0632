from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.scenes import SCENES, Scene, Stack, covered_by_all, stack_of

SMALL_MP = 0.4
FEW = replace(SCENES["demo"], frames=5, from_mm=11.5, to_mm=12.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(scope="module")
def stack(folder: Path) -> Stack:
    return stack_of(FEW, SMALL_MP, folder)


def test_a_frame_laid_by_its_true_transform_and_gain_is_the_truth_where_it_is_in_focus(stack: Stack) -> None:
    truth, depth_mm = stack.truth().astype(np.float64), stack.depth_mm()
    size = (truth.shape[1], truth.shape[0])
    unveiled = cv2.erode(depth_mm, np.ones((31, 31), np.uint8))
    x, y, width, height = stack.crop
    inside = np.zeros(depth_mm.shape, bool)
    inside[y : y + height, x : x + width] = True
    for path, transform, gain, position_mm in zip(
        stack.frames, stack.transforms, stack.gains, stack.positions_mm, strict=True
    ):
        frame = cv2.imread(str(path))
        laid = cv2.warpAffine(frame, transform[:2], size, flags=cv2.INTER_LANCZOS4).astype(np.float64) / gain
        judged = inside & (np.abs(depth_mm - position_mm) < 0.04) & (unveiled > position_mm - 0.2)
        assert judged.sum() > 100
        assert 10 * np.log10(255**2 / np.mean((laid - truth)[judged] ** 2)) > 33


def test_frames_differ_by_what_the_scene_says(stack: Stack) -> None:
    scale, shift = [], []
    for transform in stack.transforms:
        scale.append(np.hypot(transform[0, 0], transform[1, 0]))
        middle = transform @ (768 / 2, 512 / 2, 1.0)
        shift.append(middle[:2] - (384, 256))
    assert np.diff(np.log(scale)) == pytest.approx([-0.002] * 4, rel=1e-3)
    # 1.66 px a frame at 1728 px, jitter apart.
    assert np.mean(np.diff(np.array(shift)[:, 0])) == pytest.approx(-1.66 * 768 / 1728, rel=0.2)


def test_the_bound_is_nearer_to_the_truth_than_any_frame(stack: Stack) -> None:
    x, y, width, height = stack.crop
    crop = np.s_[y : y + height, x : x + width]
    truth = stack.truth()[crop].astype(np.float64)
    errors = []
    for path, transform in zip(stack.frames, stack.transforms, strict=True):
        laid = cv2.warpAffine(cv2.imread(str(path)), transform[:2], (768, 512), flags=cv2.INTER_CUBIC)
        errors.append(np.mean((laid[crop] - truth) ** 2))
    assert np.mean((stack.bound()[crop] - truth) ** 2) < 0.7 * min(errors)


def test_a_scene_is_rendered_once_and_anew_when_it_changes(stack: Stack, folder: Path) -> None:
    made = stack.frames[0].stat().st_mtime_ns
    assert stack_of(FEW, SMALL_MP, folder).frames[0].stat().st_mtime_ns == made
    noisier = stack_of(replace(FEW, frames=2, full_well_electrons=2000.0), SMALL_MP, folder)
    assert noisier.fingerprint != stack.fingerprint
    assert len(noisier.frames) == 2


def test_the_crop_is_covered_by_every_frame() -> None:
    grown = np.array([[1.1, 0, -20], [0, 1.1, -30], [0, 0, 1]])
    shifted = np.array([[1.0, 0, 12.5], [0, 1.0, -7], [0, 0, 1]])
    x, y, width, height = covered_by_all([np.eye(3), grown, shifted], (300, 200), margin_px=2)
    assert (x, y) == (15, 2)
    assert (x + width, y + height) == (298, 187)  # 1.1 * 199 - 30, less the margin


def test_names_of_scenes_are_their_keys() -> None:
    assert all(isinstance(scene, Scene) and scene.name == name for name, scene in SCENES.items())
