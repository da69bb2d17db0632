"""The graph of the focus measure in the overlay: memory, Laplacian, binomial, memory, for one tile size.

The order of what is written follows from what each reset reaches: the soft reset clears the filters' registers and
nothing else, the filters take their values over when a frame begins, and no frame begins before the VDMA runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260 import reference, tiles
from focusrail_drivers.accelerators.kv260.board import Board
from focusrail_drivers.accelerators.kv260.transport import Frame, FramePort, Transport, frame_port
from focusrail_drivers.clock import Clock


class Pipeline:
    """Composed for one tile size at a time. Its own thread makes every call."""

    def __init__(self, board: Board, clock: Clock, *, transport: Transport, confirmed: bool, timeout_s: float) -> None:
        self.board, self._clock, self._transport, self._timeout_s = board, clock, transport, timeout_s
        self._confirmed = confirmed
        self._shift = reference.USUAL_SHIFT
        self._port: FramePort | None = None

    @property
    def port(self) -> FramePort:
        """Where frames go in and come out, once it is composed."""
        assert self._port is not None, "compose comes first"
        return self._port

    @property
    def size(self) -> tiles.TileSize | None:
        """The tile size that it is composed for."""
        return None if self._port is None else self._port.size

    @property
    def passed_over(self) -> int:
        """How many frames with another tag came before the last right one."""
        return 0 if self._port is None else self._port.passed_over

    @property
    def differing(self) -> int:
        """How many frames came with the right tag and were not as the same frame before: bits flip somewhere."""
        return 0 if self._port is None else self._port.differing

    def compose(self, size: tiles.TileSize) -> None:
        """Make ready for tiles of this size, from whatever state. Raises DriverError."""
        board = self.board
        board.vdma.quiet()
        if self._port is None or self._port.size != size:
            self.release()
            self._port = frame_port(self._transport, board, size, self._clock, timeout_s=self._timeout_s)
        board.recouple()
        board.switch.route({})
        board.control.reset()
        for converter in board.converters:
            converter.three_bytes()
        extent = {"height_px": size.height_px, "width_px": size.width_px}
        board.first.configure(reference.LAPLACIAN, 0, **extent)
        board.second.configure(reference.BINOMIAL, self._shift, **extent)
        for each in (board.second, board.first):
            each.start()
        board.switch.route(board.route)
        self._port.start()

    def planes(self, tile: npt.NDArray[np.uint8], *shifts: int) -> list[tuple[Any, Any]]:
        """What the filters make of a tile (height, width) of the composed size, for each shift, in their order.

        The tile is sent once. Raises DeviceTimeout, ProtocolError.
        """
        self.port.send(tile)
        found: dict[int, tuple[Any, Any]] = {}
        # That which is set already comes first: a change of shift costs a frame.
        for shift in sorted(set(shifts), key=lambda each: each != self._shift):
            found[shift] = tiles.unpack(self._frame(self.port, shift))
        return [found[shift] for shift in shifts]

    def release(self) -> None:
        """Give the frame buffers back; the channels must be at rest."""
        if self._port is not None:
            self._port.free()
            self._port = None

    def _frame(self, port: FramePort, shift: int) -> Frame:
        if shift != self._shift:
            self.board.second.shift(shift)
            self._shift = shift
        return port.receive(shift, confirmed=self._confirmed)
