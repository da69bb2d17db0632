"""What does the KV260's driver itself cost the processor for a tile, beside computing the focus measure there?

    python -m benchmarks.kv260_cost [--height 1080 --width 1920] [--repeats 31]

Needs pynq; run it in an interpreter that has it. The driver measures pictures of one tile through the emulated board.
Of the time for one, what is spent inside the emulator (its registers, filters, memory and caches) is taken off: what
is left is the driver's own, pynq's way to a register included. Waiting costs nothing: the clock only jumps. The parts
are timed apart from it. Through the helper service: its process measures by `kv260-exact`, and what both take beyond
`kv260-exact` in one is the service's own; that of one pixel tells the messages from the copies in shared memory.
All by turns on one thread, the service's beside it; medians of processor time, and shares of OpenCV's LoB.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators import lob
from focusrail_drivers.accelerators.kv260 import exact, reference, tag, tiles
from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.accelerators.kv260.exact import Kv260Exact
from focusrail_drivers.accelerators.kv260.remote import RemoteKv260
from focusrail_drivers.clock import VirtualClock
from focusrail_drivers.fpga_service.service import serve_device

Works = dict[str, Callable[[], float]]
DRIVERS: tuple[dict[str, Any], ...] = (
    {"transport": "parked", "shift": 1},
    {"transport": "parked", "shift": "bracket"},
    {"transport": "parked", "shift": 1, "confirmed": False},
    {"transport": "one-frame", "shift": 1},
    {"transport": "one-frame", "shift": "bracket"},
)
_LARGE_BYTES = 30 << 20
_OPENCV, _COMPILED = "OpenCV's LoB of the picture", "the compiled LoB of the picture"


class Emulated:
    """An emulated board that knows how long it was busy."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pynq's own, on a machine that is no board
            from focusrail_drivers.accelerators.kv260_emulator import device  # noqa: PLC0415 - imports pynq

            self._folder = tempfile.TemporaryDirectory()
            self.overlay = device.overlay_files(Path(self._folder.name))
            self._device: Any = device.install()
        self.busy_s = 0.0
        # Where pynq's ways into the emulated board end: the board's registers, and the device's caches.
        for owner, name in (
            (self._device.board, "read"), (self._device.board, "write"),
            (self._device, "flush"), (self._device, "invalidate"),
        ):  # fmt: skip
            setattr(owner, name, self._timed(getattr(owner, name)))

    def _timed(self, inside: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return inside(*given, **named)
            finally:
                self.busy_s += time.thread_time() - began

        return call

    def driver(self, size: tiles.TileSize, **options: Any) -> Kv260Accelerator:
        """An open accelerator for tiles of this size."""
        made = Kv260Accelerator.Options(
            overlay=str(self.overlay), tile_height_px=size.height_px, tile_width_px=size.width_px, limits=None,
            **options,
        )  # fmt: skip
        kv260 = Kv260Accelerator(made, VirtualClock())
        kv260.open()
        return kv260

    def own_ms(self, work: Callable[[], object]) -> float:
        """How long it takes, without the time inside the emulator."""
        busy = self.busy_s
        return took_ms(work) - 1e3 * (self.busy_s - busy)


def took_ms(work: Callable[[], object], clock: Callable[[], float] = time.thread_time) -> float:
    """Time of one call, this thread's by default."""
    began = clock()
    work()
    return 1e3 * (clock() - began)


def parts(luma: npt.NDArray[np.uint8], size: tiles.TileSize) -> dict[str, Callable[[], object]]:
    """What the driver does with a tile, apart; what is done once a tile, unless it says otherwise."""
    height, width = luma.shape
    (tile,) = tiles.tiles(height, width, size)
    padded = np.ascontiguousarray(tile.cut(luma, size))
    frame = np.zeros((*size.shape, 3), np.uint8)
    tiles.pack(padded, frame)
    tag.write(1, frame)
    received = reference.graph(frame, 1)
    again, score, out = received.copy(), np.empty(size.shape, np.uint16), np.empty(luma.shape, np.uint16)
    band = padded[: size.height_px // 16 + 2 * reference.HALO_PX]
    return {
        "cutting and mirroring": lambda: tile.cut(luma, size),
        "packing": lambda: tiles.pack(padded, frame),
        "the tag's check, for each frame that comes": lambda: tag.is_answer(received, 1, 1),
        "comparing two frames": lambda: np.array_equal(received.reshape(-1).view("u8"), again.reshape(-1).view("u8")),
        "unpacking and scoring": lambda: reference.distance(*tiles.unpack(received)),
        "checking a sixteenth": lambda: exact.score(band, 1),
        "laying the scores": lambda: tile.put(score, out),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=tiles.USUAL_MAX_HEIGHT_PX, help="of the tile, px")
    parser.add_argument("--width", type=int, default=tiles.MAX_WIDTH_PX)
    parser.add_argument("--repeats", type=int, default=31)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    size, halo = tiles.TileSize(options.height, options.width), 2 * reference.HALO_PX
    random = np.random.default_rng(0)
    luma = random.integers(0, 256, (size.height_px - halo, size.width_px - halo), np.uint8)
    np.empty(_LARGE_BYTES, np.uint8).fill(
        1
    )  # from then on malloc keeps memory of this size for the next call, as in a shoot
    emulated = Emulated()
    alone: Works = {
        _OPENCV: lambda: took_ms(lambda: lob.score_plainly(luma)),
        _COMPILED: lambda: took_ms(lambda: lob.score(luma)),
    }
    print(f"one tile of {size} px, OpenCV {cv2.__version__}, numpy {np.__version__}, one thread\n")
    print("| | ms | of OpenCV's LoB | of the compiled LoB |\n| --- | --- | --- | --- |")
    rows(alone, options.repeats, shown=(_OPENCV, _COMPILED))
    for shift in (1, "bracket"):
        name = f"kv260-exact, {_words(shift)}"
        rows(
            alone | {name: lambda shift=shift: took_ms(lambda: exact.score(luma, shift))},
            options.repeats,
            shown=(name,),
        )
    for how in DRIVERS:
        kv260 = emulated.driver(size, **how)
        name = f"the driver, {', '.join(_words(value) for value in how.values())}"
        rows(
            alone | {name: lambda kv260=kv260: emulated.own_ms(lambda: kv260.measure(luma))},
            options.repeats,
            shown=(name,),
        )
        kv260.close()
    with service() as (remote, both_s):
        through: Works = {
            "kv260-exact, shift 1, in the service": lambda: took_ms(lambda: remote.measure(luma), both_s),
            "one pixel, in the service": lambda: took_ms(lambda: remote.measure(luma[:1, :1]), both_s),
            "kv260-exact, shift 1, in this process": lambda: took_ms(lambda: exact.score(luma, 1)),
        }
        rows(alone | through, options.repeats, shown=tuple(through))
    for name, part in parts(luma, size).items():
        rows(alone | {name: lambda part=part: took_ms(part)}, options.repeats, shown=(name,))


@contextmanager
def service() -> Iterator[tuple[RemoteKv260, Callable[[], float]]]:
    """A client of a helper service that measures by kv260-exact, and the processor time (s) of both so far."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "socket"
        process = multiprocessing.get_context("spawn").Process(target=_serve, args=(socket,))
        process.start()
        remote = RemoteKv260(RemoteKv260.Options(shift=1, socket=socket))
        try:
            while process.is_alive() and not socket.exists():
                time.sleep(0.05)
            remote.open()
            yield remote, lambda: time.thread_time() + _processor_s(process.pid)
            remote.close()
        finally:
            process.terminate()
            process.join()


def _processor_s(pid: int | None) -> float:
    """What all threads of a process have had, by Linux's scheduler, which counts nanoseconds."""
    return sum(int(each.read_text().split()[0]) for each in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def _serve(socket: Path) -> None:
    cv2.setNumThreads(1)
    serve_device(lambda _clock: Kv260Exact(Kv260Exact.Options(shift=1)), socket)


def rows(works: Works, repeats: int, *, shown: tuple[str, ...]) -> None:
    """Time all by turns, and print some with their shares."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            took = work()
            if turn:  # the first one fills caches and composes the pipeline
                times[name].append(took)
    ms = {name: median(each) for name, each in times.items()}
    for name in shown:
        shares = (f"{100 * ms[name] / ms[base]:.0f} %" for base in (_OPENCV, _COMPILED))
        print(f"| {name} | {ms[name]:.2f} | {' | '.join(shares)} |", flush=True)


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "confirmed" if value else "unconfirmed"
    return f"shift {value}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    main()
