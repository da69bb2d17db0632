"""Is the memory that focusrail foresees what it takes?

    python benchmarks/memory_need.py [--megapixels 2 24] [--methods bands lob]

Each method stacks eight photographs of a texture, 8 and 16 bit, of each size. Printed are what was foreseen before the
first frame was fused, and the peak of the stacking process's resident memory, as the kernel counts it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
import tifffile

from focusrail.config.schema import Config
from focusrail.model.method import FUSIONS, Method
from focusrail.service import Service
from focusrail.telemetry.logging import configure_logging
from focusrail.worker.messages import Memory

_FRAMES = 8


def photographs(folder: Path, *, megapixels: float, sixteen_bit: bool) -> None:
    """Eight frames, each sharp in a strip of its own: JPEG, or TIFF as editors write it."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(height * 1.5)
    random = np.random.default_rng(1)
    sharp = cv2.GaussianBlur(random.integers(0, 255, (height, width), np.uint8), (0, 0), 1.2)
    sharp = cv2.normalize(sharp, None, 0, 255, cv2.NORM_MINMAX)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 4)
    rows = np.arange(height) * _FRAMES // height
    for index in range(_FRAMES):
        grey = np.where((rows == index)[:, None], sharp, blurred)
        picture = cv2.merge([grey, np.roll(grey, 3, axis=1), 255 - grey])
        if sixteen_bit:
            tifffile.imwrite(folder / f"{index}.tif", picture.astype(np.uint16) * 257, rowsperstrip=256)
        else:
            cv2.imwrite(str(folder / f"{index}.jpg"), picture)


def foreseen_and_taken_bytes(folder: Path, data: Path, fusion: str) -> tuple[int, int]:
    """What stacking the folder was said to need, and its peak."""
    heard: list[object] = []
    service = Service(Config.model_validate({"store": {"root": str(data)}}), listen=heard.append)
    try:
        _, done = service.stack_folder(folder, method=Method(fusion=fusion))
    finally:
        service.close()
    (foreseen,) = (event.needed_bytes for event in heard if isinstance(event, Memory))
    return foreseen, done.finished.peak_memory_bytes


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[2, 24])
    parser.add_argument("--methods", nargs="+", choices=FUSIONS, default=FUSIONS)
    options = parser.parse_args()
    configure_logging("error", "auto")
    print("| megapixels | bit | method | foreseen GB | taken GB | ratio |\n| --- | --- | --- | --- | --- | --- |")
    for megapixels in options.megapixels:
        for sixteen_bit in (False, True):
            with tempfile.TemporaryDirectory() as here:
                frames = Path(here, "frames")
                frames.mkdir()
                photographs(frames, megapixels=megapixels, sixteen_bit=sixteen_bit)
                for fusion in options.methods:
                    foreseen, taken = foreseen_and_taken_bytes(frames, Path(here, f"data-{fusion}"), fusion)
                    bits = 16 if sixteen_bit else 8
                    row = f"{megapixels:g} | {bits} | `{fusion}` | {foreseen / 1e9:.2f} | {taken / 1e9:.2f}"
                    print(f"| {row} | {foreseen / taken:.2f} |", flush=True)


if __name__ == "__main__":
    main()
