"""What do the KV260's scores do to a result? Fused pictures and depth maps by its arithmetic, against the processor's.

    python -m benchmarks.kv260 [--scenes demo,noisy,hairs,far] [--methods bands,soft,depthmap,lob] [--contrast 5]

`kv260-exact` computes what the board computes, to the bit, so no board is needed. All fuse the same frames with the
same transforms, registered once. `lob` is that of sizes 3 and 1, the only ones that scores choose for; they choose no
pixels of `pyramid`. Pictures are judged by score.py, depth by focusrail.stacking.judgement: where it claims to be sure,
and away from jumps. With a contrast (grey levels, see kv260_contrast.py) the frames are those of the scene scaled to
it, with true transforms, and pictures are judged without fitting them to the truth.
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

from benchmarks.kv260_contrast import View
from benchmarks.scenes import FOLDER, SCENES, Stack, stack_of
from benchmarks.score import score_in
from focusrail.model.method import Method
from focusrail.stacking import kernels
from focusrail.stacking.features import Found
from focusrail.stacking.judgement import judge
from focusrail.stacking.pipeline import Registered, Result, Stacker
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
    depth_rms_steps: float
    depth_beyond_step: float  # share of what it claims to be sure of that is off by more
    depth_judged: float  # share of the pixels that it is sure of


def named(name: str) -> Accelerator:
    """`cpu`, a shift, or `bracket`."""
    if name == CPU:
        return CpuAccelerator()
    return Kv260Exact(Kv260Exact.Options(shift="bracket" if name == "bracket" else int(name)))


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of a stack, and where they lie: the same for all that fuse them."""

    stack: Stack
    images: list[Image]
    registered: list[Registered]
    truth: Image
    fitted: bool  # whether a result is brought onto the truth before it is judged

    @staticmethod
    def photographed(stack: Stack) -> Frames:
        """As the scene's camera made them, registered as a shoot is."""
        images = [_read(path) for path in stack.frames]
        with ThreadPoolExecutor(_THREADS) as executor:
            stacker = Stacker(Method(), accelerator=CpuAccelerator(), executor=executor)
            registered = [
                stacker.register(stacker.examine(image), index, stack.positions_mm[index])
                for index, image in enumerate(images)
            ]
        return Frames(stack, images, registered, stack.truth(), fitted=True)

    @staticmethod
    def of_contrast(view: View, contrast: float) -> Frames:
        """At another contrast, where they truly lie."""
        stack, images = view.stack, list(view.frames(contrast))
        registered = [
            Registered(k, stack.positions_mm[k], image, Found(stack.transforms[k]), kernels.UNCHANGED)
            for k, image in enumerate(images)
        ]
        truth = np.clip(np.rint(view.scaled(stack.truth().astype(np.float32), contrast)), 0, 255).astype(np.uint8)
        return Frames(stack, images, registered, truth, fitted=False)

    def fused(self, method: Method, accelerator: Accelerator) -> Result:
        """What a method makes of them."""
        with ThreadPoolExecutor(_THREADS) as executor:
            stacker = Stacker(method, accelerator=accelerator, executor=executor, reference=self.images[0])
            for one in self.registered:
                stacker.fuse(one)
            return stacker.finish(SecondLook(read=lambda index: self.images[index]))


def figures(frames: Frames, method: str, name: str) -> Figures:
    """Fuse and judge."""
    stack = frames.stack
    result = frames.fused(Method(fusion=method, blur_px=3, laplacian_px=1), named(name))
    judged = judge(
        result.fused.image,
        result.depth(),
        crop=result.crop,
        true_image=frames.truth,
        true_depth=stack.depth_mm(),
        true_transforms={k: np.linalg.inv(matrix) for k, matrix in enumerate(stack.transforms)},
        transforms={one.index: one.found.transform for one in frames.registered},
        reference=0,
    )
    picture = score_in(stack, result.fused.image) if frames.fitted else judged
    return Figures(
        stack.scene, method, name, picture.psnr_db, picture.ssim, judged.depth_rms_steps, judged.depth_beyond_step,
        judged.depth_judged,
    )  # fmt: skip


def probes(frames: Frames) -> dict[str, Image]:
    """Luma that `auto` may be shown: of the first and of the middle frame, and of the first all but out of focus."""
    first, middle = (frames.images[k] for k in (0, len(frames.images) // 2))
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
    parser.add_argument("--methods", default="bands,soft,depthmap,lob")
    parser.add_argument("--contrast", type=float, help="grey levels; without it, the scenes' photographs")
    parser.add_argument("--scores", default=",".join(NAMES), help="whose; cpu among them")
    parser.add_argument("--size", type=float, default=2.0, help="megapixels")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--out", type=Path, help="also write all figures there, as JSON")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    methods, names, found = options.methods.split(","), options.scores.split(","), []
    for scene in options.scenes.split(","):
        stack = stack_of(SCENES[scene], options.size, options.folder)
        contrast = options.contrast
        frames = Frames.of_contrast(View(SCENES[scene], stack), contrast) if contrast else Frames.photographed(stack)
        chosen = {name: reference.suitable_shift(luma) for name, luma in probes(frames).items()}
        print(f"{scene}: auto chooses {', '.join(f'{shift} by {name}' for name, shift in chosen.items())}", flush=True)
        for method in methods:
            for name in names:
                found.append(figures(frames, method, name))
                print(found[-1], flush=True)
    if options.out:
        options.out.write_text(json.dumps([asdict(one) for one in found], indent=1))
    for method in methods:
        for what, shown in _SHOWN.items():
            print(table(found, method, what, shown) + "\n")


if __name__ == "__main__":
    main()
