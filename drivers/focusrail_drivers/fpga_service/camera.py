"""The service's answers about the MIPI camera. One client has it at a time.

Waiting for a frame keeps nobody from the FPGA: each look at the camera is a job of its own, in the queue with others'.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.base import (
    AcceleratorLost,
    CaptureFailed,
    ConnectionLost,
    DeviceInUse,
    DeviceNotFound,
    ProtocolError,
)
from focusrail_drivers.fpga_service.fpga import Device
from focusrail_drivers.fpga_service.messages import CloseCamera, Expose, Fetch, OpenCamera, SetCamera
from focusrail_drivers.fpga_service.session import WORKING_EVERY_S, Handlers, Session
from focusrail_drivers.kv260_mipi.modes import mode_of
from focusrail_drivers.kv260_mipi.stream import LOOK_EVERY_S, Capture, MipiStream

T = TypeVar("T")


class CameraDesk:
    """Who has the camera, and what it is doing. The stream and its captures are the FPGA's thread's alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: Session | None = None
        self._wanted: OpenCamera | None = None
        self._settings: dict[str, str] = {}
        self._stream: MipiStream | None = None
        self._capture: Capture | None = None
        self._numbers = itertools.count(1)
        self._number = 0

    @property
    def handlers(self) -> Handlers:
        """For the service."""
        return {
            OpenCamera: self._open,
            SetCamera: self._set,
            Expose: self._expose,
            Fetch: self._fetch,
            CloseCamera: self._close,
        }

    # --- in a session's thread ----------------------------------------------------------------------------------------

    def _open(self, session: Session, request: OpenCamera) -> Mapping[str, object]:
        """Raises DeviceInUse, DeviceNotFound, SettingRefused, DriverError."""
        with self._lock:
            if self._holder not in {None, session}:
                assert self._holder is not None
                raise DeviceInUse(f"the camera is used by {self._holder.peer}")
            if self._holder is None:
                session.at_end.callback(self._release, session)
            self._holder, self._wanted, self._settings = session, request, {}
        session.wait(session.fpga.ready())
        return {"camera": session.wait(session.fpga.do(self._set_up))}

    def _set(self, session: Session, request: SetCamera) -> Mapping[str, object]:
        """Raises SettingRefused, ConnectionLost."""
        self._check_holder(session)
        changed = self._do(session, lambda device: dict(self._streaming(device).write(request.settings)))
        self._settings.update(request.settings)
        return {"settings": changed}

    def _expose(self, session: Session, request: Expose) -> Mapping[str, object]:
        """Raises DeviceTimeout, CaptureFailed, ConnectionLost."""
        self._check_holder(session)
        number = self._do(session, lambda device: self._begin(device, request.timeout_ms / 1000))
        self._look_until(session, number, lambda capture: capture.ended)
        return {"capture": number}

    def _fetch(self, session: Session, request: Fetch) -> Mapping[str, object]:
        """Raises CaptureFailed, ProtocolError if the memory is too small."""
        self._check_holder(session)
        self._look_until(session, request.capture, Capture.step)
        memory = session.memory
        assert self._wanted is not None
        shape = mode_of(self._wanted.mode).shape
        if memory.size_bytes < np.prod(shape):
            raise ProtocolError(f"a picture takes {np.prod(shape)} bytes, and {memory.size_bytes} are shared")
        place = memory.view(0, shape, np.uint8)

        def copy(device: Device) -> None:
            place[...] = self._current(device, request.capture).frame()

        self._do(session, copy)
        return {}

    def _close(self, session: Session, _request: CloseCamera) -> Mapping[str, object]:
        if self._holder is session:
            self._release(session)
        return {}

    def _release(self, session: Session) -> None:
        """Whoever had the camera has it no more; it is brought to rest when the FPGA gets to it."""
        with self._lock:
            if self._holder is session:
                session.fpga.do(self._tear_down)  # in the queue before the next holder's first job
                self._holder = None

    def _check_holder(self, session: Session) -> None:
        if self._holder is not session:
            raise ConnectionLost("the camera was not opened by this client")

    def _do(self, session: Session, job: Callable[[Device], T]) -> T:
        """As Session.wait; when the overlay is given up, the picture is lost, but the next one may come."""
        try:
            return session.wait(session.fpga.do(job))
        except AcceleratorLost:
            pass
        try:
            session.wait(session.fpga.ready())  # as opening does: at most every some seconds
            return session.wait(session.fpga.do(job))
        except AcceleratorLost as error:
            raise CaptureFailed(f"the overlay that the camera hangs on is lost: {error}") from error

    def _look_until(self, session: Session, number: int, done: Callable[[Capture], bool]) -> None:
        def look(device: Device) -> bool:
            capture = self._current(device, number)
            capture.step()
            return done(capture)

        told_s = time.monotonic()
        while not self._do(session, look):
            time.sleep(LOOK_EVERY_S)
            if time.monotonic() - told_s > WORKING_EVERY_S:
                session.tell_working()
                told_s = time.monotonic()

    # --- in the FPGA's thread -----------------------------------------------------------------------------------------

    def _set_up(self, device: Device) -> str:
        if not isinstance(device, Kv260Accelerator):
            raise DeviceNotFound(f"no camera hangs on {type(device).__name__}")
        wanted = self._wanted
        assert wanted is not None
        self._tear_down(device)
        self._stream = MipiStream(device.board, mode_of(wanted.mode), stale_frames=wanted.stale_frames)
        line = self._stream.open()
        self._stream.write(self._settings)
        return line

    def _tear_down(self, device: Device) -> None:
        stream, self._stream, self._capture = self._stream, None, None
        # An overlay that was given up, or opened anew, has been brought to rest already.
        if stream is not None and _is_on(device, stream):
            stream.close()

    def _streaming(self, device: Device) -> MipiStream:
        """The stream, on the overlay as it is open now."""
        if self._stream is None or not _is_on(device, self._stream):
            self._set_up(device)
        assert self._stream is not None
        return self._stream

    def _begin(self, device: Device, timeout_s: float) -> int:
        try:
            stream = self._streaming(device)
            self._capture = None
            self._capture = stream.begin(timeout_s)
        except DeviceNotFound as error:
            raise ConnectionLost(str(error)) from error
        self._number = next(self._numbers)
        return self._number

    def _current(self, device: Device, number: int) -> Capture:
        there = self._stream is not None and _is_on(device, self._stream)
        if self._capture is None or number != self._number or not there:
            raise CaptureFailed(f"capture {number} is not there any more: the overlay or the camera was opened anew")
        return self._capture


def _is_on(device: Device, stream: MipiStream) -> bool:
    """Whether the stream is one of the overlay as it is open now."""
    return isinstance(device, Kv260Accelerator) and device.is_open and device.board is stream.board
