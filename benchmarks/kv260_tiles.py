"""Random tiles through the real pynq and the emulated board: are all scores the reference's, to the bit?

    python -m benchmarks.kv260_tiles [--tiles 10008] [--transport parked one-frame]

In an interpreter that has the pynq in question. Tiles are of all sizes up to 60 x 92 px, textures of all contrasts from
below a grey level to pixels of either 0 or 255, at shifts 0 to 4 and for the bracket, by turns through each transport.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.accelerators.kv260.transport import Transport
from focusrail_drivers.clock import VirtualClock

SHIFTS: tuple[reference.Shift, ...] = (*reference.SHIFTS, "bracket")
_LARGEST_PX = (60, 92)  # with its halo, one tile of 64 x 96
_DEVIATIONS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)


def random_tile(random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """(height, width) of luma."""
    height, width = (int(random.integers(1, most + 1)) for most in _LARGEST_PX)
    noise = random.normal(random.uniform(0, 255), random.choice(_DEVIATIONS), (height, width))
    return np.clip(np.rint(noise), 0, 255).astype(np.uint8)


def worst(count: int, shift: reference.Shift, transport: Transport, *, overlay: Path, seed: int) -> tuple[int, int]:
    """The largest |score - reference| of so many tiles, and how often the pipeline had to be mended."""
    options = Kv260Accelerator.Options(
        overlay=str(overlay), shift=shift, transport=transport, tile_height_px=64, tile_width_px=96, limits=None
    )
    kv260 = Kv260Accelerator(options, VirtualClock())
    kv260.open()
    random, off = np.random.default_rng(seed), 0
    for _ in range(count):
        luma = random_tile(random)
        apart = np.abs(kv260.measure(luma).astype(np.int32) - reference.score(luma, shift))
        off = max(off, int(apart.max()))
    kv260.close()
    return off, kv260.recoveries


def main() -> None:
    """Measure and print; exit with 1 if a score differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=10_008)
    parser.add_argument("--transport", nargs="+", default=["parked", "one-frame"])
    options = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pynq's own, on a machine that is no board
        from focusrail_drivers.accelerators.kv260_emulator import device  # noqa: PLC0415 - imports pynq

        device.install()
    each = -(-options.tiles // (len(SHIFTS) * len(options.transport)))
    total = largest = 0
    print(f"pynq {version('pynq')}, Python {sys.version.split()[0]}, numpy {np.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        overlay = device.overlay_files(Path(folder))
        for transport in options.transport:
            for seed, shift in enumerate(SHIFTS):
                off, mended = worst(each, shift, transport, overlay=overlay, seed=seed)
                total, largest = total + each, max(largest, off)
                print(
                    f"{transport}, shift {shift}: {each} tiles, off by {off} at most, mended {mended} times", flush=True
                )
    print(f"{total} tiles, max |score - reference| = {largest}")
    raise SystemExit(largest > 0)


if __name__ == "__main__":
    main()
