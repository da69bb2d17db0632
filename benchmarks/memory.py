"""How much memory does a shoot take, with few frames and with many?

    python benchmarks/memory.py [--frames 20 300] [--width 1224] [--height 816]

Each shoot runs as its own `focusrail shoot` on the simulated rig. Printed are the peaks of resident memory: of the
process that owns the rig (here it also renders the scene), of the stacking process, and of both together, sampled every
20 ms.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

_RIG = """\
camera:
  options: {{width_px: {width}, height_px: {height}, transfer_s: 0, exposure_s: 0.001}}
rail:
  settle_s: 0
  options: {{max_speed_mm_s: 500, acceleration_mm_s2: 50000, axial_vibration_um: 0, lateral_vibration_um: 0}}
"""
_RECIPE = "{{name: memory, from_mm: 10.2, to_mm: 14.6, frames: {frames}}}\n"


def resident_bytes(process: psutil.Process) -> int:
    """Resident memory of a process; 0 when it has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def peaks_mb(frames: int, *, width: int, height: int) -> tuple[float, float, float]:
    """Peaks of the engine's process, of the stacking process, and of both together (MB)."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "rig.yaml").write_text(_RIG.format(width=width, height=height))
        (here / "recipe.yaml").write_text(_RECIPE.format(frames=frames))
        command = [sys.executable, "-m", "focusrail", "--config", "rig.yaml", "--data", "data", "shoot", "recipe.yaml"]
        with subprocess.Popen(command, cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as shoot:
            engine = psutil.Process(shoot.pid)
            peak_engine = peak_worker = peak_both = 0
            workers: list[psutil.Process] = []
            while shoot.poll() is None:
                if not workers:
                    workers = engine.children()
                own, theirs = resident_bytes(engine), sum(map(resident_bytes, workers))
                peak_engine, peak_worker = max(peak_engine, own), max(peak_worker, theirs)
                peak_both = max(peak_both, own + theirs)
                time.sleep(0.02)
        if shoot.returncode:
            sys.exit(f"the shoot of {frames} frames ended with exit code {shoot.returncode}")
    return peak_engine / 1e6, peak_worker / 1e6, peak_both / 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[20, 300])
    parser.add_argument("--width", type=int, default=1224)
    parser.add_argument("--height", type=int, default=816)
    options = parser.parse_args()
    print("| frames | engine and camera MB | stacking MB | together MB |\n| --- | --- | --- | --- |")
    together = []
    for frames in options.frames:
        engine, worker, both = peaks_mb(frames, width=options.width, height=options.height)
        together.append(both)
        print(f"| {frames} | {engine:.0f} | {worker:.0f} | {both:.0f} |", flush=True)
    print(f"\ndifference: {(together[-1] / together[0] - 1) * 100:+.1f} %")


if __name__ == "__main__":
    main()
