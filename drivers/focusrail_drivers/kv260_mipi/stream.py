"""Frames of the camera in memory, so that none that was begun too early is ever taken for a new one.

pynq lets the DMA circulate over eight stores and waits for an interrupt; whoever reads a frame then gets the newest of
those that lie about, and waits for ever when none comes. Here the DMA is *parked* instead: it fills one store, again
and again, and goes on doing so whatever happens. To take a picture, frames are counted, the park pointer is set to the
other store, and when the DMA says that it works there, the first one holds a whole frame that nothing overwrites,
however late it is fetched. Nothing is awaited: a status register is looked at, by a deadline.

How many frames are passed over. The flag of a finished frame is cleared first, so that what is counted ended after the
exposure was asked for; a flag that stands for several frames counts as one, so that slowness only delays.
1. The first frame to end was begun before.
2. The second was begun after it at the earliest, but a sensor with a rolling shutter exposes a row for up to the time
   of a frame before it reads it: its first rows may have seen what was before.
3. Between sensor and memory lie a few lines of buffers, much less than a frame; one frame covers them.
The next one was exposed wholly afterwards: STALE_FRAMES = 3. A frame that shows an error, or during which the switch
was routed anew, counts for nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260.board import Board
from focusrail_drivers.accelerators.kv260.vdma import PARKED_RECEIVING
from focusrail_drivers.base import CaptureFailed, ConnectionLost, DeviceNotFound, DeviceTimeout, DriverError
from focusrail_drivers.clock import Clock
from focusrail_drivers.kv260_mipi.modes import STALE_FRAMES, Mode
from focusrail_drivers.kv260_mipi.pcam import Pcam, pcam_of

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.001  # a frame takes 17 ms at least
_RECEIVER_STATUS = 0x10  # PG232: bits 31:16 count the packets, one a line
_STORES_USED = 2


class MipiStream:
    """The camera path of an open overlay. The board's one thread makes every call, and none of them waits long.

    While a frame is on its way, the board's `attend` looks after it, between the tiles of a picture that is measured.
    What waits long are `open`, `write`, and `begin` after two failures: they set the sensor up, which takes seconds.
    """

    def __init__(self, board: Board, mode: Mode, *, stale_frames: int = STALE_FRAMES) -> None:
        """Raises DeviceNotFound if the overlay has no camera."""
        if board.camera is None or board.camera_vdma is None:
            raise DeviceNotFound(f"{board} has no MIPI camera")
        self.board, self.mode, self.stale_frames = board, mode, stale_frames
        self._where, self.vdma = board.camera, board.camera_vdma
        self._pcam: Pcam | None = None
        self._buffers: list[Any] = []
        self._failures = 0  # in a row
        self.is_open = False
        self._downloads = 0
        self.filled = 0  # the store that the DMA fills, unless it has just been told to fill the other

    def open(self) -> str:
        """Set the sensor up and let frames come; a line that names the camera. Raises DriverError."""
        self._rest()
        if self._pcam is None:
            self._pcam = pcam_of(self.board)
        line = self._pcam.set_up(self.mode)
        self._downloads = self.board.downloads
        self._start()
        self._failures, self.is_open = 0, True
        return line

    def close(self) -> None:
        """Stop and route nothing; closing twice is fine.

        Raises DeviceTimeout if the DMA does not rest; then it keeps its buffers.
        """
        if not self._buffers:
            return
        self.is_open, self.board.attention = False, None
        self._rest()
        self.board.switch.keep({})
        while self._buffers:
            self._buffers.pop().freebuffer()

    def write(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Change settings of the camera, as they now are; frames that come meanwhile may have either.

        Raises SettingRefused.
        """
        if self._pcam is None or not self.is_open:
            raise ConnectionLost("the camera is not open")
        return self._pcam.write(settings)

    def begin(self, timeout_s: float) -> Capture:
        """Ask for an exposure: what is exposed from now on. Mends first what failed the last time.

        Raises DriverError.
        """
        if not self.is_open:
            raise ConnectionLost("the camera is not open")
        try:
            self._mend()
        except DriverError:
            self.failed()
            raise
        capture = Capture(self, self.board.clock, timeout_s)
        self.board.attention = capture.attend
        return capture

    def _mend(self) -> None:
        if self._downloads != self.board.downloads or self._failures > 1:
            # Everything behind the sensor was loaded anew, or starting the DMA afresh has not helped.
            log.warning("camera.set_up_again failures=%d", self._failures)
            failures = self._failures
            self.open()
            self._failures = failures  # until a frame has come
        elif self._failures:
            log.warning("camera.restarted")
            self._rest()
            self._start()

    def frame(self, store: int) -> npt.NDArray[np.uint8]:
        """What lies in a store: (height, width, 3) uint8, to be copied before the next capture begins."""
        self._buffers[store].invalidate()
        return self._buffers[store].view(np.ndarray)

    def succeeded(self) -> None:
        """A frame has come."""
        self._failures = 0

    def failed(self) -> None:
        """None has."""
        self._failures += 1

    def check_overlay(self) -> None:
        """Raise CaptureFailed if all that was set up is gone."""
        if self._downloads != self.board.downloads:
            raise CaptureFailed("the overlay was loaded anew meanwhile; the camera is set up again with the next one")

    def packets(self) -> int:
        """How many lines the receiver has counted, modulo 2**16."""
        return self.board.registers(self._where.receiver).read(_RECEIVER_STATUS) >> 16

    def _rest(self) -> None:
        self.vdma.quiet(receiving_only=True)

    def _start(self) -> None:
        if not self._buffers:
            self._buffers = [self.board.allocate(self.mode.shape) for _ in range(_STORES_USED)]
        self.board.switch.keep({self._where.into_memory: self._where.out_of_sensor})
        stores = [self._buffers[place % _STORES_USED].physical_address for place in range(self._where.frame_stores)]
        self.filled = 0
        self.vdma.park_receiving(0)
        self.vdma.receiving.start(
            PARKED_RECEIVING, stores, line_bytes=3 * self.mode.width_px, lines=self.mode.height_px
        )


class _Phase(Enum):
    PASSING = "passing"  # frames go by that may be stale
    TAKING = "taking"  # the DMA has been told to leave the store when its frame has ended
    SETTLING = "settling"  # the frame has ended; what is on its way to memory arrives
    DONE = "done"


class Capture:
    """One exposure on its way. `step` is called again and again, by the board's thread; every call is quick."""

    def __init__(self, stream: MipiStream, clock: Clock, timeout_s: float) -> None:
        self._stream, self._clock, self._timeout_s = stream, clock, timeout_s
        self._deadline_s = clock.monotonic_s() + timeout_s
        self._packets = stream.packets()
        self._phase, self._left = _Phase.PASSING, stream.stale_frames
        self._commits = stream.board.switch.commits
        self._spoilt = 0
        self._taken = 0
        self._failure: DriverError | None = None
        stream.vdma.receiving.last_error = ""
        self._look()  # what has ended before now is nothing to count

    @property
    def ended(self) -> bool:
        """Whether the exposure has ended: the scene may change."""
        return self._phase in {_Phase.SETTLING, _Phase.DONE}

    def step(self) -> bool:
        """Look once; whether the frame lies in memory, complete.

        Raises DeviceTimeout or CaptureFailed, and from then on always.
        """
        if self._failure is None and self._phase is not _Phase.DONE:
            try:
                self._step()
            except DriverError as error:
                self._stream.failed()
                is_late = isinstance(error, DeviceTimeout)
                self._failure = error if is_late else CaptureFailed(f"the camera's frame was lost: {error}")
        if self._failure is not None:
            raise self._failure
        return self._phase is _Phase.DONE

    def attend(self) -> None:
        """As `step`, and raises nothing: who asks for the frame is told then."""
        try:
            self.step()
        except DriverError:
            return

    def frame(self) -> npt.NDArray[np.uint8]:
        """The frame (height, width, 3) uint8, once `step` has said that it is there; to be copied at once."""
        assert self._phase is _Phase.DONE, self._phase
        return self._stream.frame(self._taken)

    def _step(self) -> None:
        done, spoilt = self._look()
        if self._phase is _Phase.PASSING:
            if done:
                self._left -= 1
            if self._left <= 0:
                self._take()
        elif self._phase is _Phase.TAKING:
            self._spoilt += spoilt
            self._see_whether_taken()
        elif done:
            self._phase = _Phase.DONE
            self._stream.succeeded()
            return
        if self._clock.monotonic_s() > self._deadline_s:
            raise DeviceTimeout(self._what_happened())

    def _look(self) -> tuple[bool, bool]:
        self._stream.check_overlay()
        done, spoilt = self._stream.vdma.receiving.look()
        commits = self._stream.board.switch.commits
        disturbed, self._commits = commits != self._commits, commits
        return done and not disturbed, spoilt or disturbed

    def _take(self) -> None:
        """Let the DMA go on in the other store when the frame that it works on has ended."""
        stream = self._stream
        self._taken, stream.filled = stream.filled, 1 - stream.filled
        stream.vdma.park_receiving(stream.filled)
        self._phase, self._spoilt = _Phase.TAKING, 0

    def _see_whether_taken(self) -> None:
        if self._stream.vdma.store_being_received() != self._stream.filled:
            return
        # What went wrong with the frame shows when the next begins, at the latest: so it is looked at once more.
        self._spoilt += self._look()[1]
        if self._spoilt:
            self._take()
        else:
            self._phase = _Phase.SETTLING

    def _what_happened(self) -> str:
        stream = self._stream
        lines = (stream.packets() - self._packets) % (1 << 16)
        passed = stream.stale_frames - max(0, self._left)
        what = f"the camera gave no frame of {stream.mode} within {self._timeout_s:g} s"
        if self._phase is not _Phase.PASSING:
            what += ", only some that had begun before"
        elif passed:
            what += f", only {passed} that had begun before"
        if error := stream.vdma.receiving.last_error:
            what += f"; {error}"
        if not lines:
            what += "; nothing comes from the sensor (is the ribbon cable well seated?)"
        else:
            what += f"; the receiver counted {lines} lines from the sensor meanwhile"
        return what
