"""Features: points that two frames share, and the transform on which most of them agree.

SIFT (Lowe 2004, doi:10.1023/B:VISI.0000029664.99615.94) or ORB (Rublee and others 2011, doi:10.1109/ICCV.2011.6126544)
are matched, and a robust estimator drops the wrong matches. No first guess is needed, so this finds the way where the
dense alignment cannot begin.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from focusrail.errors import NotRegistered
from focusrail.model.method import Registration
from focusrail.stacking.arrays import Luma, Points, Transform

_ESTIMATORS = {"ransac": cv2.RANSAC, "lmeds": cv2.LMEDS, "rho": cv2.RHO, "least_squares": 0}
LEAST_MATCHES = {"translation": 1, "similarity": 2, "affine": 3, "homography": 4}
_HYPOTHESES = 500
LEAST_SIDE_PX = 48  # of what dense alignment can work on; features hardly find anything in less
ADVICE = "if it belongs to this stack, smaller steps or `--detector orb` may help; if not, take it out"
ADVICE_FOR_SEVERAL = "if they belong to this stack, smaller steps or `--detector orb` may help; if not, take them out"
_ORB_LEAST_PX = 32  # its pyramid reduces 3.6 times, its patches are 31 px wide
_LARGEST_AREA_RATIO = 4.0  # neighbours in a stack differ by a few per cent; wrong matches by any factor


@dataclass(frozen=True, slots=True)
class Found:
    """A transform and how well it is supported."""

    transform: Transform = field(default_factory=lambda: np.eye(3))
    matches: int = 0
    inliers: int = 0
    residual_px: float = 0.0  # how far the inliers are off, full-size pixels: features root mean square, dense median
    predicted: bool = False  # too little could be compared: what the rail's geometry expects
    shaken: bool = False  # smeared against its neighbour, everywhere along one direction


def divisor_for(height: int, width: int, *, work_mpx: float) -> int:
    """What to divide a frame's sides by, so that it has about `work_mpx` megapixels, a narrow one more; 0: its size."""
    divisor = max(1, round(np.sqrt(width * height / (work_mpx * 1e6)))) if work_mpx > 0 else 1
    return min(divisor, max(1, min(width, height) // LEAST_SIDE_PX))


@dataclass(frozen=True, slots=True)
class Reduced:
    """A frame's 8-bit luma, reduced by a whole divisor."""

    luma: Luma
    divisor: int

    def full_size(self) -> tuple[int, int]:
        """(width, height) of the frame, but for what the divisor left over."""
        return self.luma.shape[1] * self.divisor, self.luma.shape[0] * self.divisor

    def to_full(self) -> Transform:
        """From reduced pixels to full-size pixels."""
        shift = (self.divisor - 1) / 2
        return np.array([[self.divisor, 0, shift], [0, self.divisor, shift], [0, 0, 1]], np.float64)


@dataclass(frozen=True, slots=True)
class Features:
    """Keypoints and descriptors of one reduced frame."""

    frame: Reduced
    points: Points  # (n, 2), reduced pixels
    descriptors: Any  # (n, 128) float32 or (n, 32) uint8; None when n is 0


def find_features(frame: Reduced, settings: Registration) -> Features:
    """Keypoints and descriptors of a reduced frame: ORB where the settings say so, else SIFT."""
    if settings.detector == "orb" and min(frame.luma.shape) < _ORB_LEAST_PX:
        return Features(frame, np.empty((0, 2), np.float32), None)
    detector: Any = cv2.ORB_create(settings.orb_features) if settings.detector == "orb" else cv2.SIFT_create()
    keypoints, descriptors = detector.detectAndCompute(frame.luma, None)
    points = np.array([k.pt for k in keypoints], np.float32).reshape(-1, 2)
    return Features(frame, points, descriptors)


def match(frame: Features, target: Features, settings: Registration) -> tuple[Points, Points]:
    """Corresponding points (n, 2) of frame and target, nearest descriptors first."""
    if len(frame.points) < 2 or len(target.points) < 2:
        return np.empty((0, 2), np.float32), np.empty((0, 2), np.float32)
    if settings.detector != "orb":
        pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(frame.descriptors, target.descriptors, k=2)
        matches = [p[0] for p in pairs if len(p) == 2 and p[0].distance < settings.ratio * p[1].distance]
    else:
        matches = list(cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(frame.descriptors, target.descriptors))
    matches.sort(key=lambda m: m.distance)
    if settings.best_matches:
        matches = matches[: settings.best_matches]
    return (
        frame.points[[m.queryIdx for m in matches]].reshape(-1, 2),
        target.points[[m.trainIdx for m in matches]].reshape(-1, 2),
    )


def estimate(source: Points, target: Points, settings: Registration, *, threshold_px: float) -> Found:
    """The transform from source to target points, (n, 2) each. Raises NotRegistered when they do not support one."""
    needed = max(LEAST_MATCHES[settings.model], settings.least_inliers)
    if len(source) < needed:
        raise NotRegistered(
            f"cannot be aligned: {len(source)} matches with its neighbour, {needed} are needed; {ADVICE}"
        )
    transform, mask = _solve(source, target, settings, threshold_px)
    inliers = int(np.count_nonzero(mask)) if mask is not None else 0
    if transform is None or not np.all(np.isfinite(transform)) or inliers < needed:
        raise NotRegistered(
            f"cannot be aligned: {inliers} of {len(source)} matches agree on one transform, {needed} are needed; "
            f"{ADVICE}"
        )
    kept = mask.ravel().astype(bool)
    if settings.model == "translation":  # any is plausible in itself: wrong matches show by what else they would do
        similar = _least_squares(source[kept], target[kept], "similarity")
        check_plausible(np.vstack([similar, (0.0, 0.0, 1.0)]), (1, 1))
    moved = cv2.perspectiveTransform(source[kept][:, None].astype(np.float64), transform)[:, 0]
    residual = float(np.sqrt(np.mean(np.sum((moved - target[kept]) ** 2, axis=1))))
    return Found(transform, len(source), inliers, residual)


def _solve(source: Points, target: Points, settings: Registration, threshold_px: float) -> tuple[Any, Any]:
    if settings.model == "homography":
        method = _ESTIMATORS[settings.estimator]
        found, mask = cv2.findHomography(source[:, None], target[:, None], method, ransacReprojThreshold=threshold_px)
        return (None if found is None else np.asarray(found, np.float64)), mask
    if settings.model == "translation" and settings.estimator in {"ransac", "lmeds"}:
        return _translation(source, target, settings.estimator, threshold_px)
    if settings.estimator == "rho":  # it knows homographies only: it chooses the inliers, least squares does the rest
        _, mask = cv2.findHomography(source[:, None], target[:, None], cv2.RHO, ransacReprojThreshold=threshold_px)
        kept = np.zeros(len(source), bool) if mask is None else mask.ravel().astype(bool)
        if np.count_nonzero(kept) < LEAST_MATCHES[settings.model]:
            return None, mask
        return np.vstack([_least_squares(source[kept], target[kept], settings.model), (0.0, 0.0, 1.0)]), mask
    solver: Any = cv2.estimateAffinePartial2D if settings.model == "similarity" else cv2.estimateAffine2D
    if settings.estimator == "least_squares":  # OpenCV offers only robust estimators here: all are inliers
        found, mask = _least_squares(source, target, settings.model), np.ones((len(source), 1), np.uint8)
    else:
        method = cv2.LMEDS if settings.estimator == "lmeds" else cv2.RANSAC
        found, mask = solver(source, target, method=method, ransacReprojThreshold=threshold_px)
    return (None if found is None else np.vstack([found, (0.0, 0.0, 1.0)])), mask


def _translation(source: Points, target: Points, estimator: str, threshold_px: float) -> tuple[Any, Any]:
    """One match makes a hypothesis, so the best are all tried: the most within the threshold, or the least median."""
    moved = target.astype(np.float64) - source
    tried = moved[:_HYPOTHESES, None]
    off = np.hypot(tried[..., 0] - moved[:, 0], tried[..., 1] - moved[:, 1])
    if estimator == "lmeds":
        medians = np.median(off, axis=1)
        best = int(np.argmin(medians))
        threshold_px = max(2.5 * 1.4826 * float(medians[best]), 1e-3)  # Rousseeuw and Leroy 1987
    else:
        best = int(np.argmax(np.count_nonzero(off < threshold_px, axis=1)))
    kept = off[best] < threshold_px
    found = np.vstack([_least_squares(source[kept], target[kept], "translation"), (0.0, 0.0, 1.0)])
    return found, kept[:, None].astype(np.uint8)


def _least_squares(source: Points, target: Points, model: str) -> Any:
    """(2, 3) affine matrix with the smallest sum of squared errors over all points."""
    if model == "translation":
        dx, dy = (target.astype(np.float64) - source).mean(axis=0)
        return np.array([[1, 0, dx], [0, 1, dy]])
    x, y = source[:, 0].astype(np.float64), source[:, 1].astype(np.float64)
    one, zero = np.ones_like(x), np.zeros_like(x)
    if model == "similarity":
        rows = np.vstack([np.column_stack([x, -y, one, zero]), np.column_stack([y, x, zero, one])])
        a, b, tx, ty = np.linalg.lstsq(rows, np.concatenate([target[:, 0], target[:, 1]]), rcond=None)[0]
        return np.array([[a, -b, tx], [b, a, ty]])
    rows = np.column_stack([x, y, one])
    return np.linalg.lstsq(rows, target.astype(np.float64), rcond=None)[0].T


def check_plausible(transform: Transform, size: tuple[int, int]) -> None:
    """Refuse what no photograph of the same thing can be: mirrored, folded, or much larger or smaller.

    Repeated patterns match many to one, and agree on a transform without inverse. `size` is (width, height).
    """
    corners = np.array([(0, 0, 1), (size[0], 0, 1), (size[0], size[1], 1), (0, size[1], 1)], np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        areas = np.linalg.det(transform) / (corners @ transform[2]) ** 3  # the Jacobian's determinant
    wrong = ~((areas > 1 / _LARGEST_AREA_RATIO) & (areas < _LARGEST_AREA_RATIO))
    if wrong.any():
        raise NotRegistered(
            f"cannot be aligned: its area would change {areas[wrong][0]:.3g} times, so the matches are wrong; {ADVICE}"
        )
