"""What do the KV260's scores do to a result? Fused pictures and depth maps by its arithmetic, against the processor's.

    python -m benchmarks.kv260 [--scenes demo,noisy,hairs,far] [--methods bands,soft,depthmap] [--folder .bench/scenes]

`kv260-exact` computes what the board computes, to the bit, so no board is needed. All fuse the same frames with the
same transforms, registered once; `pyramid` and `lob` are missing since an accelerator's scores do not choose their
pixels. Pictures are judged by score.py, depth by focusrail.stacking.judgement: where it claims to be sure, and away
from jumps. How often the same frame wins, and what contrast has to do with it: kv260_contrast.py.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.scenes import FOLDER, SCENES, Stack, stack_of
from benchmarks.score import score_in
from focusrail.model.method import Method
from focusrail.stacking import kernels
from focusrail.stacking.features import Found
from focusrail.stacking.judgement import judge
from focusrail.stacking.pipeline import Result, Stacker
from focusrail.stacking.resynthesis import SecondLook
from focusrail_drivers.accelerators.cpu import CpuAccelerator
from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.accelerators.kv260.exact import Kv260Exact
from focusrail_drivers.base import Accelerator

Image = npt.NDArray[np.uint8]
CPU = "cpu"
NAMES = (CPU, *(str(shift) for shift in reference.SHIFTS), "bracket")
_THREADS = 2
_OUT_OF_FOCUS_PX = 20.0  # sigma of a probe in which nothing is sharp


@dataclass(frozen=True, slots=True)
class Figures:
    """One method on one scene by one arithmetic."""

    scene: str
    method: str
    scores: str  # cpu, a shift, or bracket
    psnr_db: float
    ssim: float
    edge_psnr_db: float | None
    depth_rms_steps: float
    depth_beyond_step: float  # share of what it claims to be sure of that is off by more
    depth_judged: float  # share of the pixels that it is sure of


def named(name: str) -> Accelerator:
    """`cpu`, a shift, or `bracket`."""
    if name == CPU:
        return CpuAccelerator()
    return Kv260Exact(Kv260Exact.Options(shift="bracket" if name == "bracket" else int(name)))


class Registration:
    """The frames of a stack, and where they lie: the same for all that fuse them."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.frames = [_read(path) for path in stack.frames]
        with ThreadPoolExecutor(_THREADS) as executor:
            stacker = Stacker(Method(), accelerator=CpuAccelerator(), executor=executor)
            self.registered = [
                stacker.register(stacker.examine(frame), index, stack.positions_mm[index])
                for index, frame in enumerate(self.frames)
            ]

    @property
    def found(self) -> dict[int, Found]:
        """Transforms to frame 0."""
        return {one.index: one.found for one in self.registered}

    def fused(self, method: Method, accelerator: Accelerator) -> Result:
        """What a method makes of it."""
        with ThreadPoolExecutor(_THREADS) as executor:
            stacker = Stacker(method, accelerator=accelerator, executor=executor, reference=self.frames[0])
            for one in self.registered:
                stacker.fuse(one)
            return stacker.finish(SecondLook(read=lambda index: self.frames[index]))


def figures(registration: Registration, method: str, name: str) -> Figures:
    """Fuse and judge."""
    stack = registration.stack
    result = registration.fused(Method(fusion=method), named(name))
    picture = score_in(stack, result.fused.image)
    truth = judge(
        result.fused.image,
        result.depth(),
        crop=result.crop,
        true_image=stack.truth(),
        true_depth=stack.depth_mm(),
        true_transforms={k: np.linalg.inv(matrix) for k, matrix in enumerate(stack.transforms)},
        transforms={k: one.transform for k, one in registration.found.items()},
        reference=0,
    )
    return Figures(
        stack.scene, method, name, picture.psnr_db, picture.ssim, picture.edge_psnr_db,
        truth.depth_rms_steps, truth.depth_beyond_step, truth.depth_judged,
    )  # fmt: skip


def probes(registration: Registration) -> dict[str, Image]:
    """Luma that `auto` may be shown: of the first and of the middle frame, and of the first all but out of focus."""
    first, middle = (registration.frames[k] for k in (0, len(registration.frames) // 2))
    noise = np.random.default_rng(0).normal(0, 1.3, first.shape)
    blurred = cv2.GaussianBlur(first, (0, 0), _OUT_OF_FOCUS_PX)
    dissolved = np.clip(np.rint(blurred + noise), 0, 255).astype(np.uint8)
    return {
        name: kernels.luma(kernels.split(frame))
        for name, frame in (("first frame", first), ("middle frame", middle), ("nothing in focus", dissolved))
    }


def table(found: Sequence[Figures], method: str, what: str, shown: Callable[[Figures, Figures], str]) -> str:
    """A row for each scene, a column for each arithmetic; `shown` sees a figure and that of the processor."""
    names = list(dict.fromkeys(one.scores for one in found))
    rows = [f"| {method}: {what} | " + " | ".join(names) + " |", "| --- " * (len(names) + 1) + "|"]
    for scene in dict.fromkeys(one.scene for one in found):
        of = {one.scores: one for one in found if (one.scene, one.method) == (scene, method)}
        rows.append(f"| {scene} | " + " | ".join(shown(of[name], of[CPU]) for name in names) + " |")
    return "\n".join(rows)


_SHOWN: dict[str, Callable[[Figures, Figures], str]] = {
    "PSNR dB": lambda one, _: f"{one.psnr_db:.2f}",
    "PSNR against the processor's, dB": lambda one, cpu: f"{one.psnr_db - cpu.psnr_db:+.3f}",
    "SSIM": lambda one, _: f"{one.ssim:.4f}",
    "depth, rms in steps": lambda one, _: f"{one.depth_rms_steps:.3f}",
    "sure of its depth, %": lambda one, _: f"{100 * one.depth_judged:.1f}",
    "wrong by a step, of 10,000 that it is sure of": lambda one, _: f"{1e4 * one.depth_beyond_step:.1f}",
}


def _read(path: Path) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise FileNotFoundError(path)
    return np.asarray(image, np.uint8)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", default="demo,noisy,hairs,far", help=f"of {', '.join(SCENES)}")
    parser.add_argument("--methods", default="bands,soft,depthmap")
    parser.add_argument("--scores", default=",".join(NAMES), help="whose; cpu among them")
    parser.add_argument("--size", type=float, default=2.0, help="megapixels")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--out", type=Path, help="also write all figures there, as JSON")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    methods, names, found = options.methods.split(","), options.scores.split(","), []
    for scene in options.scenes.split(","):
        registration = Registration(stack_of(SCENES[scene], options.size, options.folder))
        chosen = {name: reference.suitable_shift(luma) for name, luma in probes(registration).items()}
        print(f"{scene}: auto chooses {', '.join(f'{shift} by {name}' for name, shift in chosen.items())}", flush=True)
        for method in methods:
            for name in names:
                found.append(figures(registration, method, name))
                print(found[-1], flush=True)
    if options.out:
        options.out.write_text(json.dumps([asdict(one) for one in found], indent=1))
    for method in methods:
        for what, shown in _SHOWN.items():
            print(table(found, method, what, shown) + "\n")


if __name__ == "__main__":
    main()
