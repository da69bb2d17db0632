"""The focus measure on a KV260: pictures to tiles, tiles through the pipeline, and a way back after every failure."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260 import exact, limits, reference, tiles
from focusrail_drivers.accelerators.kv260.board import Board, open_board
from focusrail_drivers.accelerators.kv260.options import ShiftSetting, check_shift, in_words, settle_shift
from focusrail_drivers.accelerators.kv260.pipeline import Pipeline
from focusrail_drivers.accelerators.kv260.transport import TransportSetting, settle_transport
from focusrail_drivers.base import AcceleratorLost, ConnectionLost, DriverError, ProtocolError, ScoreScale
from focusrail_drivers.clock import Clock, SystemClock

_BANDS = 16  # of each tile one is computed by the processor as well
_MOST_FAILURES = 100  # each costs a deadline, and from the third on the overlay is loaded anew


class Kv260Accelerator:
    """|LoB| by the Composable Pipeline's two filters; the scores are those of reference.score, to the bit.

    One thread owns it. The tile size only grows: pictures of all sizes are cut into tiles of the size that the largest
    one needs, for composing anew costs more than the empty part of a tile.
    """

    @dataclass(frozen=True, slots=True)
    class Options:
        """Which overlay, how large its frames may be, and how long it is waited for.

        What is set here is done, whatever a self-test says. What is not set (None, `auto`) is what the board's
        self-test has proven, by the file `limits`; without one, the usual: 1080 rows, parked. A shift that the
        self-test found wrong is refused in any case.
        """

        __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

        overlay: str = "cv_dfx_3_pr.bit"  # a path, or the name of an overlay that pynq knows
        region: str = "pr_0"  # holds the second filter
        shift: ShiftSetting = "auto"  # 0 (finest) to 4, bracket (0 and 3 joined), or auto: one of these by a probe
        tile_height_px: int | None = None  # None: proven, else 1080
        tile_width_px: int = tiles.MAX_WIDTH_PX
        transport: TransportSetting = "parked"  # or one-frame; auto: one-frame if it is proven, else parked
        confirmed: bool = True  # a frame counts when it has come twice: a flipped bit is not taken for sharpness
        frame_timeout_s: float = 1.0  # a tile takes about 7 ms
        failures: int = 3  # of one tile in a row, after which the accelerator is given up
        limits: Path | None = limits.USUAL_FILE  # where the self-test stores what it has proven; None: nowhere

        def __post_init__(self) -> None:
            check_shift(self.shift)
            height_px = tiles.USUAL_MAX_HEIGHT_PX if self.tile_height_px is None else self.tile_height_px
            tiles.TileSize(height_px, self.tile_width_px)
            for name in ("overlay", "region"):
                if not getattr(self, name).strip():
                    raise ValueError(f"{name} is empty")
            if self.transport not in {"parked", "one-frame", "auto"}:
                raise ValueError(f"transport {self.transport!r} is none of parked, one-frame, auto")
            if not self.frame_timeout_s > 0:
                raise ValueError(f"frame_timeout_s is {self.frame_timeout_s}, not above 0")
            if not 1 <= self.failures <= _MOST_FAILURES:
                raise ValueError(f"failures is {self.failures}, not 1 to {_MOST_FAILURES}")

    def __init__(self, options: Options | None = None, clock: Clock | None = None) -> None:
        self.options = options or self.Options()
        self._clock = clock or SystemClock()
        self.shift: reference.Shift = settle_shift(self.options.shift, None)
        self._proven: limits.Limits | None = None
        self._pipeline: Pipeline | None = None
        self._composed = False
        self._lost: str | None = None
        self._checked = 0
        self._interrupted = threading.Event()
        self.recoveries = 0  # since it was opened

    def open(self) -> str:
        """Load the overlay and its second filter; return one line that names it.

        Raises DriverError, also if the self-test found a shift to be wrong that the options may come to.
        """
        line = self.load()
        try:
            self.check_setting(self.options.shift)
        except DriverError:
            self.close()
            raise
        return line

    def load(self) -> str:
        """As `open`, for who says later which shift it wants."""
        options = self.options
        board = open_board(options.overlay, options.region, self._clock, timeout_s=options.frame_timeout_s)
        proven = limits.proven_for(board.identity, options.limits)
        self._proven = None if proven is None else proven.limits
        self._pipeline = Pipeline(
            board,
            self._clock,
            transport=settle_transport(options.transport, self._proven),
            confirmed=options.confirmed,
            timeout_s=options.frame_timeout_s,
        )
        self._composed, self._lost, self.recoveries = False, None, 0
        told = "not self-tested" if proven is None else f"self-test of {proven.tested_at[:10]}"
        return f"{board}, tiles up to {self._largest_tile} ({told})"

    def close(self) -> None:
        """Bring the overlay to rest and let go of it. Never raises; closing twice is fine."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is None:
            return
        try:
            pipeline.board.close()
        except DriverError:
            return  # buffers that a running VDMA may still write to stay allocated until the process ends
        pipeline.release()

    def interrupt(self) -> None:
        """From any thread: no further tile is begun, and a picture that is being measured ends by AcceleratorLost."""
        self._interrupted.set()

    @property
    def is_open(self) -> bool:
        """Whether it has its overlay."""
        return self._pipeline is not None

    @property
    def board(self) -> Board:
        """The open overlay, for what else is on it. Raises ConnectionLost if it is not open."""
        if self._pipeline is None:
            raise ConnectionLost("the overlay is not open")
        return self._pipeline.board

    def probe(self, luma_tile: npt.NDArray[np.uint8]) -> str:
        """Let `auto` choose the shift by this (height, width) of luma; before a shoot, for scores change with it."""
        self.shift = settle_shift(self.options.shift, luma_tile)
        return in_words(self.shift)

    def double(self) -> exact.Kv260Exact:
        """The same scores from the processor, at the shift that is settled."""
        return exact.Kv260Exact.settled(self.options.shift, self.shift)

    def configure(self) -> ScoreScale:
        if self._pipeline is None:
            self.open()
        self.check_setting(self.shift)
        return reference.score_scale(self.shift)

    def check_setting(self, shift: ShiftSetting) -> None:
        """Raise DriverError if the self-test of the open overlay found scores to be wrong that this may come to."""
        if self._proven is not None and (refusal := self._proven.refusal(shift)):
            raise DriverError(refusal)

    @property
    def _largest_tile(self) -> tiles.TileSize:
        height_px = self.options.tile_height_px or (self._proven.whole_height_px if self._proven else 0)
        return tiles.TileSize(height_px or tiles.USUAL_MAX_HEIGHT_PX, self.options.tile_width_px)

    def measure(self, luma_tile: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
        """As Accelerator.measure, for a picture of any size. Raises AcceleratorLost, and from then on always."""
        if self._pipeline is None:
            self.open()
        pipeline = self._pipeline
        assert pipeline is not None
        self.check_setting(self.shift)
        height, width = luma_tile.shape
        size = tiles.grown(height, width, self._largest_tile, pipeline.size)
        self._composed &= size == pipeline.size
        score = np.empty(luma_tile.shape, np.uint16)
        for tile in tiles.tiles(height, width, size):
            tile.put(self._tile_score(pipeline, tile.cut(luma_tile, size), size), score)
            pipeline.board.attend()
        return score

    def _tile_score(
        self, pipeline: Pipeline, tile: npt.NDArray[np.uint8], size: tiles.TileSize
    ) -> npt.NDArray[np.uint16]:
        if self._lost is not None:
            raise AcceleratorLost(self._lost)
        if self._interrupted.is_set():
            raise AcceleratorLost("it was interrupted: its owner is ending")
        causes: list[str] = []
        for attempt in range(self.options.failures + 1):
            try:
                if not self._composed:
                    _recovery(pipeline.board, attempt)()
                    pipeline.compose(size)
                    self._composed = True
                score = _score(pipeline, tile, self.shift)
                self._check(tile, score)
                return score
            except DriverError as error:
                self._composed = False
                self.recoveries += 1
                causes.append(str(error))
        with suppress(DriverError):
            pipeline.board.close()
        tried = ", ".join(("composing it anew", "loading its second filter", "loading the overlay")[: len(causes) - 1])
        self._lost = (
            f"the KV260's pipeline failed {len(causes)} times in a row, which {tried} did not mend; last: {causes[-1]}"
        )
        raise AcceleratorLost(self._lost)

    def _check(self, tile: npt.NDArray[np.uint8], score: npt.NDArray[np.uint16]) -> None:
        """Compare a band of rows with the reference, another one each time: what is broken for good is noticed so.

        Raises ProtocolError if they differ.
        """
        halo = reference.HALO_PX
        rows = -(-(tile.shape[0] - 2 * halo) // _BANDS)
        top = min(self._checked % _BANDS * rows, tile.shape[0] - 2 * halo - rows)
        expected = exact.score(tile[top : top + rows + 2 * halo], self.shift)[halo:-halo, halo:-halo]
        wrong = expected != score[top + halo : top + halo + rows, halo:-halo]
        if wrong.any():
            raise ProtocolError(f"the filters computed {wrong.sum()} of {wrong.size} scores wrongly")
        self._checked += 1


def _score(pipeline: Pipeline, tile: npt.NDArray[np.uint8], shift: reference.Shift) -> npt.NDArray[np.uint16]:
    if isinstance(shift, int):
        return reference.distance(*pipeline.planes(tile, shift)[0])
    fine, coarse = pipeline.planes(tile, *reference.BRACKET_SHIFTS)
    return reference.join(fine, coarse)


def _recovery(board: Board, attempt: int) -> Callable[[], None]:
    """What must come before composing anew: nothing at first, then the region, then the whole overlay."""
    return {0: _nothing, 1: _nothing, 2: board.load_region}.get(attempt, board.download)


def _nothing() -> None:
    """Composing alone resets both channels and the filters."""
