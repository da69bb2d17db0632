"""The first thing that the owner of a board runs: does this overlay compute what the reference says, and how fast?

It tries every assumption of the driver that only hardware can prove, one by one and from the bottom up, so that the
first one that fails tells what is wrong. What fails is tried again before it is judged (trial.py). After a step that
stalls the pipeline, the next one composes it anew.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np

from focusrail_drivers.accelerators.kv260 import diagnosis, known_tiles, reference, tiles
from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.accelerators.kv260.board import Board, open_board
from focusrail_drivers.accelerators.kv260.limits import Limits
from focusrail_drivers.accelerators.kv260.report import Finding, Report, Trying
from focusrail_drivers.accelerators.kv260.timing import TileTime, tile_time
from focusrail_drivers.accelerators.kv260.transport import Transport, settle_transport
from focusrail_drivers.accelerators.kv260.trial import TRIES, Plane, Trials, Wrong
from focusrail_drivers.base import DeviceTimeout, DriverError
from focusrail_drivers.clock import Clock, SystemClock

Listener = Callable[[Trying | Finding], None]
_SMALL = tiles.TileSize(64, 96)
_HEIGHTS_PX = (1080, 1081, 2160, 4320, 8184)
_WHOLE_HEIGHTS_PX = (1080, 2160, 4320)  # six buffers of the last are 150 MB
_ODD_WIDTH_PX = 60  # a multiple of 4 and not of 8
_SETTLED_FRAMES = 10  # after so many, every frame store holds the new one
_EXPECTED_STALL_S = 1.0
_FAILURES_TOLD = 3
_REPLUG = "Switch the board off and on; if that does not help, install the overlay again."
_AS_STALLED = (
    "No other program may use the overlay meanwhile: shut down Jupyter's notebooks, and stop the service "
    f"(systemctl stop focusrail-fpga). If there are none: {_REPLUG}"
)
_AS_BROKEN = (
    "The scores would be wrong; do not use this accelerator. Install the overlay again, and if that does not help, "
    "please report what is said here."
)


def self_test(
    options: Kv260Accelerator.Options,
    clock: Clock | None = None,
    *,
    repeats: int = 8,
    listen: Listener = lambda _: None,
) -> Report:
    """Load the overlay and try it. `repeats` tiles are timed. Never raises DriverError: that is a finding.

    `listen` is told what is tried, before, and what was found, after it. A stored self-test plays no part in this one.
    """
    clock = clock or SystemClock()
    limits, findings = Limits(), []

    def add(finding: Finding) -> None:
        findings.append(finding)
        listen(finding)

    listen(Trying(f"loading {options.overlay}"))
    try:
        board = open_board(options.overlay, options.region, clock, timeout_s=options.frame_timeout_s)
    except DriverError as error:
        to_do = _REPLUG if isinstance(error, DeviceTimeout) else ""  # others say it themselves
        add(Finding("The overlay", False, f"It cannot be used: {error}", to_do))
        return Report(options.overlay, tuple(findings), limits, completed=False)
    add(Finding("The overlay", True, f"It is loaded, and so is the second filter, in the region {options.region}."))
    bench = _Bench(board, options, clock, limits, listen)
    try:
        for finding in bench.findings(repeats):
            add(finding)
    finally:
        try:
            board.close()
        except DriverError as error:
            add(
                Finding(
                    "The board at rest",
                    False,
                    f"The video DMA does not come to rest: {error}",
                    "Switch the board off and on before anything else uses the overlay.",
                )
            )
    return Report(str(board), tuple(findings), limits, board.identity, completed=bench.completed)


class _Bench:
    def __init__(
        self, board: Board, options: Kv260Accelerator.Options, clock: Clock, limits: Limits, listen: Listener
    ) -> None:
        self._options, self._clock, self._limits, self._listen = options, clock, limits, listen
        self._trials = Trials(board, clock, timeout_s=options.frame_timeout_s)
        self._random = np.random.default_rng(260)
        self._again: list[str] = []
        self.completed = True  # whether every step came to its end

    def findings(self, repeats: int) -> Iterator[Finding]:
        """All of them; a step on which the others stand ends it if it fails."""
        for what, step in (("sending frames", self._bytes), ("computing known tiles", self._arithmetic)):
            finding = self._found(what, step)
            yield finding
            if not finding.right and not (self.completed and self._limits.exact_shifts):
                self.completed = False
                yield Finding("The rest", None, "Not tried, for it stands on what is bad above.")
                return
        for what, try_it in (
            ("counting old frames", self._waiting),
            ("one frame at a time", self._one_frame),
            ("tiles of all heights", self._height),
            ("tiles of full width", self._width),
            ("whole tiles", self._whole),
            ("a width that should not work", self._odd_width),
            ("taking the time", lambda: self._speed(repeats)),
        ):
            yield self._found(what, try_it)
        if self._again:
            yield _tried_again(self._again)

    def _found(self, what: str, step: Callable[[], Finding]) -> Finding:
        self._listen(Trying(what))
        before = len(self._trials.again)
        finding = step()
        self._again += [f"{what}: {how}" for how in self._trials.again[before:]]
        return finding

    def _bytes(self) -> Finding:
        """Without tags, which would not be recognised if this were wrong."""
        what = "Frames and their bytes"
        sent = self._random.integers(0, 256, (*_SMALL.shape, 3), np.uint8)
        pipeline = self._trials.pipeline("parked")

        def attempt() -> None:
            pipeline.port.send_plain(sent)
            _compare_bytes(sent, pipeline.port.receive_plain(_SETTLED_FRAMES))

        try:
            self._trials.insist(pipeline, _SMALL, attempt)
        except Wrong as error:
            return Finding(what, False, str(error), _AS_BROKEN)
        except DriverError as error:
            return Finding(what, False, f"Nothing comes back from the pipeline: {error}", _AS_STALLED)
        finally:
            self._trials.rest(pipeline)
        return Finding(what, True, "A frame comes back, with each byte of a pixel in its place.")

    def _arithmetic(self) -> Finding:
        """Known tiles, their corners and edges included."""
        what, limits = "Arithmetic", self._limits
        pipeline = self._trials.pipeline("parked")
        wrong: list[str] = []
        try:
            for shift in reference.SHIFTS:
                try:
                    for name, tile in known_tiles.known_tiles(_SMALL, self._random):
                        self._trials.prove(pipeline, tile, shift, what=name)
                except Wrong as error:
                    limits.wrong_shifts.append(shift)
                    wrong.append(str(error))
                else:
                    limits.exact_shifts.append(shift)
        except DriverError as error:
            self.completed = False
            return Finding(what, False, f"The pipeline stopped: {error}", _AS_STALLED)
        finally:
            self._trials.rest(pipeline)
        if limits.exact_shifts:
            limits.transports.append("parked")
        if wrong:
            exact = ", ".join(map(str, limits.exact_shifts))
            to_do = f"Set `shift` to one of those that are exact: {exact}." if exact else _AS_BROKEN
            return Finding(what, False, f"Scores differ from the reference: {'; '.join(wrong)}.", to_do)
        count = 2 * _SMALL.height_px * _SMALL.width_px * known_tiles.COUNT * len(limits.exact_shifts)
        return Finding(
            what,
            True,
            f"{count} pixels of known tiles, at shifts 0 to 4, are what the reference says to the bit, corners and "
            "edges included.",
        )

    def _waiting(self) -> Finding:
        what = "Old frames before a new one"
        pipeline = self._trials.pipeline("parked")
        shifts = itertools.cycle(self._limits.exact_shifts[:2])

        def attempt() -> list[int]:
            waited = []
            for _ in range(10):
                pipeline.planes(self._noise(_SMALL), next(shifts))
                waited.append(pipeline.passed_over)
            return waited

        try:
            waited = self._trials.insist(pipeline, _SMALL, attempt)
        except DriverError as error:
            self.completed = False
            return Finding(what, False, f"Frames stopped coming: {error}", _AS_STALLED)
        finally:
            self._trials.rest(pipeline)
        self._limits.frames_until_new = max(waited) + 1
        text = (
            f"{median(waited):g} as a rule, {max(waited)} at most. Each carries a number: none was taken for another."
        )
        return Finding(what, None, text)

    def _one_frame(self) -> Finding:
        what, failed = "One frame at a time", self._failure(_SMALL, "one-frame")
        if failed:
            return Finding(what, None, f"Does not work here: {failed}. The usual transport, parked, does not need it.")
        self._limits.transports.append("one-frame")
        return Finding(what, None, "Works. `transport: auto` uses it, which spares time and memory traffic.")

    def _height(self) -> Finding:
        failed = None
        for height_px in _HEIGHTS_PX:
            failed = self._failure(tiles.TileSize(height_px, 64))
            if failed:
                break
            self._limits.max_height_px = height_px
        highest = self._limits.max_height_px
        text = f"{highest} rows are exact" + (f"; more are not: {failed}" if failed else ", the most that was tried.")
        right = highest >= tiles.USUAL_MAX_HEIGHT_PX
        return Finding("Height of a tile", right, text, "" if right else _to_do(failed))

    def _width(self) -> Finding:
        failed = self._failure(tiles.TileSize(32, tiles.MAX_WIDTH_PX))
        if failed:
            text = f"{tiles.MAX_WIDTH_PX} columns are not exact: {failed}"
            return Finding("Width of a tile", False, text, _to_do(failed))
        self._limits.max_width_px = tiles.MAX_WIDTH_PX
        return Finding("Width of a tile", True, f"{tiles.MAX_WIDTH_PX} columns are exact.")

    def _whole(self) -> Finding:
        """High and wide: for these there must be memory, too, in one piece for each buffer."""
        what, failed = "Whole tiles", None
        for height_px in _WHOLE_HEIGHTS_PX:
            if height_px > self._limits.max_height_px:
                break
            larger = height_px / tiles.USUAL_MAX_HEIGHT_PX  # than the tile that the deadline is meant for
            timeout_s = larger * self._options.frame_timeout_s
            failed = self._failure(tiles.TileSize(height_px, tiles.MAX_WIDTH_PX), timeout_s=timeout_s)
            if failed:
                break
            self._limits.whole_height_px = height_px
        largest = tiles.TileSize.unchecked(self._limits.whole_height_px, tiles.MAX_WIDTH_PX)
        if self._limits.whole_height_px:
            text = f"{largest} pixels are exact" + (
                f"; more are not: {failed}" if failed else ", the most that was tried."
            )
            return Finding(what, True, text)
        return Finding(
            what,
            False,
            f"A tile of full size is not exact: {failed or 'tiles of its height are not'}",
            "If it is memory that is missing, give the kernel more contiguous memory (cma=512M on its command line), "
            "or set tile_height_px lower.",
        )

    def _odd_width(self) -> Finding:
        """Tried once: that it fails is expected."""
        size = tiles.TileSize.unchecked(32, _ODD_WIDTH_PX)
        timeout_s = min(self._options.frame_timeout_s, _EXPECTED_STALL_S)
        failed = self._failure(size, timeout_s=timeout_s, tries=1)
        self._limits.any_width = not failed
        text = f"Needed, as expected: with {_ODD_WIDTH_PX} columns, {failed}" if failed else "Not needed on this board."
        return Finding(f"Widths in steps of {tiles.WIDTH_STEP_PX}", None, text)

    def _speed(self, repeats: int) -> Finding:
        options = self._options
        size = tiles.TileSize(options.tile_height_px or tiles.USUAL_MAX_HEIGHT_PX, options.tile_width_px)
        what, tile = f"Time for a tile of {size}", self._noise(size)
        transport = settle_transport(options.transport, self._limits)
        pipeline = self._trials.pipeline(transport, confirmed=options.confirmed)

        def attempt() -> TileTime:
            return tile_time(pipeline, tile, self._clock, repeats, confirmed=options.confirmed)

        try:
            took = self._trials.insist(pipeline, size, attempt)
        except DriverError as error:
            self.completed = False
            return Finding(what, False, f"The pipeline stopped: {error}", _AS_STALLED)
        finally:
            self._trials.rest(pipeline)
        limits = self._limits
        limits.timed_px, limits.ms_without = size.shape, took.alone_ms
        limits.ms_per_tile, limits.ms_processor = took.total_ms, took.processor_ms
        flipped = f" {took.differing} frames did not come back as the same frame before." if took.differing else ""
        return Finding(what, None, f"{took}{flipped}")

    def _failure(
        self,
        size: tiles.TileSize,
        transport: Transport = "parked",
        *,
        timeout_s: float | None = None,
        tries: int = TRIES,
    ) -> DriverError | None:
        """How a tile of this size fails, at shifts that are exact; None if it comes back exact."""
        exact = self._limits.exact_shifts
        shifts = [shift for shift in (0, reference.USUAL_SHIFT) if shift in exact] or exact[:1]
        pipeline = self._trials.pipeline(transport, timeout_s=timeout_s)
        try:
            self._trials.prove(pipeline, self._noise(size), *shifts, tries=tries)
        except DriverError as error:
            return error
        finally:
            self._trials.rest(pipeline)
        return None

    def _noise(self, size: tiles.TileSize) -> Plane:
        return self._random.integers(0, 256, size.shape, np.uint8)


def _compare_bytes(sent: Plane, received: Plane) -> None:
    """Raise Wrong if a frame (height, width, 3) did not come back with each byte of a pixel in its place."""
    found = diagnosis.places(sent, received, reference.USUAL_SHIFT)
    if found == (0, 1, 2):
        return
    if sorted(place for place in found if place is not None) == [0, 1, 2]:
        order = ", ".join(f"{at} holds what was sent as {place}" for at, place in enumerate(found))
        raise Wrong(f"The bytes of a pixel change places: {order}.")
    wrong = (
        f"byte {at}: {diagnosis.explain(sent[..., at], received[..., at], reference.USUAL_SHIFT)}"
        for at, place in enumerate(found)
        if place != at
    )
    raise Wrong(f"Frames come back wrong; {'; '.join(wrong)}.")


def _to_do(failed: DriverError | None) -> str:
    return _AS_BROKEN if isinstance(failed, Wrong) else _AS_STALLED


def _tried_again(failures: list[str]) -> Finding:
    times = "Once" if len(failures) == 1 else f"{len(failures)} times"
    return Finding(
        "What was tried again",
        None,
        f"{times} something worked only when it was tried again. While focusrail measures, it does the same, which "
        f"takes time. At first: {'; '.join(failures[:_FAILURES_TOLD])}",
        "Repeat the self-test. If this is there again, please report what is said here.",
    )
