"""How long does one frame take from pixels to fused, by LoB in stripes, and by the notebook's whole float64 planes?

    python benchmarks/lob_pass.py [--megapixels 24] [--repeats 9]

Both run on the same frames in the same process, in turn, on one core and then on all; medians are printed. Decoding,
registration and warping are not part of it: this is luma, blur, Laplacian, compare and copy.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.model.method import Method
from focusrail.stacking import kernels
from focusrail.stacking.accumulators import accumulator
from focusrail.stacking.arrays import Tile
from focusrail.stacking.canvas import Stripe, stripes
from focusrail.stacking.focus_measure import ENERGY_HALO_PX, Scores
from focusrail.stacking.fusion import Accumulator, LobAccumulator
from focusrail_drivers.accelerators.cpu import CpuAccelerator

Image = npt.NDArray[np.uint8]


def frames(megapixels: float) -> list[Image]:
    """A textured frame and the same out of focus, with noise."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(height * 1.5)
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    scene = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = random.integers(0, 6, (height, width, 3), dtype=np.uint8)
    return [cv2.add(cv2.GaussianBlur(scene, (0, 0), sigma), noise) for sigma in (1, 3)]


def tiles_of(frame: Image) -> list[tuple[Stripe, Tile]]:
    """The frame in stripes, as a warp leaves it."""
    cut = stripes(frame.shape[0], halo_px=ENERGY_HALO_PX)
    return [(stripe, kernels.split(frame[stripe.halo_top : stripe.halo_bottom])) for stripe in cut]


def in_stripes(
    fusion: Accumulator, frame: Image, tiles: list[tuple[Stripe, Tile]], index: int, executor: ThreadPoolExecutor
) -> None:
    """One frame into the accumulator. `lob` has no use for the energies, which only the depth would need."""
    cpu, unused = CpuAccelerator(), Scores(np.empty(0), np.empty(0))

    def fold(part: tuple[Stripe, Tile]) -> None:
        stripe, tile = part
        luma = kernels.luma(tile)
        fusion.add(stripe, tile, luma, unused if isinstance(fusion, LobAccumulator) else Scores.of(luma, cpu), index)

    fusion.begin(frame, np.eye(3), kernels.UNCHANGED, index)
    for _ in executor.map(fold, tiles):
        pass
    fusion.end(index)


def notebook(best: npt.NDArray[np.float64], result: Image, frame: Image) -> None:
    """One frame the notebook's way."""
    blurred = cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), (5, 5), 0)
    measure = np.absolute(cv2.Laplacian(blurred, cv2.CV_64F, ksize=5))
    won = measure >= best
    best[won] = measure[won]
    result[won] = frame[won]


def took_ms(work: Callable[[], None]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=24)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    stack = frames(options.megapixels)
    height, width = stack[0].shape[:2]
    cores = len(os.sched_getaffinity(0))
    tiles = [tiles_of(frame) for frame in stack]
    print(f"{width} x {height} px, OpenCV {cv2.__version__}, numpy {np.__version__}, {platform.processor() or '?'}")
    cv2.setNumThreads(1)
    for threads in sorted({1, cores}):
        kinds = {
            name: accumulator(height, width, Method(fusion=name), np.dtype(np.uint8), accelerator=CpuAccelerator())
            for name in ("lob", "soft", "bands", "pyramid")
        }
        best, result = np.full((height, width), -1.0), np.zeros_like(stack[0])
        times: dict[str, list[float]] = {"lob": [], "soft": [], "bands": [], "pyramid": [], "notebook": [], "copy": []}
        with ThreadPoolExecutor(threads) as executor:
            for k in range(options.repeats + 1):
                frame = stack[k % 2]
                for name, kind in kinds.items():
                    times[name].append(took_ms(lambda: in_stripes(kind, frame, tiles[k % 2], k, executor)))  # noqa: B023 - called at once
                times["copy"].append(took_ms(lambda: np.copyto(result, frame)))  # noqa: B023 - called at once
                if threads == 1:
                    times["notebook"].append(took_ms(lambda: notebook(best, result, frame)))  # noqa: B023 - called at once
        medians = {name: statistics.median(values[1:]) for name, values in times.items() if values}
        shown = ", ".join(f"{name} {median:.0f} ms" for name, median in medians.items())
        print(f"{threads} thread{'s' if threads > 1 else ''}: {shown}")
        if "notebook" in medians:
            print(f"notebook / lob = {medians['notebook'] / medians['lob']:.1f}")


if __name__ == "__main__":
    main()
