"""The KV260's focus measure from the helper service that owns the FPGA: what `accelerator: kv260` is.

Pictures and scores lie in memory shared with the service. When the service is killed, the same picture is measured
again by the next one, which systemd starts within seconds; memory that a lost one may still write to is not used again.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.accelerators.kv260.exact import Kv260Exact
from focusrail_drivers.accelerators.kv260.options import ShiftSetting, in_words, settle_shift
from focusrail_drivers.base import AcceleratorLost, DeviceInUse, DeviceNotFound, DriverError, ScoreScale
from focusrail_drivers.clock import Clock
from focusrail_drivers.fpga_service.client import SHORTEST_SILENCE_S, SILENCE_S, Connection, HelperLost, NotServing
from focusrail_drivers.fpga_service.messages import Measure, Open, Share
from focusrail_drivers.fpga_service.shared_memory import Places, SharedMemory

log = logging.getLogger(__name__)
_ENDS = 3  # of the service by one picture, after which the picture is taken for the cause
_RETRY_S = 0.1


class RemoteKv260:
    """|LoB| by the FPGA's service; the scores are those of reference.score, to the bit. For any number of threads."""

    @dataclass(frozen=True, slots=True)
    class Options(Kv260Accelerator.Options):
        """Where the service is. It takes all but the shift from root's configuration, not from here."""

        socket: Path = Path("/run/focusrail-fpga/socket")
        patience_s: float = 30.0  # for a service that was killed: starting it and loading the overlay take some of it

        def __post_init__(self) -> None:
            Kv260Accelerator.Options.__post_init__(self)  # a class with slots is made anew: super() would not find it
            if not self.patience_s > 0:
                raise ValueError(f"patience_s is {self.patience_s}, not above 0")

    def __init__(self, options: Options | None = None, clock: Clock | None = None) -> None:
        """The service lives in the world's time, and so do its deadlines, whatever the clock."""
        self.options = options or self.Options()
        self.shift: reference.Shift = settle_shift(self.options.shift, None)
        self._lock = threading.Lock()
        self._helper: _Helper | None = None
        self._opened = False
        self._lost: str | None = None

    def open(self) -> str:
        """Connect, and return one line that names the overlay.

        Raises DriverError, also if the board's self-test found a shift to be wrong that the options may come to.
        A service that was killed a moment ago is waited for.
        """
        with self._lock:
            self._disconnect()
            self._opened, self._lost = False, None
            deadline_s = time.monotonic() + self.options.patience_s
            self._helper = self._connect(self.options.shift, deadline_s, (NotServing,))
            self._opened = True
            return f"{self._helper.device}, by the service focusrail-fpga"

    def close(self) -> None:
        """Hang up. Never raises; closing twice is fine."""
        with self._lock:
            self._disconnect()
            self._opened = False

    def probe(self, luma_tile: npt.NDArray[np.uint8]) -> str:
        """Let `auto` choose the shift by this (height, width) of luma; before a shoot, for scores change with it."""
        self.shift = settle_shift(self.options.shift, luma_tile)
        return in_words(self.shift)

    def configure(self) -> ScoreScale:
        if not self._opened:
            self.open()
        return reference.score_scale(self.shift)

    def measure(self, luma_tile: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
        """As Accelerator.measure, for a picture of any size. Raises AcceleratorLost, and from then on always."""
        with self._lock:
            if self._lost is not None:
                raise AcceleratorLost(self._lost)
            try:
                return self._measure(luma_tile)
            except DriverError as error:
                self._disconnect()
                self._lost = str(error)
                raise AcceleratorLost(self._lost) from error

    def double(self) -> Kv260Exact:
        """The same scores from the processor, at the shift that is settled."""
        return Kv260Exact.settled(self.options.shift, self.shift)

    def _measure(self, luma: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
        deadline_s, ends = time.monotonic() + self.options.patience_s, 0
        while True:
            if self._helper is None:
                self._helper = self._connect(self.shift, deadline_s, (HelperLost, DeviceNotFound, DeviceInUse))
            try:
                return self._helper.measure(luma, self.shift)
            except HelperLost as error:
                deadline_s = self._helper.heard_s + self.options.patience_s
                self._disconnect()
                ends += 1
                log.warning("%s; the picture is measured again", error)
                if ends == _ENDS:
                    height, width = luma.shape
                    raise AcceleratorLost(
                        f"a picture of {width} x {height} pixels ended the FPGA's helper service {ends} times; "
                        f"last: {error}"
                    ) from error

    def _connect(self, shift: ShiftSetting, deadline_s: float, waited_for: tuple[type[DriverError], ...]) -> _Helper:
        """A service that is ready. What may pass by itself is tried again until the deadline."""
        while True:
            remaining_s = max(_RETRY_S, deadline_s - time.monotonic())
            silence_s = max(SHORTEST_SILENCE_S, min(SILENCE_S, self.options.patience_s / 2))
            try:
                return _Helper(self.options.socket, shift, silence_s=silence_s, limit_s=remaining_s)
            except waited_for as error:
                if time.monotonic() > deadline_s:
                    raise AcceleratorLost(f"{error}; it was waited for {self.options.patience_s:g} s") from error
            time.sleep(_RETRY_S)

    def _disconnect(self) -> None:
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.close()


class _Helper:
    """A connection to the service, and the memory that it shares."""

    def __init__(self, socket: Path, shift: ShiftSetting, *, silence_s: float, limit_s: float) -> None:
        self._connection = Connection(socket, silence_s=silence_s, limit_s=limit_s)
        self._memory: SharedMemory | None = None
        try:
            self.device = str(self._connection.call(Open(shift), limit_s=limit_s).get("device"))
        except BaseException:
            self.close()
            raise

    @property
    def heard_s(self) -> float:
        """When the service last said anything (time.monotonic)."""
        return self._connection.heard_s

    def measure(self, luma: npt.NDArray[np.uint8], shift: reference.Shift) -> npt.NDArray[np.uint16]:
        """The scores. Raises HelperLost, ProtocolError for a size that cannot be, or what the service answers."""
        places = Places(*luma.shape)
        request = Measure(places.height_px, places.width_px, shift)
        memory = self._shared(places.size_bytes)
        places.luma(memory)[...] = luma
        self._connection.call(request)
        return np.array(places.scores(memory))

    def close(self) -> None:
        """Hang up and let go of the memory. A service that is only asleep keeps its own hold of it."""
        self._connection.close()
        if self._memory is not None:
            self._memory.close()

    def _shared(self, size_bytes: int) -> SharedMemory:
        if self._memory is None or self._memory.size_bytes < size_bytes:
            Share(size_bytes)  # raises what the service would, before there is any memory
            larger = SharedMemory.create(size_bytes)
            if self._memory is not None:
                self._memory.close()
            self._memory = larger
            self._connection.call(Share(larger.size_bytes), descriptor=larger.descriptor)
        return self._memory
