"""One thing tried on a board, and tried again before it is judged: what happens once is no property of an overlay.

The driver does the same when it measures (accelerator.py); the self-test keeps count of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260 import diagnosis, reference, tiles
from focusrail_drivers.accelerators.kv260.board import Board
from focusrail_drivers.accelerators.kv260.pipeline import Pipeline
from focusrail_drivers.accelerators.kv260.transport import Transport
from focusrail_drivers.base import DriverError, ProtocolError
from focusrail_drivers.clock import Clock

Plane = npt.NDArray[np.uint8]
_T = TypeVar("_T")
TRIES = 3


class Wrong(ProtocolError):
    """What came back is not what the reference says; any other DriverError means that nothing came back."""


class Trials:
    """Pipelines on one board. `again` has a line for each thing that worked, but not at once."""

    def __init__(self, board: Board, clock: Clock, *, timeout_s: float) -> None:
        self._board, self._clock, self._timeout_s = board, clock, timeout_s
        self.again: list[str] = []

    def pipeline(self, transport: Transport, *, confirmed: bool = False, timeout_s: float | None = None) -> Pipeline:
        """One that is not composed yet. A frame must come twice only if it is to be confirmed."""
        timeout_s = timeout_s or self._timeout_s
        return Pipeline(self._board, self._clock, transport=transport, confirmed=confirmed, timeout_s=timeout_s)

    def insist(self, pipeline: Pipeline, size: tiles.TileSize, attempt: Callable[[], _T], *, tries: int = TRIES) -> _T:
        """What `attempt` returns with the pipeline composed for `size`; it is composed anew before each further try.

        Raises the last DriverError.
        """
        failures: list[str] = []
        while True:
            try:
                if failures or pipeline.size != size:
                    pipeline.compose(size)
                found = attempt()
            except DriverError as error:
                failures.append(str(error))
                if len(failures) == tries:
                    raise
            else:
                self.again += failures[:1]
                return found

    def prove(self, pipeline: Pipeline, tile: Plane, *shifts: int, what: str = "", tries: int = TRIES) -> None:
        """Compare what becomes of a tile (height, width) with the reference. Raises Wrong, or another DriverError."""

        def attempt() -> None:
            for shift in shifts:
                (received,) = pipeline.planes(tile, shift)
                for sign, sent, plane in zip("-+", (~tile, tile), received, strict=True):
                    if not np.array_equal(plane, reference.graph(sent, shift)):
                        where = f"{what} at shift {shift}, plane {sign}: " if what else ""
                        raise Wrong(f"{where}{diagnosis.explain(sent, plane, shift)}")

        self.insist(pipeline, tiles.TileSize.unchecked(*tile.shape), attempt, tries=tries)

    def rest(self, pipeline: Pipeline) -> None:
        """Give the buffers back, unless a VDMA that cannot be stopped may still write to them."""
        try:
            self._board.vdma.quiet()
        except DriverError:
            return
        pipeline.release()
