"""Frames through the pipeline and back, so that an old one is never taken for a new one.

Two ways. *Parked* is how pynq runs a VDMA: the sending channel repeats one frame for ever, the receiving one fills four
stores in turn, and old frames arrive before new ones. Every frame carries a tag (tag.py) and those with another are
passed over. What follows the first right frame is the same frame again, so that it does not matter that the store is
overwritten while it is read. *One frame* lets each channel run for a single frame; nothing old is in the pipeline, and
the tag is checked all the same. It is faster and spares the memory, but nobody has seen it run on this overlay.
"""

from __future__ import annotations

import itertools
import secrets
from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260 import tag, tiles, vdma
from focusrail_drivers.accelerators.kv260.board import Board
from focusrail_drivers.accelerators.kv260.limits import Limits
from focusrail_drivers.base import DeviceTimeout
from focusrail_drivers.clock import Clock

Transport = Literal["parked", "one-frame"]
TransportSetting = Transport | Literal["auto"]
Frame = npt.NDArray[np.uint8]  # (height, width, 3)
_POLL_S = 0.0003


class FramePort(ABC):
    """Sends tiles and receives what the filters made of them. Buffers are for one tile size."""

    _SENDING_BUFFERS: int
    _RECEIVING_BUFFERS: int

    def __init__(self, board: Board, size: tiles.TileSize, clock: Clock, *, timeout_s: float) -> None:
        self._vdma, self._clock, self._timeout_s = board.vdma, clock, timeout_s
        self.size = size
        shape = (*size.shape, 3)
        self._sent = [board.allocate(shape) for _ in range(self._SENDING_BUFFERS)]
        self._received = [board.allocate(shape) for _ in range(self._RECEIVING_BUFFERS)]
        self._number = secrets.randbelow(tag.NUMBERS)  # memory may still hold a predecessor's frames
        self._taken: int | None = None  # the receiving buffer that the last frame was taken from
        self.passed_over = 0  # frames with another tag, since the last send
        self.differing = 0  # frames with the right tag that were not as the one before, ever

    @abstractmethod
    def start(self) -> None:
        """Begin with idle, freshly reset channels. Raises DeviceTimeout."""

    def send(self, tile: npt.NDArray[np.uint8]) -> None:
        """Put a tile (height, width), of the port's size, where the pipeline takes it from."""
        self._number = (self._number + 1) % tag.NUMBERS
        self.passed_over = 0
        buffer = self._next_buffer()
        frame = _array(buffer)
        tiles.pack(tile, frame)
        tag.write(self._number, frame)
        buffer.flush()
        self._present()

    def receive(self, shift: int, *, confirmed: bool) -> Frame:
        """The frame that the last tile became at this shift; valid until the next call.

        `confirmed`: only when it has come twice in a row, bit for bit; a tag cannot tell of a bit flipped elsewhere.
        Raises DeviceTimeout if it does not come in time, ProtocolError if the VDMA cannot reach its memory.
        """
        deadline_s = self._clock.monotonic_s() + self._timeout_s
        self._taken = None
        frame = self._await(shift, deadline_s)
        while confirmed:
            again = self._await(shift, deadline_s)
            if np.array_equal(_words(again), _words(frame)):
                break
            self.differing += 1
            frame = again
            self._check(deadline_s)
        return frame

    def _await(self, shift: int, deadline_s: float) -> Frame:
        while True:
            places = self._delivered(deadline_s)
            for place in places:
                if place != self._taken and self._matches(self._received[place], shift):
                    self._taken = place
                    return _array(self._received[place])
            self.passed_over += bool(places)
            self._check(deadline_s)
            self._clock.wait(_POLL_S)

    def send_plain(self, frame: Frame) -> None:
        """Put a whole frame (height, width, 3), without a tag, where the pipeline takes it from: for the self-test."""
        buffer = self._next_buffer()
        _array(buffer)[...] = frame
        buffer.flush()
        self._present()

    def receive_plain(self, after_frames: int) -> Frame:
        """What comes after so many frames, when all that come are alike; unchecked. Raises as receive."""
        deadline_s = self._clock.monotonic_s() + self._timeout_s
        frames: list[Frame] = []
        while after_frames > 0:
            places = self._delivered(deadline_s)
            after_frames -= bool(places)
            for place in places:
                self._received[place].invalidate()
            frames = [_array(self._received[place]) for place in places] or frames
            self._check(deadline_s)
            self._clock.wait(_POLL_S)
        # Genlock may keep one store from being filled: what two stores hold is what came.
        alike = (a for a, b in itertools.combinations(frames, 2) if np.array_equal(a, b))
        return next(alike, frames[0])

    def free(self) -> None:
        """Give the buffers back; the channels must be idle."""
        for buffer in self._sent + self._received:
            buffer.freebuffer()

    @abstractmethod
    def _next_buffer(self) -> Any:
        """A sending buffer that the VDMA does not read."""

    @abstractmethod
    def _present(self) -> None:
        """Have that buffer sent."""

    @abstractmethod
    def _delivered(self, deadline_s: float) -> tuple[int, ...]:
        """If a frame came, the receiving buffers that may hold it, the likeliest first."""

    def _matches(self, buffer: Any, shift: int) -> bool:
        buffer.invalidate()
        return tag.is_answer(_array(buffer), self._number, shift)

    def _check(self, deadline_s: float) -> None:
        """Raise DeviceTimeout if it is too late."""
        if self._clock.monotonic_s() > deadline_s:
            raise DeviceTimeout(self._what_happened())

    def _what_happened(self) -> str:
        what = f"no frame of {self.size} pixels came back within {self._timeout_s:g} s"
        if self.passed_over:
            what += f"; {self.passed_over} came with another tag"
        if self.differing:
            what += f"; {self.differing} were not as the same frame before"
        errors = (self._vdma.sending.last_error, self._vdma.receiving.last_error)
        return "; ".join([what, *filter(None, errors)])

    @property
    def _line_bytes(self) -> int:
        return 3 * self.size.width_px


class ParkedPort(FramePort):
    """Both channels run for ever; the tag says when the new frame has arrived."""

    _SENDING_BUFFERS = 2
    _RECEIVING_BUFFERS = vdma.FRAME_STORES
    _store = 0

    def start(self) -> None:
        for channel, control, buffers in (
            (self._vdma.receiving, vdma.CIRCULAR, self._received),
            (self._vdma.sending, vdma.PARKED, self._sent * 2),
        ):
            addresses = [each.physical_address for each in buffers]
            channel.start(control, addresses, line_bytes=self._line_bytes, lines=self.size.height_px)
        self._store = 0
        self._vdma.park_sending(0)

    def _next_buffer(self) -> Any:
        # The other one was given up before the last frame came back.
        self._store = 1 - self._store
        return self._sent[self._store]

    def _present(self) -> None:
        self._vdma.park_sending(self._store)

    def _delivered(self, deadline_s: float) -> tuple[int, ...]:
        if not self._vdma.receiving.frame_done():
            return ()
        # The one before the store being filled is the newest, unless genlock made the VDMA skip it.
        filling = self._vdma.store_being_received()
        return tuple((filling - age) % vdma.FRAME_STORES for age in range(1, vdma.FRAME_STORES))


class OneFramePort(FramePort):
    """Both channels are armed for one frame, the receiving one first."""

    _SENDING_BUFFERS = 1
    _RECEIVING_BUFFERS = 2  # one to compare with the other

    def start(self) -> None:
        """Nothing runs between frames."""

    def _next_buffer(self) -> Any:
        return self._sent[0]

    def _present(self) -> None:
        """The frame is sent when it is received."""

    def _delivered(self, deadline_s: float) -> tuple[int, ...]:
        place = 1 if self._taken == 0 else 0
        receiving, sending = self._vdma.receiving, self._vdma.sending
        for channel, buffer in ((receiving, self._received[place]), (sending, self._sent[0])):
            addresses = [buffer.physical_address] * vdma.FRAME_STORES
            channel.start(vdma.ONE_FRAME, addresses, line_bytes=self._line_bytes, lines=self.size.height_px)
        done = False
        while not (receiving.halted() and sending.halted()):
            done |= receiving.frame_done()
            self._check(deadline_s)
            self._clock.wait(_POLL_S)
        return (place,) if done or receiving.frame_done() else ()


def settle_transport(setting: TransportSetting, proven: Limits | None) -> Transport:
    """The way that is gone: `auto` is one frame at a time where a self-test has proven that it works."""
    if setting != "auto":
        return setting
    return "one-frame" if proven is not None and "one-frame" in proven.transports else "parked"


def frame_port(kind: Transport, board: Board, size: tiles.TileSize, clock: Clock, *, timeout_s: float) -> FramePort:
    """A port of this kind, with buffers allocated. Raises DriverError if there is no memory for them."""
    return {"parked": ParkedPort, "one-frame": OneFramePort}[kind](board, size, clock, timeout_s=timeout_s)


def _array(buffer: Any) -> Frame:
    """The buffer as an ordinary array: slices of pynq's own would take themselves for buffers."""
    return buffer.view(np.ndarray)


def _words(frame: Frame) -> npt.NDArray[np.uint64]:
    return frame.reshape(-1).view(np.uint64)
