"""The first thing that the owner of a board runs: does this overlay compute what the reference says, and how fast?

It tries every assumption of the driver that only hardware can prove, one by one and from the bottom up, so that the
first one that fails tells what is wrong. After a step that stalls the pipeline, the next one composes it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260 import diagnosis, known_tiles, reference, tiles
from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.accelerators.kv260.board import Board, open_board
from focusrail_drivers.accelerators.kv260.limits import Limits
from focusrail_drivers.accelerators.kv260.pipeline import Pipeline
from focusrail_drivers.accelerators.kv260.report import Finding, Report, Trying
from focusrail_drivers.accelerators.kv260.timing import tile_time
from focusrail_drivers.accelerators.kv260.transport import Transport, settle_transport
from focusrail_drivers.base import DeviceTimeout, DriverError
from focusrail_drivers.clock import Clock, SystemClock

Plane = npt.NDArray[np.uint8]
Listener = Callable[[Trying | Finding], None]
_SMALL = tiles.TileSize(64, 96)
_HEIGHTS_PX = (1080, 1081, 2160, 4320, 8184)
_WHOLE_HEIGHTS_PX = (1080, 2160, 4320)  # six buffers of the last are 150 MB
_ODD_WIDTH_PX = 60  # a multiple of 4 and not of 8
_SETTLED_FRAMES = 10  # after so many, every frame store holds the new one
_EXPECTED_STALL_S = 1.0
_REPLUG = "Switch the board off and on; if that does not help, install the overlay again."
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
        return Report(options.overlay, tuple(findings), limits)
    add(Finding("The overlay", True, f"It is loaded, and so is the second filter, in the region {options.region}."))
    try:
        for finding in _Bench(board, options, clock, limits, listen).findings(repeats):
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
    return Report(str(board), tuple(findings), limits, board.identity)


class _Bench:
    def __init__(
        self, board: Board, options: Kv260Accelerator.Options, clock: Clock, limits: Limits, listen: Listener
    ) -> None:
        self._board, self._options, self._clock, self._limits, self._listen = board, options, clock, limits, listen
        self._random = np.random.default_rng(260)

    def findings(self, repeats: int) -> Iterator[Finding]:
        """All of them; a step on which the others stand ends it if it fails."""
        for what, step in (("sending frames", self._bytes), ("computing known tiles", self._arithmetic)):
            self._listen(Trying(what))
            finding = step()
            yield finding
            if not finding.right:
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
            self._listen(Trying(what))
            yield try_it()

    def _bytes(self) -> Finding:
        """Without tags, which would not be recognised if this were wrong."""
        what = "Frames and their bytes"
        sent = self._random.integers(0, 256, (*_SMALL.shape, 3), np.uint8)
        pipeline = self._pipeline("parked")
        try:
            pipeline.compose(_SMALL)
            pipeline.port.send_plain(sent)
            received = pipeline.port.receive_plain(_SETTLED_FRAMES).copy()
        except DriverError as error:
            return Finding(
                what,
                False,
                f"Nothing comes back from the pipeline: {error}",
                "No other program may use the overlay meanwhile: shut down Jupyter's notebooks, and stop the service "
                f"(systemctl stop focusrail-fpga). If there are none: {_REPLUG}",
            )
        finally:
            self._rest(pipeline)
        found = diagnosis.places(sent, received, reference.USUAL_SHIFT)
        if found == (0, 1, 2):
            return Finding(what, True, "A frame comes back, with each byte of a pixel in its place.")
        if sorted(place for place in found if place is not None) == [0, 1, 2]:
            order = ", ".join(f"{at} holds what was sent as {place}" for at, place in enumerate(found))
            return Finding(what, False, f"The bytes of a pixel change places: {order}.", _AS_BROKEN)
        wrong = (
            f"byte {at}: {diagnosis.explain(sent[..., at], received[..., at], reference.USUAL_SHIFT)}"
            for at, place in enumerate(found)
            if place != at
        )
        return Finding(what, False, f"Frames come back wrong; {'; '.join(wrong)}.", _AS_BROKEN)

    def _arithmetic(self) -> Finding:
        """Known tiles, their corners and edges included."""
        what, count, wrong = "Arithmetic", 0, []
        pipeline = self._pipeline("parked")
        try:
            pipeline.compose(_SMALL)
            for shift in reference.SHIFTS:
                how = self._wrong(pipeline, shift)
                if how:
                    wrong.append(how)
                else:
                    self._limits.exact_shifts.append(shift)
                    count += 2 * _SMALL.height_px * _SMALL.width_px * known_tiles.COUNT
        except DriverError as error:
            return Finding(what, False, f"The pipeline stopped: {error}", _AS_BROKEN)
        finally:
            self._rest(pipeline)
        if wrong:
            exact = ", ".join(map(str, self._limits.exact_shifts))
            to_do = f"Set `shift` to one of those that are exact: {exact}." if exact else _AS_BROKEN
            return Finding(what, False, f"Scores differ from the reference: {'; '.join(wrong)}.", to_do)
        self._limits.transports.append("parked")
        return Finding(
            what,
            True,
            f"{count} pixels of known tiles, at shifts 0 to 4, are what the reference says to the bit, corners and "
            "edges included.",
        )

    def _wrong(self, pipeline: Pipeline, shift: int) -> str:
        """How the first of the known tiles that is wrong at this shift is wrong; empty if none is."""
        for name, tile in known_tiles.known_tiles(_SMALL, self._random):
            (received,) = pipeline.planes(tile, shift)
            for sign, sent, plane in zip("-+", (~tile, tile), received, strict=True):
                if not np.array_equal(plane, reference.graph(sent, shift)):
                    return f"{name} at shift {shift}, plane {sign}: {diagnosis.explain(sent, plane, shift)}"
        return ""

    def _waiting(self) -> Finding:
        what = "Old frames before a new one"
        pipeline = self._pipeline("parked")
        try:
            pipeline.compose(_SMALL)
            waited = []
            for number in range(10):
                pipeline.planes(self._noise(_SMALL), number % 2)
                waited.append(pipeline.passed_over)
        except DriverError as error:
            return Finding(what, False, f"Frames stopped coming: {error}", _AS_BROKEN)
        finally:
            self._rest(pipeline)
        self._limits.frames_until_new = max(waited) + 1
        text = (
            f"{median(waited):g} as a rule, {max(waited)} at most. Each carries a number: none was taken for another."
        )
        return Finding(what, None, text)

    def _one_frame(self) -> Finding:
        what, how = "One frame at a time", self._tried(_SMALL, "one-frame")
        if how:
            return Finding(what, None, f"Does not work here: {how}. The usual transport, parked, does not need it.")
        self._limits.transports.append("one-frame")
        return Finding(what, None, "Works. `transport: auto` uses it, which spares time and memory traffic.")

    def _height(self) -> Finding:
        how = ""
        for height_px in _HEIGHTS_PX:
            how = self._tried(tiles.TileSize(height_px, 64), "parked")
            if how:
                break
            self._limits.max_height_px = height_px
        highest = self._limits.max_height_px
        text = f"{highest} rows are exact" + (f"; more are not: {how}" if how else ", the most that was tried.")
        right = highest >= tiles.USUAL_MAX_HEIGHT_PX
        return Finding("Height of a tile", right, text, "" if right else _AS_BROKEN)

    def _width(self) -> Finding:
        how = self._tried(tiles.TileSize(32, tiles.MAX_WIDTH_PX), "parked")
        if how:
            return Finding("Width of a tile", False, f"{tiles.MAX_WIDTH_PX} columns are not exact: {how}", _AS_BROKEN)
        self._limits.max_width_px = tiles.MAX_WIDTH_PX
        return Finding("Width of a tile", True, f"{tiles.MAX_WIDTH_PX} columns are exact.")

    def _whole(self) -> Finding:
        """High and wide: for these there must be memory, too, in one piece for each buffer."""
        what, how = "Whole tiles", ""
        for height_px in _WHOLE_HEIGHTS_PX:
            if height_px > self._limits.max_height_px:
                break
            larger = height_px / tiles.USUAL_MAX_HEIGHT_PX  # than the tile that the deadline is meant for
            timeout_s = larger * self._options.frame_timeout_s
            how = self._tried(tiles.TileSize(height_px, tiles.MAX_WIDTH_PX), "parked", timeout_s=timeout_s)
            if how:
                break
            self._limits.whole_height_px = height_px
        largest = tiles.TileSize.unchecked(self._limits.whole_height_px, tiles.MAX_WIDTH_PX)
        if self._limits.whole_height_px:
            text = f"{largest} pixels are exact" + (f"; more are not: {how}" if how else ", the most that was tried.")
            return Finding(what, True, text)
        return Finding(
            what,
            False,
            f"A tile of full size is not exact: {how}",
            "If it is memory that is missing, give the kernel more contiguous memory (cma=512M on its command line), "
            "or set tile_height_px lower.",
        )

    def _odd_width(self) -> Finding:
        size = tiles.TileSize.unchecked(32, _ODD_WIDTH_PX)
        how = self._tried(size, "parked", timeout_s=min(self._options.frame_timeout_s, _EXPECTED_STALL_S))
        self._limits.any_width = not how
        text = f"Needed, as expected: with {_ODD_WIDTH_PX} columns, {how}" if how else "Not needed on this board."
        return Finding(f"Widths in steps of {tiles.WIDTH_STEP_PX}", None, text)

    def _speed(self, repeats: int) -> Finding:
        options = self._options
        size = tiles.TileSize(options.tile_height_px or tiles.USUAL_MAX_HEIGHT_PX, options.tile_width_px)
        what = f"Time for a tile of {size}"
        pipeline = self._pipeline(settle_transport(options.transport, self._limits), confirmed=options.confirmed)
        try:
            pipeline.compose(size)
            took = tile_time(pipeline, self._noise(size), self._clock, repeats, confirmed=options.confirmed)
        except DriverError as error:
            return Finding(what, False, f"The pipeline stopped: {error}", _AS_BROKEN)
        finally:
            self._rest(pipeline)
        limits = self._limits
        limits.timed_px, limits.ms_without = size.shape, took.alone_ms
        limits.ms_per_tile, limits.ms_processor = took.total_ms, took.processor_ms
        flipped = f" {took.differing} frames did not come back as the same frame before." if took.differing else ""
        return Finding(what, None, f"{took}{flipped}")

    def _tried(self, size: tiles.TileSize, transport: Transport, *, timeout_s: float | None = None) -> str:
        """How a tile of this size fails; empty if it comes back exact."""
        pipeline = self._pipeline(transport, timeout_s=timeout_s)
        tile = self._noise(size)
        try:
            pipeline.compose(size)
            for shift in (0, reference.USUAL_SHIFT):
                (received,) = pipeline.planes(tile, shift)
                for sent, plane in zip((~tile, tile), received, strict=True):
                    if not np.array_equal(plane, reference.graph(sent, shift)):
                        return diagnosis.explain(sent, plane, shift)
        except DriverError as error:
            return str(error)
        finally:
            self._rest(pipeline)
        return ""

    def _pipeline(self, transport: Transport, *, confirmed: bool = False, timeout_s: float | None = None) -> Pipeline:
        return Pipeline(
            self._board,
            self._clock,
            transport=transport,
            confirmed=confirmed,
            timeout_s=timeout_s or self._options.frame_timeout_s,
        )

    def _rest(self, pipeline: Pipeline) -> None:
        """Give the buffers back, unless a VDMA that cannot be stopped may still write to them."""
        try:
            self._board.vdma.quiet()
        except DriverError:
            return
        pipeline.release()

    def _noise(self, size: tiles.TileSize) -> Plane:
        return self._random.integers(0, 256, size.shape, np.uint8)
