"""Live view: what the camera sees while no frame is made, for all who watch. Without viewers no picture is taken.

Only the newest picture is kept, so a slow viewer misses some and never sees an old one. All pictures are taken in the
camera's thread, where whoever needs the camera waits for the one in hand at most. The rail is not concerned.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

import structlog

from focusrail.capture.rig import Rig
from focusrail.errors import RigBusy
from focusrail_drivers.base import Camera, ConnectionLost, DeviceNotFound, DriverError, NotOffered, Photograph, Previews

_T = TypeVar("_T")
log = structlog.get_logger(__name__)
INTERVAL_S = 0.1  # from picture to picture at least


@dataclass(frozen=True, slots=True)
class Picture:
    """One of them; `number` grows by one from picture to picture."""

    number: int
    photograph: Photograph


class Viewer:
    """One who watches, from one event loop."""

    def __init__(self, seen: int) -> None:
        """`seen` is the number of the newest picture, which is an old one."""
        self._loop, self._happened = asyncio.get_running_loop(), asyncio.Event()
        self._seen, self._newest = seen, Picture(seen, Photograph(b"", "image/jpeg"))
        self._over = False
        self._error: DriverError | None = None

    async def next(self) -> Picture | None:
        """The newest picture that this viewer has not seen; None when it is over. Raises the DriverError that ended it.

        Pictures that came meanwhile are left out.
        """
        while self._newest.number == self._seen:
            if self._error is not None:
                raise self._error
            if self._over:
                return None
            self._happened.clear()
            await self._happened.wait()
        self._seen = self._newest.number
        return self._newest

    def show(self, picture: Picture) -> None:
        """There is a new one. From any thread."""
        self._in_loop(self._shown, picture)

    def end(self, error: DriverError | None) -> None:
        """There will be no more. From any thread."""
        self._in_loop(self._ended, error)

    def _shown(self, picture: Picture) -> None:
        self._newest = picture
        self._happened.set()

    def _ended(self, error: DriverError | None) -> None:
        self._over, self._error = True, error
        self._happened.set()

    def _in_loop(self, change: Callable[[_T], None], what: _T) -> None:
        with suppress(RuntimeError):  # that loop has ended
            self._loop.call_soon_threadsafe(change, what)


class LiveView:
    """Takes pictures while anybody watches, and while the camera is not needed for frames."""

    def __init__(self, rig: Callable[[], Rig | None], lost: Callable[[DriverError, Rig], None]) -> None:
        """`rig` tells the open rig; `lost` is told when its camera is gone, from a thread of our own."""
        self._rig, self._lost = rig, lost
        self._changed = threading.Condition()
        self._viewers: set[Viewer] = set()
        self._thread: threading.Thread | None = None
        self._number = 0
        self._aside = 0  # how many need the camera for themselves
        self._refusal = ""  # why nobody may watch

    @property
    def viewers(self) -> int:
        """How many watch."""
        return len(self._viewers)

    @contextmanager
    def watching(self) -> Iterator[Viewer]:
        """Watch, from an event loop. Raises RigBusy while the camera makes frames."""
        with self._changed:
            if self._refusal:
                raise RigBusy(self._refusal)
            viewer = Viewer(self._number)
            self._viewers.add(viewer)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="live view", daemon=True)
                self._thread.start()
        try:
            yield viewer
        finally:
            with self._changed:
                self._viewers.discard(viewer)
                self._changed.notify_all()

    @contextmanager
    def aside(self, refusal: str = "") -> Iterator[None]:
        """While the camera is somebody else's: no picture is begun, the one in hand ends by itself.

        With a `refusal` all who watch are done, and whoever wants to is refused with it. Else they wait.
        """
        with self._changed:
            self._aside += 1
            self._refusal = refusal or self._refusal
            if refusal:
                self._end(None)
        try:
            yield
        finally:
            with self._changed:
                self._aside -= 1
                if refusal:
                    self._refusal = ""
                self._changed.notify_all()

    def close(self) -> None:
        """Nobody watches any more, nor will."""
        with self._changed:
            self._refusal = "the service is about to end"
            self._end(None)

    def _end(self, error: DriverError | None) -> None:
        for viewer in self._viewers:
            viewer.end(error)
        self._viewers.clear()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            began_s = time.monotonic()
            with self._changed:
                self._changed.wait_for(lambda: not (self._viewers and self._aside))
                if not self._viewers:
                    self._thread = None
                    return
                rig = self._rig()
                coming = _begun(rig)
            try:
                photograph = coming.result()
            except DriverError as error:
                self._failed(error, rig)
            except Exception as error:
                log.exception("preview.broken")
                self._failed(DriverError(f"live view is broken: {error!r}"), None)
            else:
                self._show(photograph)
            with self._changed:
                left_s = began_s + INTERVAL_S - time.monotonic()
                self._changed.wait_for(lambda: not self._viewers, max(0.0, left_s))

    def _show(self, photograph: Photograph) -> None:
        with self._changed:
            self._number += 1
            for viewer in self._viewers:
                viewer.show(Picture(self._number, photograph))

    def _failed(self, error: DriverError, rig: Rig | None) -> None:
        log.warning("preview.failed", error=str(error))
        if rig is not None and isinstance(error, ConnectionLost | DeviceNotFound):
            self._lost(error, rig)
        with self._changed:
            self._end(error)


def _begun(rig: Rig | None) -> Future[Photograph]:
    """A preview under way in the camera's thread."""
    if rig is not None:
        with suppress(RuntimeError):  # that thread has ended: the rig is being let go of
            return rig.camera_thread.submit(_preview, rig.camera)
    nothing: Future[Photograph] = Future()
    nothing.set_exception(DeviceNotFound("the rig is not open"))
    return nothing


def _preview(camera: Camera) -> Photograph:
    if not isinstance(camera, Previews):
        raise NotOffered("this camera has no live view: take a test shot instead")
    return camera.preview()
