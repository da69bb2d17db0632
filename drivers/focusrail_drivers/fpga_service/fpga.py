"""The FPGA and the one thread that touches it: what is asked of it waits in a queue, whoever asks.

The thread shows that it lives by looking at the clock, which every wait of the driver does, for each has a deadline.
What has none (a bitstream's download, a register that does not answer) shows by the clock not being looked at: then
`alive` says no, and only ending the process helps.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.accelerators.kv260.options import ShiftSetting
from focusrail_drivers.base import AcceleratorLost, DriverError, OnDevice
from focusrail_drivers.clock import Clock, SystemClock

log = logging.getLogger(__name__)
T = TypeVar("T")
STUCK_AFTER_S = 30.0  # reading the overlay's description takes longest, some seconds on the board
REOPEN_AFTER_S = 10.0


class Device(Protocol):
    """What the service measures with: Kv260Accelerator, or its double. If it is OnDevice, it is opened and closed."""

    shift: reference.Shift

    def check_setting(self, shift: ShiftSetting) -> None:
        """Raise DriverError if scores may be wrong at what this may come to."""

    def measure(self, luma_tile: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
        """As Accelerator.measure."""


@runtime_checkable
class Interruptible(Protocol):
    """A device that can be told to stop in the middle of a picture."""

    def interrupt(self) -> None:
        """From any thread: give up the picture that is being measured, as soon as may be, by AcceleratorLost."""


class Pulse:
    """A clock that knows when it was last looked at. Of the world's time."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self.last_s = self._clock.monotonic_s()

    def monotonic_s(self) -> float:
        self.last_s = now_s = self._clock.monotonic_s()
        return now_s

    def utc(self) -> datetime:
        return self._clock.utc()

    def wait(self, duration_s: float, until: threading.Event | None = None) -> bool:
        self.monotonic_s()
        return self._clock.wait(duration_s, until)


class Fpga:
    """Owns the device. Every method may be called from any thread."""

    def __init__(
        self,
        make: Callable[[Clock], Device],
        *,
        opened: Callable[[], None] = lambda: None,
        stuck_after_s: float = STUCK_AFTER_S,
        reopen_after_s: float = REOPEN_AFTER_S,
    ) -> None:
        """`make` gets the clock that the device must wait by; `opened` is called whenever it has been opened."""
        self._pulse = Pulse()
        self._device = make(self._pulse)
        self._opened = opened
        self._stuck_after_s, self._reopen_after_s = stuck_after_s, reopen_after_s
        self._queue: SimpleQueue[tuple[Future[Any], list[Callable[[], Any]]] | None] = SimpleQueue()
        self._busy = False
        self._ending = threading.Event()
        self._name = ""
        self._lost: str | None = "it has not been opened yet"
        self._tried_s = -reopen_after_s
        self._thread = threading.Thread(target=self._work, name="fpga", daemon=True)
        self._thread.start()

    def ready(self) -> Future[str]:
        """Open it, unless it is open; the line that names it. AcceleratorLost if it was tried in vain a moment ago."""
        return self._submit(self._open)

    def do(self, job: Callable[[Device], T]) -> Future[T]:
        """Let `job` have the device, in its turn. AcceleratorLost if it is lost, or then is."""
        return self._submit(lambda: self._use(job))

    def alive(self) -> bool:
        """Whether what is being done has moved of late. True if nothing is."""
        return not self._busy or time.monotonic() - self._pulse.last_s < self._stuck_after_s

    def close(self, timeout_s: float) -> bool:
        """Bring the device to rest and end the thread; whether both came to pass in time.

        A picture that is being measured is given up after its tile, and what waits is not begun.
        """
        self._ending.set()
        if isinstance(self._device, Interruptible):
            self._device.interrupt()
        self._submit(self._rest)
        self._queue.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _submit(self, job: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        held = [job]
        # Whoever cancels takes the job out of the queue's hands, and with it the memory of the client that asked.
        future.add_done_callback(lambda _: held.clear())
        self._queue.put((future, held))
        return future

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            self._run(*item)
            del item  # or the last picture would stay until the next comes

    def _run(self, future: Future[Any], held: list[Callable[[], Any]]) -> None:
        if not future.set_running_or_notify_cancel():
            return  # who asked has gone
        self._pulse.monotonic_s()
        self._busy = True
        failure: DriverError | None = None
        result = None
        try:
            result = held.pop()()
        except DriverError as error:
            failure = error.with_traceback(None)  # it would hold what the job had in hand
        except Exception as error:  # the top of this worker
            log.exception("FPGA: unforeseen")
            failure = self._give_up(f"the FPGA's driver failed: {error!r}")
        finally:
            self._busy = False
        # Last: who waits takes it that nothing of the job is in use any more.
        if failure is not None:
            future.set_exception(failure)
        else:
            future.set_result(result)
        del (
            future,
            failure,
            result,
        )  # the error's traceback leads to this frame, and would keep what the job had in hand

    def _open(self) -> str:
        if self._lost is None:
            return self._name
        now_s = self._pulse.monotonic_s()
        if now_s - self._tried_s < self._reopen_after_s:
            raise AcceleratorLost(
                f"the FPGA is lost, and is tried again at most every {self._reopen_after_s:g} s: {self._lost}"
            )
        self._rest()
        try:
            name = self._device.open() if isinstance(self._device, OnDevice) else type(self._device).__name__
        except DriverError as error:
            self._lost = str(error)
            raise
        finally:
            self._tried_s = self._pulse.monotonic_s()
        self._name, self._lost = name, None
        self._opened()
        log.info("FPGA opened: %s", name)
        return name

    def _use(self, job: Callable[[Device], T]) -> T:
        if self._ending.is_set():
            raise AcceleratorLost("the service is ending")
        if self._lost is not None:
            raise AcceleratorLost(self._lost)
        try:
            return job(self._device)
        except AcceleratorLost as error:
            if self._ending.is_set():
                raise
            raise self._give_up(str(error)) from error

    def _give_up(self, why: str) -> AcceleratorLost:
        log.error("FPGA lost: %s", why)
        self._lost = why
        self._rest()
        return AcceleratorLost(why)

    def _rest(self) -> None:
        if isinstance(self._device, OnDevice):
            self._device.close()
