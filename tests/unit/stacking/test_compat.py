"""The notebook's mathematics, pixel for pixel, against a direct transcription."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from focusrail.model.method import notebook
from focusrail.stacking.pipeline import Stacker
from focusrail.store.folder import list_folder
from focusrail.store.image_io import decode
from focusrail_drivers.accelerators.cpu import CpuAccelerator


def stacks() -> Path:
    named = os.environ.get("FOCUSRAIL_STACKS")
    return Path(named) if named else Path(__file__).resolve().parents[3].parent / "shared" / "stacks"


def transcription(frames: list[np.ndarray]) -> np.ndarray:
    greys = [cv2.cvtColor(f, cv2.COLOR_BGR2GRAY) for f in frames]
    seen = [cv2.SIFT_create().detectAndCompute(g, None) for g in greys]
    height, width = greys[0].shape
    aligned = [frames[0]]
    for frame, (points, descriptors) in zip(frames[1:], seen[1:], strict=True):
        pairs = cv2.BFMatcher().knnMatch(descriptors, seen[0][1], k=2)
        good = sorted((m for m, n in pairs if m.distance < 0.7 * n.distance), key=lambda m: m.distance)[:128]
        source = np.array([points[m.queryIdx].pt for m in good], np.float32).reshape(-1, 1, 2)
        target = np.array([seen[0][0][m.trainIdx].pt for m in good], np.float32).reshape(-1, 1, 2)
        homography, _ = cv2.findHomography(source, target, cv2.RANSAC, ransacReprojThreshold=2.0)
        aligned.append(cv2.warpPerspective(frame, homography, (width, height), flags=cv2.INTER_LINEAR))
    measures = []
    for frame in aligned:
        blurred = cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), (5, 5), 0)
        measures.append(np.abs(cv2.Laplacian(blurred, cv2.CV_64F, ksize=5)))
    largest = np.max(measures, axis=0)
    result = np.zeros_like(frames[0])
    for frame, measure in zip(aligned, measures, strict=True):
        result[measure == largest] = frame[measure == largest]
    return result


@pytest.mark.real_stack
def test_the_notebooks_result_comes_out_pixel_for_pixel() -> None:
    folder = stacks() / "ring-6"
    if not folder.is_dir():
        pytest.skip(f"the photographs of {folder} are not there; FOCUSRAIL_STACKS may name another folder")
    frames = [decode(path.read_bytes(), path.name) for path in list_folder(folder).photographs]
    assert len(frames) == 6
    with ThreadPoolExecutor(2) as executor:
        stacker = Stacker(notebook(), accelerator=CpuAccelerator(), executor=executor)
        for index, frame in enumerate(frames):
            stacker.fuse(stacker.register(stacker.examine(frame), index, float(index)))
        image = stacker.finish().fused.image
    assert np.array_equal(image, transcription(frames))
