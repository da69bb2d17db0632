"""A thread that owns a cv2.VideoCapture, keeps its queue of pictures young, and can be left behind when it hangs."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers.base import CaptureFailed, ConnectionLost, DeviceNotFound, DeviceTimeout, SettingRefused
from focusrail_drivers.pulse import silent_for

log = logging.getLogger(__name__)

T = TypeVar("T")

CLOSE_S = 3.0


def control_id(name: str) -> int | None:
    """OpenCV's number for a control, by its name with or without CAP_PROP_; None if there is none."""
    number = getattr(cv2, f"CAP_PROP_{name.upper().removeprefix('CAP_PROP_')}", None)
    return number if isinstance(number, int) else None


class Grabber:
    """One connection to a video source. Every call has a deadline by the wall clock.

    After a DeviceTimeout the connection is of no use: the thread may sit in the library for ever, so it is told to end
    when it comes back, and left behind.
    """

    def __init__(self, source: int | str, *, name: str, live: bool) -> None:
        """`live`: pictures are made all the time, and have to be taken off the queue whether wanted or not."""
        self._source = source
        self._name = name
        self._live = live
        self._commands: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._capture: cv2.VideoCapture | None = None  # this and the following are the thread's
        self._draining = False
        self._lost = False
        self._taken = 0
        self._thread = threading.Thread(target=self._run, name=f"grab {name}", daemon=True)

    def open(self, *, fourcc: str | None, size_px: tuple[int, int] | None, timeout_s: float) -> str:
        """Open the source, set pixel format and size (width, height); return size, format and backend."""
        self._thread.start()
        return self._do(lambda: self._open(fourcc, size_px), "open", timeout_s)

    def set(self, control: str, value: float, *, timeout_s: float) -> float:
        """Set a control; return what is read back. Raises SettingRefused."""
        return self._do(lambda: self._set(control, value), f"set {control}", timeout_s)

    def take(self, *, stale_frames: int, timeout_s: float, latency_s: float = 0.0) -> npt.NDArray[np.generic]:
        """The first picture after `stale_frames` that arrives no sooner than `latency_s` from now."""
        not_before_s = time.monotonic() + latency_s
        return self._do(lambda: self._take(stale_frames, not_before_s), "deliver a picture", timeout_s)

    def close(self) -> None:
        """End the thread and let go of the source. Never raises."""
        hangs = self._stopping.is_set()  # a call was given up: there is nothing to wait for
        self._stopping.set()
        self._commands.put(None)
        if self._thread.ident is not None:
            self._thread.join(0.1 if hangs else CLOSE_S)
            if self._thread.is_alive():
                log.warning("camera.left_behind camera=%s: its thread hangs in the video library", self._name)

    def _do(self, action: Callable[[], T], doing: str, timeout_s: float) -> T:
        future: Future[T] = Future()

        def command() -> None:
            try:
                future.set_result(action())
            except cv2.error as error:
                future.set_exception(CaptureFailed(f"{self._name}: OpenCV failed to {doing}: {error}"))
            except Exception as error:  # noqa: BLE001  the top of this worker; raised where it was asked for
                future.set_exception(error)

        self._commands.put(command)
        try:
            with silent_for(timeout_s):
                return future.result(timeout_s)
        except FutureTimeout:
            self._stopping.set()
            raise DeviceTimeout(f"{self._name} did not {doing} within {timeout_s:g} s") from None

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    command = self._commands.get(block=not self._draining)
                except queue.Empty:
                    assert self._capture is not None
                    if not self._capture.grab():
                        self._draining, self._lost = False, True
                    continue
                if command is None:
                    return
                command()
        finally:
            if self._capture is not None:
                self._capture.release()

    def _open(self, fourcc: str | None, size_px: tuple[int, int] | None) -> str:
        # Named, because for a path OpenCV asks its film readers first.
        is_device = isinstance(self._source, str) and self._source.startswith("/dev/")
        capture = self._capture = cv2.VideoCapture(self._source, cv2.CAP_V4L2 if is_device else cv2.CAP_ANY)
        if not capture.isOpened():
            raise DeviceNotFound(
                f"{self._name} cannot be opened: is it there, free, and may this user read it (group video)?"
            )
        # The format first: which sizes there are depends on it.
        if fourcc is not None:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*fourcc))
            if _fourcc(capture) != fourcc:
                raise SettingRefused(f"{self._name}: fourcc was set to {fourcc!r} and reads {_fourcc(capture)!r}")
        if size_px is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, size_px[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size_px[1])
            if _size_px(capture) != size_px:
                raise SettingRefused(
                    f"{self._name}: size was set to {size_px[0]}x{size_px[1]} px and reads "
                    f"{_size_px(capture)[0]}x{_size_px(capture)[1]} px"
                )
        self._draining = self._live
        width_px, height_px = _size_px(capture)
        return f"{width_px}x{height_px} px, {_fourcc(capture) or 'format unknown'}, by {capture.getBackendName()}"

    def _set(self, control: str, value: float) -> float:
        number = control_id(control)
        if number is None or self._capture is None:
            raise SettingRefused(f"{self._name}: OpenCV knows no control {control}")
        self._capture.set(number, value)
        reads = float(self._capture.get(number))
        if not math.isclose(reads, value, rel_tol=1e-3, abs_tol=1e-3):
            raise SettingRefused(f"{self._name}: {control} was set to {value:g} and reads {reads:g}")
        return reads

    def _take(self, stale_frames: int, not_before_s: float) -> npt.NDArray[np.generic]:
        assert self._capture is not None
        stale = 0
        while not self._stopping.is_set():
            if self._lost or not self._capture.grab():
                self._draining, self._lost = False, True
                break
            if stale < stale_frames or time.monotonic() < not_before_s:
                stale += 1
                continue
            done, frame = self._capture.retrieve()
            if not done or frame is None or frame.size == 0:
                raise CaptureFailed(f"{self._name} delivered a picture that cannot be decoded")
            self._taken += 1
            picture: npt.NDArray[np.generic] = frame
            return picture
        if self._live:
            raise ConnectionLost(f"{self._name} delivers no more pictures: unplugged, switched off or ended")
        raise ConnectionLost(f"{self._name} has ended after {self._taken} pictures")


def _fourcc(capture: cv2.VideoCapture) -> str:
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    return code.to_bytes(4, "little", signed=code < 0).decode("ascii", "replace").strip("\0 ")


def _size_px(capture: cv2.VideoCapture) -> tuple[int, int]:
    return int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
