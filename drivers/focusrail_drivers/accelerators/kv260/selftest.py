"""The first thing that the owner of a board runs: does this overlay compute what the reference says, and how fast?

It tries every assumption of the driver that only hardware can prove, one by one and from the bottom up, so that the
first one that fails tells what is wrong. After a step that stalls the pipeline, the next one composes it anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.cpu import CpuAccelerator
from focusrail_drivers.accelerators.kv260 import diagnosis, reference, tiles
from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.accelerators.kv260.board import Board, open_board
from focusrail_drivers.accelerators.kv260.pipeline import Pipeline
from focusrail_drivers.accelerators.kv260.report import Finding, Limits, Report
from focusrail_drivers.accelerators.kv260.transport import Transport
from focusrail_drivers.base import DriverError
from focusrail_drivers.clock import Clock, SystemClock

Plane = npt.NDArray[np.uint8]
_SMALL = tiles.TileSize(64, 96)
_HEIGHTS_PX = (1080, 1081, 2160, 4320, 8184)
_ODD_WIDTH_PX = 60  # a multiple of 4 and not of 8
_SETTLED_FRAMES = 10  # after so many, every frame store holds the new one


def self_test(options: Kv260Accelerator.Options, clock: Clock | None = None, *, repeats: int = 8) -> Report:
    """Load the overlay and try it. `repeats` tiles are timed. Never raises DriverError: that is a finding."""
    clock = clock or SystemClock()
    limits = Limits()
    try:
        board = open_board(options.overlay, options.region, clock, timeout_s=options.frame_timeout_s)
    except DriverError as error:
        return Report(options.overlay, (Finding("overlay", False, str(error)),), limits)
    findings = [Finding("overlay", True, f"loaded, with the second filter in {options.region}")]
    try:
        findings.extend(_Bench(board, options, clock, limits).findings(repeats))
    finally:
        try:
            board.close()
        except DriverError as error:
            findings.append(Finding("rest", False, f"the VDMA cannot be brought to rest: {error}"))
    return Report(str(board), tuple(findings), limits)


class _Bench:
    def __init__(self, board: Board, options: Kv260Accelerator.Options, clock: Clock, limits: Limits) -> None:
        self._board, self._options, self._clock, self._limits = board, options, clock, limits
        self._random = np.random.default_rng(260)

    def findings(self, repeats: int) -> Iterator[Finding]:
        """All of them; a step on which the others stand ends it if it fails."""
        for step in (self._bytes, self._arithmetic):
            finding = step()
            yield finding
            if not finding.right:
                return
        yield self._waiting()
        yield self._one_frame()
        yield self._height()
        yield self._width()
        yield self._odd_width()
        yield self._speed(repeats)

    def _bytes(self) -> Finding:
        """Without tags, which would not be recognised if this were wrong."""
        what = "frames and their bytes"
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
                f"nothing comes back from the pipeline: {error}. No other program may use the overlay meanwhile; "
                "if none does, switch the board off and on, and if that does not help, install the overlay again",
            )
        finally:
            self._rest(pipeline)
        found = diagnosis.places(sent, received, reference.USUAL_SHIFT)
        if found == (0, 1, 2):
            return Finding(what, True, "a frame comes back, and each byte of a pixel in its place")
        if sorted(place for place in found if place is not None) == [0, 1, 2]:
            order = ", ".join(f"{at} holds what was sent as {place}" for at, place in enumerate(found))
            return Finding(what, False, f"the bytes of a pixel change places: {order}")
        wrong = (
            f"byte {at}: {diagnosis.explain(sent[..., at], received[..., at], reference.USUAL_SHIFT)}"
            for at, place in enumerate(found)
            if place != at
        )
        return Finding(what, False, "; ".join(wrong))

    def _arithmetic(self) -> Finding:
        """Known tiles, their corners and edges included."""
        what, count = "arithmetic", 0
        pipeline = self._pipeline("parked")
        try:
            pipeline.compose(_SMALL)
            for shift in reference.SHIFTS:
                for name, tile in _known_tiles(_SMALL, self._random):
                    (received,) = pipeline.planes(tile, shift)
                    for sign, sent, plane in zip("-+", (~tile, tile), received, strict=True):
                        if not np.array_equal(plane, reference.graph(sent, shift)):
                            how = diagnosis.explain(sent, plane, shift)
                            return Finding(what, False, f"{name} at shift {shift}, plane {sign}: {how}")
                    count += 2 * tile.size
                self._limits.exact_shifts.append(shift)
        except DriverError as error:
            return Finding(what, False, str(error))
        finally:
            self._rest(pipeline)
        self._limits.transports.append("parked")
        return Finding(what, True, f"{count} pixels at shifts 0 to 4 are the reference's to the bit, corners included")

    def _waiting(self) -> Finding:
        what = "old frames before a new one"
        pipeline = self._pipeline("parked")
        try:
            pipeline.compose(_SMALL)
            waited = []
            for number in range(10):
                pipeline.planes(self._noise(_SMALL), number % 2)
                waited.append(pipeline.passed_over)
        except DriverError as error:
            return Finding(what, False, str(error))
        finally:
            self._rest(pipeline)
        self._limits.frames_until_new = max(waited) + 1
        return Finding(what, None, f"{median(waited):g} as a rule, {max(waited)} at most; their tags told them")

    def _one_frame(self) -> Finding:
        what, how = "one frame at a time", self._tried(_SMALL, "one-frame")
        if how:
            return Finding(what, None, f"does not work ({how}); leave the transport at parked")
        self._limits.transports.append("one-frame")
        return Finding(what, None, "works; the transport one-frame spares time and memory traffic")

    def _height(self) -> Finding:
        how = ""
        for height_px in _HEIGHTS_PX:
            how = self._tried(tiles.TileSize(height_px, 64), "parked")
            if how:
                break
            self._limits.max_height_px = height_px
        highest = self._limits.max_height_px
        text = f"{highest} rows are exact" + (f"; more are not: {how}" if how else ", the most that was tried")
        return Finding("height of a tile", highest >= tiles.USUAL_MAX_HEIGHT_PX, text)

    def _width(self) -> Finding:
        how = self._tried(tiles.TileSize(32, tiles.MAX_WIDTH_PX), "parked")
        if how:
            return Finding("width of a tile", False, f"{tiles.MAX_WIDTH_PX} columns: {how}")
        self._limits.max_width_px = tiles.MAX_WIDTH_PX
        return Finding("width of a tile", True, f"{tiles.MAX_WIDTH_PX} columns are exact")

    def _odd_width(self) -> Finding:
        how = self._tried(tiles.TileSize.unchecked(32, _ODD_WIDTH_PX), "parked")
        self._limits.any_width = not how
        text = f"needed, as expected ({_ODD_WIDTH_PX} columns: {how})" if how else "not needed on this board"
        return Finding(f"width in steps of {tiles.WIDTH_STEP_PX}", None, text)

    def _speed(self, repeats: int) -> Finding:
        size = tiles.TileSize(self._options.tile_height_px, self._options.tile_width_px)
        what = f"time for a tile of {size}"
        pipeline = self._pipeline(self._options.transport, confirmed=self._options.confirmed)
        sending, waiting, scoring, alone = [], [], [], []
        try:
            pipeline.compose(size)
            tile = self._noise(size)
            pipeline.planes(tile, reference.USUAL_SHIFT)
            for _ in range(repeats):
                began = self._clock.monotonic_s()
                pipeline.port.send(tile)
                sent = self._clock.monotonic_s()
                frame = pipeline.port.receive(reference.USUAL_SHIFT, confirmed=self._options.confirmed)
                came = self._clock.monotonic_s()
                reference.distance(*tiles.unpack(frame))
                scored = self._clock.monotonic_s()
                CpuAccelerator().measure(tile)
                sending.append(sent - began)
                waiting.append(came - sent)
                scoring.append(scored - came)
                alone.append(self._clock.monotonic_s() - scored)
        except DriverError as error:
            return Finding(what, False, str(error))
        finally:
            self._rest(pipeline)
        send_ms, wait_ms, score_ms, alone_ms = (1e3 * median(each) for each in (sending, waiting, scoring, alone))
        self._limits.ms_per_tile = send_ms + wait_ms + score_ms
        self._limits.ms_processor = send_ms + score_ms
        self._limits.ms_without = alone_ms
        rate = size.height_px * size.width_px / 1e3 / self._limits.ms_per_tile
        return Finding(
            what,
            None,
            f"{self._limits.ms_per_tile:.1f} ms ({rate:.0f} MP/s): {send_ms:.1f} to pack and copy, {wait_ms:.1f} until "
            f"it is back{' twice' if self._options.confirmed else ''}, {score_ms:.1f} to unpack and score; "
            f"one of the processors alone computes |LoB| in {alone_ms:.1f} ms",
        )

    def _tried(self, size: tiles.TileSize, transport: Transport) -> str:
        """How a tile of this size fails; empty if it comes back exact."""
        pipeline = self._pipeline(transport)
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

    def _pipeline(self, transport: Transport, *, confirmed: bool = False) -> Pipeline:
        timeout_s = self._options.frame_timeout_s
        return Pipeline(self._board, self._clock, transport=transport, confirmed=confirmed, timeout_s=timeout_s)

    def _rest(self, pipeline: Pipeline) -> None:
        """Give the buffers back, unless a VDMA that cannot be stopped may still write to them."""
        try:
            self._board.vdma.quiet()
        except DriverError:
            return
        pipeline.release()

    def _noise(self, size: tiles.TileSize) -> Plane:
        return self._random.integers(0, 256, size.shape, np.uint8)


def _known_tiles(size: tiles.TileSize, random: np.random.Generator) -> Iterator[tuple[str, Plane]]:
    rows, columns = np.indices(size.shape)
    yield "black", np.zeros(size.shape, np.uint8)
    yield "white", np.full(size.shape, 255, np.uint8)
    yield "a ramp to the right", (columns * 255 // (size.width_px - 1)).astype(np.uint8)
    yield "a ramp downwards", (rows * 255 // (size.height_px - 1)).astype(np.uint8)
    yield "a chessboard", ((rows // 3 + columns // 3) % 2 * 255).astype(np.uint8)
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1), (size.height_px // 2, size.width_px // 2)):
        spot = np.full(size.shape, 100, np.uint8)
        spot[corner] = 160
        yield f"a spot at {corner}", spot
    yield "faint noise", random.integers(126, 130, size.shape, np.uint8)
    yield "noise", random.integers(0, 256, size.shape, np.uint8)
