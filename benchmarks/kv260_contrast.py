"""Does the KV260's arithmetic choose the frame that exact arithmetic would choose, whatever the contrast?

    python -m benchmarks.kv260_contrast [--scenes demo,noisy,hairs,far] [--folder .bench/scenes]

The scenes' frames are rendered without noise, scaled about a mean of 128 so that the standard deviation of the truth's
luma becomes the contrast asked for, exposed by the scene's sensor (noise as at full contrast, 8 bits, no JPEG), laid on
frame 0 by the true transforms and turned to luma as the pipeline does it. On that luma the frame with the largest
score is compared with the one of the largest |LoB| in floating point: cv2.GaussianBlur 3x3, cv2.Laplacian of ksize 1.
Of equals the first wins. Agreement: the same frame wins. Ties: several frames share the largest score.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.scenes import FOLDER, SCENES, Scene, Stack, camera_options, photographed, stack_of
from benchmarks.score import AROUND_SIGMA_PX, DETAIL_SIGMA_PX, TEXTURED
from focusrail.stacking import kernels
from focusrail_drivers.accelerators.kv260 import exact, reference
from focusrail_drivers.simulation.noise import Sensor

CONTRASTS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 70.0)  # grey levels
NAMES: tuple[reference.Shift, ...] = (*reference.SHIFTS, "bracket")
_MIDDLE = 128.0

Plane = npt.NDArray[np.float32]
Luma = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of the pixels that are judged, shares."""

    same: float  # the frame that floating point chooses
    among: float  # that frame has the largest score, perhaps with others
    ties: float  # several frames share the largest score


class Winners:
    """For each pixel of (height, width) the frame with the largest score, the first of equals, and what shares it."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.frame = np.zeros(shape, np.uint8)
        self._largest = np.full(shape, -1, np.float32)
        self._of_best = np.full(shape, -1, np.float32)  # the score of the frame that floating point chooses
        self._sharing = np.zeros(shape, np.uint8)

    def add(self, score: Plane, index: int, best: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.bool_]:
        """Fold in the next frame; `best` and what is returned: where it is better than all before it."""
        better, equal = score > self._largest, score == self._largest
        self.frame[better] = index
        self._sharing[better] = 1
        self._sharing[equal] += 1
        np.copyto(self._largest, score, where=better)
        np.copyto(self._of_best, score, where=better if best is None else best)
        return better

    def against(self, best: Winners, where: npt.NDArray[np.bool_]) -> Agreement:
        """Compare with the winners of floating point, within a mask."""
        same, among = self.frame == best.frame, self._of_best == self._largest
        ties = self._sharing > 1
        return Agreement(*(float(each[where].mean()) for each in (same, among, ties)))


class View:
    """A scene without noise: its frames, and the textured part of what all of them show."""

    def __init__(self, scene: Scene, stack: Stack) -> None:
        options = camera_options(scene, stack.megapixels)
        camera, exposures, _ = photographed(scene, options)
        self.stack, self.sensor = stack, Sensor(scene.seed, scene.full_well_electrons, options.read_noise_electrons, 0)
        # 1/256 of a grey level is fine enough, and a quarter of the memory of floats' four bytes for each.
        self._quiet = [np.rint(camera.picture(one) * np.float32(256)).astype(np.uint16) for one in exposures]
        truth = np.asarray(cv2.cvtColor(stack.truth().astype(np.float32), cv2.COLOR_BGR2GRAY), np.float32)
        x, y, width, height = stack.crop
        self.part = (slice(y, y + height), slice(x, x + width))
        self._mean, self._deviation = float(truth[self.part].mean()), float(truth[self.part].std())
        self.textured = textured(truth)[self.part]

    def scaled(self, picture: Plane, contrast: float) -> Plane:
        """Grey levels about their mean, with that standard deviation of the truth's luma."""
        k = contrast / self._deviation
        return np.asarray(picture * np.float32(k) + np.float32(_MIDDLE - self._mean * k), np.float32)

    def frames(self, contrast: float) -> Iterator[Luma]:
        """(height, width, 3) of each frame as the sensor would give it."""
        for index, quiet in enumerate(self._quiet):
            picture = self.scaled(quiet.astype(np.float32) * np.float32(1 / 256), contrast)
            yield np.asarray(self.sensor.counts(picture, index, bits=8), np.uint8)

    def lumas(self, contrast: float) -> Iterator[Luma]:
        """(height, width) of each frame, laid on frame 0."""
        for frame, transform in zip(self.frames(contrast), self.stack.transforms, strict=True):
            yield kernels.luma(kernels.warp(frame, np.linalg.inv(transform)[:2], top=0, rows=len(frame)))


def textured(truth: Plane) -> npt.NDArray[np.bool_]:
    """Where the detail of luma (height, width) deviates by more than 6 grey levels, as score.py has it."""
    detail = truth - cv2.GaussianBlur(truth, (0, 0), DETAIL_SIGMA_PX)
    return np.asarray(cv2.GaussianBlur(detail * detail, (0, 0), AROUND_SIGMA_PX) > TEXTURED**2)


def agreements(view: View, contrast: float) -> tuple[dict[str, Agreement], dict[str, reference.Shift]]:
    """For each arithmetic, floating point itself among them; and the shift that `auto` takes, by two frames."""
    shape = view.textured.shape
    best, judged = Winners(shape), {name: Winners(shape) for name in NAMES}
    chosen: dict[str, reference.Shift] = {}
    for index, luma in enumerate(view.lumas(contrast)):
        if index in (0, len(view.stack.frames) // 2):
            chosen["middle frame" if index else "first frame"] = reference.suitable_shift(luma)
        lob = cv2.Laplacian(cv2.GaussianBlur(luma.astype(np.float32), (3, 3), 0), cv2.CV_32F, ksize=1)
        better = best.add(np.abs(np.asarray(lob[view.part], np.float32)), index)
        for name, winners in judged.items():
            winners.add(exact.score(luma, name)[view.part].astype(np.float32), index, better)
    found = {str(name): winners.against(best, view.textured) for name, winners in judged.items()}
    return {"float": best.against(best, view.textured)} | found, chosen


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", default="demo,noisy,hairs,far", help=f"of {', '.join(SCENES)}")
    parser.add_argument("--contrasts", type=float, nargs="+", default=CONTRASTS, help="grey levels")
    parser.add_argument("--size", type=float, default=2.0, help="megapixels")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    means: dict[float, list[dict[str, Agreement]]] = {contrast: [] for contrast in options.contrasts}
    for scene in options.scenes.split(","):
        view = View(SCENES[scene], stack_of(SCENES[scene], options.size, options.folder))
        print(f"\n{scene}: {100 * view.textured.mean():.0f} % are textured\n\n{_HEAD}")
        for contrast in options.contrasts:
            found, chosen = agreements(view, contrast)
            means[contrast].append(found)
            print(
                _row(contrast, found) + f" {', '.join(f'{shift} by {name}' for name, shift in chosen.items())} |",
                flush=True,
            )
    print(f"\nmean of the scenes\n\n{_HEAD}")
    for contrast, each in means.items():
        mean = {
            name: Agreement(*(fmean(values) for values in zip(*(astuple(found[name]) for found in each), strict=True)))
            for name in each[0]
        }
        print(_row(contrast, mean) + " |")


_SHOWN = ("float", *map(str, NAMES))
_HEAD = f"| contrast | {' | '.join(_SHOWN)} | auto |\n{'| --- ' * (len(_SHOWN) + 2)}|"


def _row(contrast: float, found: dict[str, Agreement]) -> str:
    """Same winner / winner of floating point among the largest / ties, in %."""
    cells = (
        f"{100 * one.same:.1f} / {100 * one.among:.1f} / {100 * one.ties:.1f}" for one in map(found.get, _SHOWN) if one
    )
    return f"| {contrast:g} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
