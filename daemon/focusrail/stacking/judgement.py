"""How good is a result? Only a simulated scene has the truth to judge by."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.model.outcome import Judgement
from focusrail.stacking.arrays import Image, Plane, Transform
from focusrail.stacking.depth_map import SURE, DepthMap

_GRID = 9  # points a side at which transforms are compared
_JUMP_STEPS = 1.0  # true depths of neighbouring pixels that are further apart belong to different things
_BESIDE_JUMP_PX = 8  # so near to such an edge no picture tells the depth: what is blurred before it veils it


def judge(
    image: Image,
    depth: DepthMap,
    *,
    crop: tuple[int, int, int, int],
    true_image: Image,
    true_depth: Plane,
    true_transforms: dict[int, Transform],
    transforms: dict[int, Transform],
    reference: int,
) -> Judgement:
    """Compare a cropped result and its depth with the truth.

    `true_transforms` lead from the truth's pixels to each frame's, `transforms` from each frame's to the reference's.
    The exposure of the reference frame is nobody's fault: one gain a channel is fitted before comparing. Depth is
    judged where it claims to be sure, and away from the jumps of the true one.
    """
    x, y, width, height = crop
    to_crop = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]], np.float64) @ true_transforms[reference]
    size = (width, height)
    wanted = cv2.warpPerspective(true_image, to_crop, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    wanted_depth = cv2.warpPerspective(
        true_depth, to_crop, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
    )
    got = image.astype(np.float32) * (255 / np.iinfo(image.dtype).max)
    truth = wanted.astype(np.float32)
    for channel in range(3):
        dot = cv2.sumElems(got[..., channel] * truth[..., channel])[0]
        got[..., channel] *= dot / max(1.0, cv2.sumElems(got[..., channel] ** 2)[0])
    np.clip(got, 0, 255, out=got)
    mean_squared = float(np.mean((got - truth) ** 2, dtype=np.float64))
    errors = registration_errors(true_transforms, transforms, reference, (true_image.shape[1], true_image.shape[0]))
    judged = (depth.confidence() > np.float32(SURE)) & ~beside_jumps(wanted_depth, step=depth.step)
    off = (depth.depth - wanted_depth)[judged]
    rms = float(np.sqrt(np.mean(off**2, dtype=np.float64))) if off.size else float("nan")
    return Judgement(
        psnr_db=float(10 * np.log10(255**2 / max(mean_squared, 1e-9))),
        ssim=ssim(cv2.cvtColor(got, cv2.COLOR_BGR2GRAY), cv2.cvtColor(truth, cv2.COLOR_BGR2GRAY)),
        registration_p50_px=float(np.percentile(errors, 50)) if errors.size else 0.0,
        registration_p95_px=float(np.percentile(errors, 95)) if errors.size else 0.0,
        depth_rms_mm=rms,
        depth_rms_steps=rms / depth.step,
        depth_beyond_step=float(np.mean(np.abs(off) > depth.step)) if off.size else float("nan"),
        depth_judged=off.size / judged.size,
    )


def beside_jumps(true_depth: Plane, *, step: float) -> npt.NDArray[np.bool_]:
    """Where a true depth (height, width) jumps by more than a step within a few pixels, or is not known."""
    known = np.where(np.isfinite(true_depth), true_depth, np.float32(-1e9)).astype(np.float32)
    square = np.ones((2, 2), np.uint8)
    jump = (cv2.dilate(known, square) - cv2.erode(known, square) > _JUMP_STEPS * step).astype(np.uint8)
    across = 2 * _BESIDE_JUMP_PX + 1
    near = cv2.dilate(jump, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across)))
    return (near > 0) | ~np.isfinite(true_depth)


def registration_errors(
    true_transforms: dict[int, Transform], transforms: dict[int, Transform], reference: int, size: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Distances (px) between where frames' points belong on the reference and where they were laid."""
    points = np.array([[(x, y)] for x in np.linspace(0, size[0], _GRID) for y in np.linspace(0, size[1], _GRID)])
    errors = []
    for index, transform in transforms.items():
        if index == reference or index not in true_transforms:
            continue
        true = true_transforms[reference] @ np.linalg.inv(true_transforms[index])
        off = cv2.perspectiveTransform(points, transform) - cv2.perspectiveTransform(points, true)
        errors.append(np.linalg.norm(off[:, 0], axis=1))
    return np.concatenate(errors) if errors else np.empty(0)


def ssim(a: Plane, b: Plane) -> float:
    """Mean structural similarity of float32 planes, 0..255 (Wang and others 2004, doi:10.1109/TIP.2003.819861)."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def blur(plane: Plane) -> Plane:
        return cv2.GaussianBlur(plane, (11, 11), 1.5)

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance: Plane = blur(a * b) - mean_a * mean_b
    score = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return float(score[5:-5, 5:-5].mean(dtype=np.float64))
