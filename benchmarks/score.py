"""How near to the truth is the picture that a stacker made? The same measure for every stacker, whatever it crops.

    python -m benchmarks.score RESULT --scene demo [--size 2] [--folder .bench/scenes]

A result is first brought onto the truth by a similarity (SIFT, then ECC at full size) and one gain for each channel,
since each stacker chooses its own reference frame, crop and exposure. Then it is judged within the scene's crop.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image

from benchmarks.scenes import FOLDER, SCENES, Stack, stack_of
from focusrail.stacking.judgement import ssim

Image = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float64]

VERSION = 1  # count up when scores change
ALIGN_MP = 1.5  # SIFT sees the pictures reduced to this
EDGE_PX = 6.0  # at 2 MP (1728 px wide): so near to a jump of depth is the edge region
JUMP_STEPS = 2.0  # a jump of depth is one of more than so many steps between frames
TEXTURED, FLAT = 6.0, 0.5  # deviation of the truth's detail in grey levels: more is texture, less is flat
DETAIL_SIGMA_PX, AROUND_SIGMA_PX = 2.0, 5.0
LEAST_SHARE = 0.002  # of the crop; a figure of fewer pixels is none


class NotTheScene(Exception):
    """The result cannot be brought onto the truth."""


@dataclass(frozen=True, slots=True)
class Score:
    """Figures within the crop that all frames cover; None where the scene has no such region."""

    psnr_db: float
    ssim: float
    edge_psnr_db: float | None  # near jumps of depth
    texture_psnr_db: float | None  # textured surfaces in focus in some frame, away from edges
    beyond_psnr_db: float | None  # what no frame has in focus, away from edges
    flat_noise: float | None  # deviation of high-passed error, grey levels, where the truth is flat and can be in focus
    beyond_noise: float | None  # the same where nothing can be in focus: false detail
    sharpness: float | None  # share of the truth's LoB that the result has in textures; noise does not count
    align_p50_px: float | None  # how far textures lie from where they belong
    align_p95_px: float | None
    covered: float  # share of the crop that the result shows; the rest is not judged
    scale: float  # of the fitted similarity, result to truth


@dataclass(frozen=True, slots=True)
class Regions:
    """Where on the crop which figure is taken, (height, width) each."""

    edge: Mask
    texture: Mask
    flat: Mask
    beyond: Mask
    beyond_flat: Mask


def score(
    result: Image, *, truth: npt.NDArray[np.uint8], depth_mm: Plane, crop: tuple[int, int, int, int],
    focus_mm: tuple[float, float], step_mm: float,
) -> Score:  # fmt: skip
    """Judge `result` (height, width, 3), uint8 or uint16, of any size, against the truth on frame 0's pixels.

    `crop` is (x, y, width, height) on the truth, `focus_mm` the first and last frame's position. Raises NotTheScene.
    """
    x, y, width, height = crop
    wanted = truth[y : y + height, x : x + width].astype(np.float32)
    seen, valid, to_truth = laid_on(result, truth, crop)
    where = regions(
        wanted, depth_mm[y : y + height, x : x + width], focus_mm=focus_mm, step_mm=step_mm,
        edge_px=EDGE_PX * truth.shape[1] / 1728,
    )  # fmt: skip
    error = ((seen - wanted) ** 2).mean(axis=2)
    grey_seen, grey_wanted = (np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)) for image in (seen, wanted))
    off = _detail(grey_seen) - _detail(grey_wanted)
    p50, p95 = _displacements_px(grey_seen, grey_wanted, where.texture & valid)
    return Score(
        psnr_db=_psnr_db(float(error[valid].mean(dtype=np.float64))),
        ssim=ssim(grey_seen, grey_wanted),
        edge_psnr_db=_psnr_within(error, where.edge & valid),
        texture_psnr_db=_psnr_within(error, where.texture & valid),
        beyond_psnr_db=_psnr_within(error, where.beyond & valid),
        flat_noise=_deviation(off, where.flat & valid),
        beyond_noise=_deviation(off, where.beyond_flat & valid),
        sharpness=_share(_lob(grey_seen), _lob(grey_wanted), where.texture & valid),
        align_p50_px=p50,
        align_p95_px=p95,
        covered=float(valid.mean()),
        scale=float(np.hypot(to_truth[0, 0], to_truth[1, 0])),
    )


def score_in(stack: Stack, result: Image) -> Score:
    """Judge a result of a rendered stack."""
    positions = stack.positions_mm
    return score(
        result, truth=stack.truth(), depth_mm=stack.depth_mm(), crop=stack.crop,
        focus_mm=(positions[0], positions[-1]), step_mm=positions[1] - positions[0],
    )  # fmt: skip


def laid_on(result: Image, truth: npt.NDArray[np.uint8], crop: tuple[int, int, int, int]) -> tuple[Plane, Mask, Matrix]:
    """The result on the truth's crop (height, width, 3), 0..255, in its exposure; where it is; result to truth (3, 3).

    What the result does not show is filled with the truth. Raises NotTheScene.
    """
    got = np.asarray(result, dtype=np.float32) * np.float32(255 / np.iinfo(result.dtype).max)
    to_truth = fitted(got, truth)
    x, y, width, height = crop
    to_crop = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]], np.float64) @ to_truth
    warped = cv2.warpAffine(
        got, to_crop[:2], (width, height), flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE
    )
    seen = np.asarray(warped, dtype=np.float32)
    ones = np.full(got.shape[:2], 255, np.uint8)
    valid = np.asarray(cv2.warpAffine(ones, to_crop[:2], (width, height), flags=cv2.INTER_LINEAR)) == 255
    if valid.mean() < 0.5:
        raise NotTheScene(f"the result shows {valid.mean():.0%} of the crop")
    wanted = truth[y : y + height, x : x + width].astype(np.float32)
    for channel in range(3):
        a, b = seen[:, :, channel][valid].astype(np.float64), wanted[:, :, channel][valid]
        seen[:, :, channel] *= np.float32((a * b).sum() / max(1.0, (a * a).sum()))
    np.clip(seen, 0, 255, out=seen)
    seen[~valid] = wanted[~valid]
    return seen, valid, to_truth


def fitted(got: Plane, truth: npt.NDArray[np.uint8]) -> Matrix:
    """(3, 3) similarity from the result's pixels to the truth's. Raises NotTheScene."""
    grey = np.asarray(cv2.cvtColor(got, cv2.COLOR_BGR2GRAY), dtype=np.float32)
    true = np.asarray(cv2.cvtColor(truth, cv2.COLOR_BGR2GRAY), dtype=np.float32)
    coarse = _by_features(grey, true)
    # ECC finds an affinity, from the truth's pixels to the result's; its nearest similarity is what is wanted.
    size = (true.shape[1], true.shape[0])
    start = np.linalg.inv(coarse)[:2].astype(np.float32)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-7)
    try:
        _, affinity = cv2.findTransformECC(true, grey, start.copy(), cv2.MOTION_AFFINE, stop, None, 5)
    except cv2.error as refused:
        raise NotTheScene("ECC does not converge") from refused
    at = np.array([(x, y) for x in np.linspace(0, size[0], 9) for y in np.linspace(0, size[1], 9)])
    there = at @ affinity[:, :2].T.astype(np.float64) + affinity[:, 2]
    return _similarity(there, at)


def _similarity(from_px: npt.NDArray[np.float64], to_px: npt.NDArray[np.float64]) -> Matrix:
    # Least squares: x' = a x - b y + c, y' = b x + a y + d.
    x, y = from_px.T
    one, zero = np.ones_like(x), np.zeros_like(x)
    rows = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    a, b, c, d = np.linalg.lstsq(rows, np.concatenate([to_px[:, 0], to_px[:, 1]]), rcond=None)[0]
    return np.array([[a, -b, c], [b, a, d], [0, 0, 1]], np.float64)


def _by_features(grey: Plane, true: Plane) -> Matrix:
    sift = cv2.SIFT_create(nfeatures=6000)
    found = []
    for plane in (grey, true):
        reduced = min(1.0, (ALIGN_MP * 1e6 / plane.size) ** 0.5)
        small = cv2.resize(plane, None, fx=reduced, fy=reduced, interpolation=cv2.INTER_AREA)
        points, descriptors = sift.detectAndCompute(np.clip(small, 0, 255).astype(np.uint8), None)
        if descriptors is None or len(points) < 12:
            raise NotTheScene("no features")
        # A reduced pixel's centre is the centre of the pixels that it covers.
        found.append(((np.array([point.pt for point in points]) + 0.5) / reduced - 0.5, descriptors))
    (from_px, ours), (to_px, theirs) = found
    pairs = [
        near[0]
        for near in cv2.BFMatcher(cv2.NORM_L2).knnMatch(ours, theirs, k=2)
        if len(near) == 2 and near[0].distance < 0.7 * near[1].distance
    ]
    if len(pairs) < 12:
        raise NotTheScene(f"{len(pairs)} features match")
    source = from_px[[pair.queryIdx for pair in pairs]]
    target = to_px[[pair.trainIdx for pair in pairs]]
    matrix, _ = cv2.estimateAffinePartial2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=3.0, maxIters=5000, confidence=0.999
    )
    if matrix is None:
        raise NotTheScene("no similarity fits the features")
    return np.vstack([matrix, [0, 0, 1]]).astype(np.float64)


def regions(
    wanted: Plane, depth_mm: Plane, *, focus_mm: tuple[float, float], step_mm: float, edge_px: float
) -> Regions:
    """Which pixels are edge, texture, flat or beyond focus; `wanted` is the truth (height, width, 3)."""
    square = np.ones((3, 3), np.uint8)
    jump = cv2.dilate(depth_mm, square) - cv2.erode(depth_mm, square) > JUMP_STEPS * step_mm
    from_jump_px = cv2.distanceTransform(255 - 255 * jump.astype(np.uint8), cv2.DIST_L2, 5)
    away = from_jump_px > 2 * edge_px
    reach = (depth_mm > focus_mm[0] - step_mm) & (depth_mm < focus_mm[1] + step_mm)
    detail = _detail(np.asarray(cv2.cvtColor(wanted, cv2.COLOR_BGR2GRAY)))
    strength = np.sqrt(np.maximum(cv2.GaussianBlur(detail * detail, (0, 0), AROUND_SIGMA_PX), 0))
    return Regions(
        edge=from_jump_px <= edge_px,
        texture=away & reach & (strength > TEXTURED),
        flat=away & reach & (strength < FLAT),
        beyond=away & ~reach,
        beyond_flat=away & ~reach & (strength < FLAT),
    )


def _detail(plane: Plane) -> Plane:
    return np.asarray(plane - cv2.GaussianBlur(plane, (0, 0), DETAIL_SIGMA_PX), dtype=np.float32)


def _lob(plane: Plane) -> Plane:
    return np.asarray(cv2.Laplacian(cv2.GaussianBlur(plane, (0, 0), 0.8), cv2.CV_32F), dtype=np.float32)


def _displacements_px(seen: Plane, wanted: Plane, where: Mask) -> tuple[float | None, float | None]:
    # Lucas and Kanade, pyramidal: where the truth's detail lies in the result.
    rows, columns = (np.arange(24, size - 24, 24) for size in wanted.shape)
    x, y = np.meshgrid(columns, rows)
    chosen = where[y, x]
    if chosen.sum() < 50:
        return None, None
    points = np.stack([x[chosen], y[chosen]], axis=1).astype(np.float32)[:, None]
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-4)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        *(np.rint(np.clip(plane, 0, 255)).astype(np.uint8) for plane in (wanted, seen)),
        points, None, winSize=(41, 41), maxLevel=2, criteria=stop,
    )  # fmt: skip
    off = np.linalg.norm((moved - points)[found[:, 0] == 1][:, 0], axis=1)
    return float(np.percentile(off, 50)), float(np.percentile(off, 95))


def _psnr_db(mean_squared: float) -> float:
    return float(10 * np.log10(255**2 / max(mean_squared, 1e-9)))


def _psnr_within(error: Plane, where: Mask) -> float | None:
    return _psnr_db(float(error[where].mean(dtype=np.float64))) if where.mean() >= LEAST_SHARE else None


def _deviation(plane: Plane, where: Mask) -> float | None:
    return float(plane[where].std(dtype=np.float64)) if where.mean() >= LEAST_SHARE else None


def _share(seen: Plane, wanted: Plane, where: Mask) -> float | None:
    # Projected on the truth: what is not the truth's own detail, noise and ghosts, averages out.
    if where.mean() < LEAST_SHARE:
        return None
    a, b = seen[where].astype(np.float64), wanted[where].astype(np.float64)
    return float((a * b).sum() / (b * b).sum())


def read_result(path: Path) -> Image:
    """(height, width, 3), uint8 or uint16, blue first, as stored: no turning by EXIF. Raises NotTheScene."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        # OpenCV refuses a PNG that is one large chunk, as Pillow does not.
        try:
            with PIL.Image.open(path) as opened:
                image = np.ascontiguousarray(np.asarray(opened.convert("RGB"))[:, :, ::-1])
        except OSError as refused:
            raise NotTheScene(f"{path.name} cannot be read") from refused
    if image.dtype not in (np.uint8, np.uint16):
        raise NotTheScene(f"{path.name} has pixels of {image.dtype}")
    return image


def main() -> None:
    """Judge one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path)
    parser.add_argument("--scene", required=True, choices=sorted(SCENES))
    parser.add_argument("--size", type=float, default=2.0)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    chosen = parser.parse_args()
    stack = stack_of(SCENES[chosen.scene], chosen.size, chosen.folder)
    print(json.dumps(asdict(score_in(stack, read_result(chosen.result))), indent=1))


if __name__ == "__main__":
    main()
