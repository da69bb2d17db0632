"""Stacks with exact truth, photographed by the simulated camera: what the benchmark judges every stacker by.

    python -m benchmarks.scenes [--size 2 24] [--scenes demo,noisy,hairs,far] [--folder .bench/scenes]

A scene's folder, `<folder>/<size>mp/<name>/`, holds `frames/f000.jpg` and so on (near to far), and on the pixels of
frame 0: `truth.png`, `depth.npy` (float32, mm: the carriage position at which a pixel is in focus), `bound.png` and
`scene.json` (true transforms frame -> frame 0, true gains, positions, the crop on which results are judged).

The truth is what the frames can show: what is never in focus is as sharp in it as in the frame nearest to it. The
bound is the best that choosing a frame for each pixel can reach: chosen by the smoothed error of noise-free frames to
the truth, with true transforms and gains, and taken from the noisy frames.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers.base import Exposure
from focusrail_drivers.cameras.simulated import SimulatedCamera
from focusrail_drivers.clock import VirtualClock
from focusrail_drivers.rails.simulated import SimulatedRail

FOLDER = Path(".bench/scenes")
VERSION = 1  # count up when a change of code changes what is rendered
FIELD_MM = 8.0
STILL_S = 5.0  # after a move the carriage stands still
SIZES = {0.4: (768, 512), 2.0: (1728, 1152), 24.0: (6000, 4000)}
# Radius of the disc half a step out of focus, in px: neighbouring frames overlap in depth of field, as in a real shoot
# with some 20 % overlap. The larger sensor's pixels are finer, and nobody shoots 70 frames for them.
HALF_STEP_PX = {0.4: 0.8, 2.0: 1.0, 24.0: 1.4}
QUALITY = {0.4: 95, 2.0: 95, 24.0: 98}  # of the JPEGs; 24 MP make 4 to 10 MB each
BOUND_SIGMA_PX = 1.5

Image = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scene:
    """One stack: what is photographed, and how badly. Per-frame figures are those of a 20-frame stack at any size."""

    name: str
    subject: Literal["petal", "hairs"] = "petal"
    background_mm: float = 14.6
    from_mm: float = 10.2
    to_mm: float = 14.6
    frames: int = 20
    breathing: float = 0.002  # relative change of magnification from frame to frame
    drift_px: tuple[float, float] = (1.66, -1.11)  # a frame, at 2 MP (1728 px wide): 2 px
    rotation_deg: float = 0.05  # from the first frame to the last
    full_well_electrons: float = 20000.0
    flicker: float = 0.02
    seed: int = 1


SCENES = {
    scene.name: scene
    for scene in (
        Scene("demo"),
        # ISO times 16: a sixteenth of the light at the same read noise, so four times the noise in grey levels.
        Scene("noisy", full_well_electrons=20000.0 / 16),
        Scene("hairs", subject="hairs", seed=2),
        # A garden 8 mm behind the last thing in focus: no frame shows it anywhere near sharp.
        Scene("far", background_mm=22.0, to_mm=14.1),
        # For registration: nothing moves but the lens's breath, tenfold; and nothing moves at all.
        Scene("breathing", breathing=0.02),
        Scene("still", breathing=0.0, drift_px=(0.0, 0.0), rotation_deg=0.0),
    )
}


@dataclass(frozen=True, slots=True)
class Stack:
    """A rendered scene, as it lies in its folder."""

    folder: Path
    scene: str
    megapixels: float
    frames: tuple[Path, ...]
    transforms: tuple[Matrix, ...]  # (3, 3) of frame k to the pixels of frame 0, integer coordinates at pixel centres
    gains: tuple[float, ...]  # how bright frame k is against the truth
    positions_mm: tuple[float, ...]
    crop: tuple[int, int, int, int]  # x, y, width, height on frame 0: what every frame covers, less a margin
    fingerprint: str  # of everything the frames depend on

    @property
    def frames_folder(self) -> Path:
        """Where the photographs are, and nothing else."""
        return self.folder / "frames"

    def truth(self) -> Image:
        """(height, width, 3) uint8, blue first, on the pixels of frame 0."""
        return _read(self.folder / "truth.png")

    def bound(self) -> Image:
        """(height, width, 3) uint8: the best frame for every pixel."""
        return _read(self.folder / "bound.png")

    def depth_mm(self) -> Plane:
        """(height, width) float32: at which position of the carriage a pixel is in focus."""
        return np.asarray(np.load(self.folder / "depth.npy"), dtype=np.float32)


def camera_options(scene: Scene, megapixels: float) -> SimulatedCamera.Options:
    """The simulated camera's options that make this scene at this size."""
    width, height = SIZES[megapixels]
    step_mm = (scene.to_mm - scene.from_mm) / (scene.frames - 1)
    px_per_mm = width / FIELD_MM
    um_per_mm = 1000 * FIELD_MM / 1728 / step_mm  # of one px a frame at 2 MP
    return SimulatedCamera.Options(
        seed=scene.seed,
        subject=scene.subject,
        width_px=width,
        height_px=height,
        background_mm=scene.background_mm,
        field_mm=FIELD_MM,
        numerical_aperture=HALF_STEP_PX[megapixels] / (step_mm / 2 * px_per_mm),
        projection="similarity",
        breathing_per_mm=scene.breathing / step_mm,
        drift_x_um_per_mm=scene.drift_px[0] * um_per_mm,
        drift_y_um_per_mm=scene.drift_px[1] * um_per_mm,
        rotation_deg_per_mm=scene.rotation_deg / (scene.to_mm - scene.from_mm),
        full_well_electrons=scene.full_well_electrons,
        flicker=scene.flicker,
        transfer_s=0.0,
        jpeg_quality=QUALITY[megapixels],
    )


def stack_of(scene: Scene, megapixels: float, folder: Path = FOLDER) -> Stack:
    """The rendered scene; rendered now if it is not there yet, or was rendered otherwise. 24 MP take minutes."""
    options = camera_options(scene, megapixels)
    usual = asdict(SimulatedCamera.Options())
    camera = {name: value for name, value in asdict(options).items() if value != usual[name]}  # new options: same scene
    described = json.dumps({"version": VERSION, "scene": asdict(scene), "camera": camera}, sort_keys=True)
    fingerprint = hashlib.sha256(described.encode()).hexdigest()[:16]
    here = folder / f"{megapixels:g}mp" / scene.name
    facts = here / "scene.json"
    if not facts.exists() or json.loads(facts.read_text())["fingerprint"] != fingerprint:
        making = here.with_name(here.name + ".making")
        shutil.rmtree(making, ignore_errors=True)
        (making / "frames").mkdir(parents=True)
        _render(scene, options, making, fingerprint)
        shutil.rmtree(here, ignore_errors=True)
        making.rename(here)
    return _load(here, scene.name, megapixels)


def _load(here: Path, name: str, megapixels: float) -> Stack:
    facts = json.loads((here / "scene.json").read_text())
    x, y, width, height = facts["crop"]
    return Stack(
        folder=here,
        scene=name,
        megapixels=megapixels,
        frames=tuple(sorted((here / "frames").glob("f*.jpg"))),
        transforms=tuple(np.array(matrix, np.float64) for matrix in facts["transforms"]),
        gains=tuple(facts["gains"]),
        positions_mm=tuple(facts["positions_mm"]),
        crop=(x, y, width, height),
        fingerprint=facts["fingerprint"],
    )


def photographed(scene: Scene, options: SimulatedCamera.Options) -> tuple[SimulatedCamera, list[Exposure], list[float]]:
    """The camera, the exposures of all frames, and where (mm) the carriage stood; pictures are still to be painted."""
    clock = VirtualClock()
    still = SimulatedRail.Options(homed=True, axial_vibration_um=0.0, lateral_vibration_um=0.0)
    rail = SimulatedRail(still, clock)
    rail.open()
    camera = SimulatedCamera(options, clock, rail)
    camera.open()
    exposures: list[Exposure] = []
    positions_mm = []
    rail.move_to(scene.from_mm - 0.5)  # then always upwards, so that the screw has no play
    for index, position_mm in enumerate(np.linspace(scene.from_mm, scene.to_mm, scene.frames)):
        rail.move_to(float(position_mm))
        clock.wait(STILL_S)
        positions_mm.append(rail.true_position_mm())
        exposures.append(camera.expose(index))
    return camera, exposures, positions_mm


def _render(scene: Scene, options: SimulatedCamera.Options, here: Path, fingerprint: str) -> None:
    camera, exposures, positions_mm = photographed(scene, options)
    truth = camera.sharpest(exposures[0], from_mm=positions_mm[0], to_mm=positions_mm[-1])
    _write(here / "truth.png", truth.all_in_focus)
    np.save(here / "depth.npy", truth.depth_mm)
    size = (options.width_px, options.height_px)
    to_first = camera.true_transform(exposures[0])
    transforms = [to_first @ np.linalg.inv(camera.true_transform(exposure)) for exposure in exposures]
    gains = [camera.lamp(exposure) for exposure in exposures]
    bound = _Bound(truth.all_in_focus)
    for index, exposure in enumerate(exposures):
        quiet = np.asarray(camera.picture(exposure), dtype=np.float32)
        data = camera.developed(exposure, quiet.copy())
        (here / "frames" / f"f{index:03d}.jpg").write_bytes(data)
        bound.add(quiet, _decoded(data), transforms[index], gain=gains[index])
    _write(here / "bound.png", bound.result())
    facts: dict[str, Any] = {
        "fingerprint": fingerprint,
        "scene": asdict(scene),
        "camera": asdict(options),
        "positions_mm": positions_mm,
        "transforms": [matrix.tolist() for matrix in transforms],
        "gains": gains,
        "crop": covered_by_all(transforms, size, margin_px=round(0.006 * size[0])),
    }
    (here / "scene.json").write_text(json.dumps(facts, indent=1))


class _Bound:
    """Chooses for every pixel the frame whose noise-free rendering is nearest to the truth around it."""

    def __init__(self, truth: Image) -> None:
        self._truth = truth
        self._least = np.full(truth.shape[:2], np.inf, np.float32)
        self._best = truth.copy()

    def add(self, quiet: Plane, noisy: Image, transform: Matrix, *, gain: float) -> None:
        """One frame: without noise (and gain), as photographed, its transform to the truth and its true gain."""
        size = (self._truth.shape[1], self._truth.shape[0])
        seen = cv2.warpAffine(quiet, transform[:2], size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        error = np.zeros(self._least.shape, np.float32)
        for channel in range(3):
            off = seen[:, :, channel] - self._truth[:, :, channel]
            error += off * off
        del seen
        error = np.asarray(cv2.GaussianBlur(error, (0, 0), BOUND_SIGMA_PX), np.float32)
        inside = np.full(self._least.shape, 255, np.uint8)
        inside = np.asarray(cv2.warpAffine(inside, transform[:2], size, flags=cv2.INTER_LINEAR), np.uint8)
        error[inside < 255] = np.finfo(np.float32).max
        better = error < self._least
        self._least[better] = error[better]
        taken = cv2.warpAffine(
            noisy.astype(np.float32) * np.float32(1 / gain),
            transform[:2], size, flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        self._best[better] = np.rint(np.clip(taken[better], 0, 255))

    def result(self) -> Image:
        """(height, width, 3) uint8."""
        return self._best


def covered_by_all(transforms: Sequence[Matrix], size: tuple[int, int], *, margin_px: int) -> tuple[int, int, int, int]:
    """The upright rectangle (x, y, width, height) on frame 0 that all frames cover, `margin_px` within.

    For frames that are turned little: each side is moved in to the innermost corner of any frame.
    """
    right, bottom = size[0] - 1, size[1] - 1
    corners = np.array([[0, right, 0, right], [0, 0, bottom, bottom], [1, 1, 1, 1]], np.float64)
    seen = np.stack([(matrix @ corners)[:2] for matrix in transforms])
    x0 = int(np.ceil(seen[:, 0, [0, 2]].max())) + margin_px
    y0 = int(np.ceil(seen[:, 1, [0, 1]].max())) + margin_px
    x1 = int(np.floor(seen[:, 0, [1, 3]].min())) + 1 - margin_px
    y1 = int(np.floor(seen[:, 1, [2, 3]].min())) + 1 - margin_px
    return x0, y0, x1 - x0, y1 - y0


def _read(path: Path) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise FileNotFoundError(path)
    return np.asarray(image, dtype=np.uint8)


def _decoded(data: bytes) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8)


def _write(path: Path, image: Image) -> None:
    if not cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
        raise OSError(f"could not write {path}")


def main() -> None:
    """Render what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, nargs="+", default=[2.0], choices=sorted(SIZES), help="megapixels")
    parser.add_argument("--scenes", default=",".join(SCENES), help="comma-separated")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    chosen = parser.parse_args()
    for megapixels in chosen.size:
        for name in chosen.scenes.split(","):
            stack = stack_of(replace(SCENES[name]), megapixels, chosen.folder)
            sizes_mb = [path.stat().st_size / 1e6 for path in stack.frames]
            print(
                f"{stack.folder}: {len(sizes_mb)} frames of {min(sizes_mb):.1f} to {max(sizes_mb):.1f} MB", flush=True
            )


if __name__ == "__main__":
    main()
