"""Every fault of the emulated KV260 at every tile of a frame: are the scores what they would have been, and in time?

    python -m benchmarks.kv260_faults [--megapixels 24] [--processes 2] [--shifts 1 bracket]   # or: make kv260-faults

A frame is measured by the driver, through the real pynq, on the emulated board, once for each fault, tile and
transport, and compared with `kv260-exact` to the bit. A board that is broken for good must be given up, which the
failover of a shoot answers with `kv260-exact`. Time is a clock's that waiting moves on, and which only waiting moves
on: so what is compared with the deadlines is the waiting, not this machine's speed. Each failure may cost one frame's
deadline and those of two channels that do not stop, or of five downloads, and no more.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260 import exact, reference, tiles
from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.accelerators.kv260.transport import Transport
from focusrail_drivers.accelerators.kv260_emulator.faults import (
    BitFlip,
    DecouplerLeftOn,
    DownloadTimeout,
    Fault,
    LateFrame,
    Stall,
    VdmaErrors,
    WrongSize,
)
from focusrail_drivers.base import AcceleratorLost
from focusrail_drivers.clock import VirtualClock

Luma = npt.NDArray[np.uint8]
TIMEOUT_S = 0.1
TRANSPORTS: tuple[Transport, ...] = ("parked", "one-frame")
_HANGS_S = 600.0  # of real time, after which a run is reported as hanging, with its stack
_FAILURE = 3  # deadlines that a failure may cost: a frame, and two channels that do not stop
_LITTLE_S = 0.2  # for all that goes well in a run, and for a decoupler that does not let go (0.1 s)


@dataclass(frozen=True, slots=True)
class Case:
    """Faults that strike together; the first one is moved from tile to tile."""

    faults: tuple[Fault, ...]
    for_good: bool = False  # the accelerator must be given up

    def __str__(self) -> str:
        return " and ".join(map(_words, self.faults))

    def at(self, tile: int) -> Iterator[Fault]:
        """The faults, the first one due at this tile."""
        yield replace(self.faults[0], at_tile=tile)
        yield from self.faults[1:]


_THREE_STALLS = Stall(times=3)  # so that the region is loaded anew
_FOUR_STALLS = Stall(times=4)  # one more than is tried again
MENU = (
    *(
        Case((fault,))
        for fault in (
            Stall(), _THREE_STALLS, WrongSize(rows=1), WrongSize(rows=-1), WrongSize(cols=8), WrongSize(cols=-8),
            LateFrame(), LateFrame(frames=500), DecouplerLeftOn(), VdmaErrors(), VdmaErrors(channel="mm2s"),
            VdmaErrors(bits=0x20), VdmaErrors(bits=0x40, channel="mm2s"), VdmaErrors(bits=0x10),
            BitFlip(), BitFlip(byte=13), BitFlip(byte=2),
        )
    ),
    Case((_THREE_STALLS, DownloadTimeout(times=2))),
    Case((_THREE_STALLS, DownloadTimeout(partial=False))),
    Case((_THREE_STALLS, DecouplerLeftOn())),
    Case((_FOUR_STALLS,), for_good=True),
    Case((Stall(times=None),), for_good=True),
    Case((LateFrame(frames=500, times=None),), for_good=True),
    Case((VdmaErrors(bits=0x20, times=None),), for_good=True),
    Case((_THREE_STALLS, DownloadTimeout(times=None), DownloadTimeout(partial=False, times=None)), for_good=True),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a case at one tile."""

    tile: int
    right: bool  # the scores are kv260-exact's, or the accelerator was rightly given up
    fired: bool
    recoveries: int
    waited_s: float
    allowed_s: float

    @property
    def passed(self) -> bool:
        return self.right and self.fired and self.waited_s <= self.allowed_s


class Bench:
    """An accelerator on an emulated board, opened anew whenever it was given up. Needs pynq."""

    def __init__(self, luma: Luma, shift: reference.Shift, transport: Transport, limit: tiles.TileSize) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pynq's own, on a machine that is no board
            from focusrail_drivers.accelerators.kv260_emulator import device  # noqa: PLC0415 - imports pynq

            self._folder = tempfile.TemporaryDirectory()
            overlay = device.overlay_files(Path(self._folder.name))
            self._device: Any = device.install()
        self._luma, self._expected = luma, exact.score(luma, shift)
        self._clock = VirtualClock()
        self._options = Kv260Accelerator.Options(
            overlay=str(overlay), shift=shift, transport=transport, frame_timeout_s=TIMEOUT_S,
            tile_height_px=limit.height_px, tile_width_px=limit.width_px, limits=None,
        )  # fmt: skip
        height, width = luma.shape
        self.tiles = tiles.count(height, width, tiles.size_for(height, width, limit))
        self._kv260: Kv260Accelerator | None = None

    def run(self, case: Case, tile: int) -> Run:
        """Measure the frame while a case strikes at a tile."""
        kv260 = self._kv260 or Kv260Accelerator(self._options, self._clock)
        if self._kv260 is None:
            kv260.open()
            self._kv260 = kv260
        faults = self._device.board.faults
        faults.clear()
        fired, recoveries, began_s = len(faults.fired), kv260.recoveries, self._clock.monotonic_s()
        for fault in case.at(tile):
            faults.inject(fault)
        lost = False
        try:
            right = np.array_equal(kv260.measure(self._luma), self._expected) and not case.for_good
        except AcceleratorLost:
            lost, right = True, case.for_good
        failed = kv260.recoveries - recoveries
        waited_s = self._clock.monotonic_s() - began_s
        struck = len({type(each) for each, *_ in faults.fired[fired:]}) == len({type(each) for each in case.faults})
        if lost:
            faults.clear()
            kv260.close()
            self._kv260 = None
        return Run(tile, right, struck, failed, waited_s, _LITTLE_S + failed * _FAILURE * TIMEOUT_S)

    def close(self) -> None:
        """Let go of everything."""
        if self._kv260 is not None:
            self._kv260.close()
        self._folder.cleanup()


def picture(height_px: int, width_px: int) -> Luma:
    """Texture with noise, so that no two tiles are alike and scores reach from nothing to saturation."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (height_px // 8 + 1, width_px // 8 + 1), np.uint8)
    smooth = cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.add(smooth, random.integers(0, 6, smooth.shape, np.uint8)), np.uint8)


def _runs(case: Case, shift: reference.Shift, transport: Transport, shape: tuple[int, int]) -> list[Run]:
    cv2.setNumThreads(1)
    bench = Bench(picture(*shape), shift, transport, tiles.TileSize(tiles.USUAL_MAX_HEIGHT_PX, tiles.MAX_WIDTH_PX))
    found = []
    for tile in range(bench.tiles):
        faulthandler.dump_traceback_later(_HANGS_S, exit=True)
        found.append(bench.run(case, tile))
    faulthandler.cancel_dump_traceback_later()
    bench.close()
    return found


def _words(fault: Fault) -> str:
    told = (
        f"{name} {value}"
        for name, value in vars(fault).items()
        if name != "at_tile" and value != vars(type(fault)())[name]
    )
    return " ".join([type(fault).__name__, *told])


def _row(case: Case, found: Sequence[Run]) -> str:
    passed = sum(run.passed for run in found)
    what = "given up" if case.for_good else "bit for bit"
    failures = sorted({run.recoveries for run in found})
    span = f"{failures[0]}" if len(failures) == 1 else f"{failures[0]} to {failures[-1]}"
    most = max(run.waited_s for run in found) / TIMEOUT_S
    return f"| {case} | {what} | {passed} of {len(found)} | {span} | {most:.1f} |"


def main() -> None:
    """Run all and print a table; exit with 1 if anything is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=24)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--shifts", nargs="+", default=["1", "bracket"])
    options = parser.parse_args()
    height = round((options.megapixels * 1e6 / 1.5) ** 0.5)
    shape = (height, round(1.5 * height))
    shifts = [shift if shift == "bracket" else int(shift) for shift in options.shifts]
    print("| fault | expected | as expected | failures | longest wait, deadlines |\n" + "| --- " * 5 + "|")
    runs = passed = 0
    # A fresh process for each: pynq has one active device a process.
    with multiprocessing.get_context("spawn").Pool(options.processes, maxtasksperchild=1) as pool:
        pending = [
            (case, [pool.apply_async(_runs, (case, shift, way, shape)) for shift in shifts for way in TRANSPORTS])
            for case in MENU
        ]
        for case, results in pending:
            found = [run for result in results for run in result.get()]
            runs, passed = runs + len(found), passed + sum(run.passed for run in found)
            print(_row(case, found), flush=True)
    print(f"\n{passed} of {runs} runs as expected, {shape[1]} x {shape[0]} px")
    raise SystemExit(passed < runs)


if __name__ == "__main__":
    main()
