"""What does a frame cost while it is being shot, and when is everything there after the last one?

    python -m benchmarks.live FOLDER [--frames 10 20] [--every-s 1.0] [--bits 8] [--repeats 3]

The photographs in FOLDER are shot by the replay camera along the simulated rail, each series by its own `focusrail
shoot` on the real clock. A frame's cost is the processor time that the longer series takes more than the shorter one,
divided by the frames it has more: storing, registering, fusing and live composites, without what begins and ends a
shoot. Times after the last frame count from when the camera has handed it over. With 16 bits, the photographs are made
TIFFs first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np

from benchmarks.measured import measured
from focusrail.store.folder import list_folder

_RIG = """\
camera: {{driver: replay, options: {{folder: {folder}, from_mm: 10, to_mm: 14, transfer_s: {transfer_s}}}}}
rail: {{settle_s: 0, options: {{max_speed_mm_s: 50, acceleration_mm_s2: 5000}}}}
log: {{level: error}}
"""
_RECIPE = "{{name: live, from_mm: 10, to_mm: {to_mm}, frames: {frames}}}\n"
_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Shot:
    """One shoot's costs."""

    cpu_s: float
    peak_mb: float  # of all its processes together
    picture_s: float  # after the last frame: result.jpg and result.tif are written
    published_s: float  # and the whole folder is durable, and in its place


def shot(photographs: Path, frames: int, *, of: int, every_s: float) -> Shot:
    """Shoot the first `frames` of the `of` photographs."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "rig.yaml").write_text(_RIG.format(folder=photographs.resolve(), transfer_s=every_s))
        (here / "recipe.yaml").write_text(_RECIPE.format(frames=frames, to_mm=10 + 4 * (frames - 1) / (of - 1)))
        command = [sys.executable, "-m", "focusrail", "--config", "rig.yaml", "--data", "data", "shoot", "recipe.yaml"]
        cost = measured(command, log=here / "log", cwd=here, limit_s=_LIMIT_S)
        if cost.exit_code:
            sys.exit((here / "log").read_text(errors="replace"))
        (made,) = (here / "data" / "outbound").iterdir()
        last = datetime.fromisoformat(json.loads((made / "shoot.json").read_text())["frames"][-1]["exposed_at"])
        handed_over_s = last.timestamp() + every_s
        written_s = max((made / name).stat().st_mtime for name in ("result.jpg", "result.tif"))
        published_s = made.stat().st_ctime  # a folder is changed last when it gets its name
        return Shot(cost.cpu_s, cost.peak_bytes / 1e6, written_s - handed_over_s, published_s - handed_over_s)


def as_16_bits(photographs: Path, folder: Path) -> None:
    """The photographs as TIFFs of 16 bits."""
    for number, path in enumerate(list_folder(photographs).photographs):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert image is not None
        cv2.imwrite(str(folder / f"{number:04d}.tif"), image.astype(np.uint16) * 257, [cv2.IMWRITE_TIFF_COMPRESSION, 1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, nargs=2, default=[10, 20])
    parser.add_argument("--every-s", type=float, default=1.0, help="how long the camera takes to hand a frame over")
    parser.add_argument("--bits", type=int, choices=(8, 16), default=8)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    fewer, more = options.frames
    with tempfile.TemporaryDirectory() as made:
        photographs = options.folder
        if options.bits == 16:
            photographs = Path(made)
            as_16_bits(options.folder, photographs)
        of = len(list_folder(photographs).photographs)
        pairs = [
            [shot(photographs, frames, of=of, every_s=options.every_s) for frames in (fewer, more)]
            for _ in range(options.repeats)
        ]
    frame_s = statistics.median((b.cpu_s - a.cpu_s) / (more - fewer) for a, b in pairs)
    print(f"a frame          {frame_s:5.2f} CPU s")
    for name, unit in (("picture_s", "s"), ("published_s", "s"), ("peak_mb", "MB"), ("cpu_s", "CPU s")):
        values = [getattr(b, name) for _, b in pairs]
        print(f"{name:15s} {statistics.median(values):6.2f} {unit}  ({', '.join(f'{v:.2f}' for v in values)})")


if __name__ == "__main__":
    main()
