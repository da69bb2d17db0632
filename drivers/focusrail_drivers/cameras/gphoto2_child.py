"""The camera end of `gphoto2`: a helper process, `python -m focusrail_drivers.cameras.gphoto2_child`.

Only here is libgphoto2 loaded.

One camera, one thread. Every wait is bounded by the wall clock, never by a number of events or by the timeout given to
libgphoto2: some cameras block longer than asked, and the virtual one returns at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

import gphoto2 as gp

from focusrail_drivers.base import (
    CameraStorageFull,
    CaptureFailed,
    ConnectionLost,
    DeviceNotFound,
    DriverError,
    SettingRefused,
)
from focusrail_drivers.cameras.gphoto2_errors import CAMERA_BUSY, TIMEOUT, UNSPECIFIED, Phase, driver_error
from focusrail_drivers.cameras.gphoto2_preview import LiveView
from focusrail_drivers.cameras.gphoto2_widgets import choices, same, text, typed
from focusrail_drivers.transport.isolated_child import serve

File = tuple[str, str]  # folder and name on the camera

POLL_S = 0.05
KEEP_AWAKE_S = 5.0  # cameras go to sleep unless spoken to; Canon's tether times out first
BUSY_WAIT_S = 2.0  # between tries
STALE_DRAIN_S = 2.0
MIRROR_S = 1.0  # after live view, until nothing shakes any more
TRIES = {CAMERA_BUSY: 3, UNSPECIFIED: 2, TIMEOUT: 2}  # in all, after draining; other errors are not tried again
STORE_FULL_EVENT = "400a"  # PTP StoreFull: libgphoto2 passes it on as text, and no file follows


class Session:
    """One camera, from `open` to `close`, and what it has told us of its files."""

    def __init__(self) -> None:
        self._camera: Any = None
        self._in_ram = False  # files are kept in the camera's memory only, and must be fetched and deleted
        self._announced: list[File] = []  # by events since the shutter was last released
        self._deleted: set[File] = set()  # of those
        self._previous: frozenset[File] = frozenset()  # announced for the frame before this one
        self._complete = False
        self._store_full = False
        self._live_view = LiveView()

    def find(self) -> list[File]:
        """(model, port) of every camera on the bus."""
        with _reported("looking for cameras", phase="opening"):
            cameras = gp.Camera.autodetect()
            return [(cameras.get_name(i), cameras.get_value(i)) for i in range(cameras.count())]

    def open(self, model: str | None, serial: str | None, port: str | None) -> dict[str, str]:
        """Take the one camera that matches. `model` may be a part of its name, in any case."""
        self.close()
        present = self.find()
        fitting = [
            (name, at) for name, at in present
            if (port is None or at == port) and (model is None or model.casefold() in name.casefold())
        ]  # fmt: skip
        if len(fitting) > 1 and serial is None:
            raise DeviceNotFound(f"more than one camera fits: {_listed(fitting)}; choose one by serial, model or port")
        others: list[str] = []
        for name, at in fitting:
            try:
                camera = self._initialised(name, at)
                found = {"model": name, "port": at, "serial": self._peek(camera, "serialnumber").strip()}
                if serial is None or found["serial"] == serial:
                    self._camera = camera
                    self._note_target()
                    return {**found, "battery": self._peek(camera, "batterylevel")}
                others.append(f"{name} has {found['serial']!r}")
                with _reported(f"closing {name}"):
                    camera.exit()
            except DriverError as error:
                if len(fitting) == 1:
                    raise
                others.append(str(error))  # the one that is wanted may still come
        if others:
            raise DeviceNotFound(f"no camera with serial {serial!r}: {'; '.join(others)}")
        wanted = " ".join(f"{key} {value!r}" for key, value in (("model", model), ("port", port)) if value)
        raise DeviceNotFound(
            f"no camera{' with ' + wanted if wanted else ''} on USB; connected: {_listed(present) or 'none'}; "
            "switch it on, and its USB mode to PTP or PC remote"
        )

    def close(self) -> None:
        """Let go of the camera."""
        camera, self._camera, self._live_view = self._camera, None, LiveView()
        self._announced, self._deleted, self._previous = [], set(), frozenset()
        if camera is not None:
            with _reported("closing the camera"):
                camera.exit()

    def read(self, names: list[str]) -> dict[str, str]:
        """The values of those of the named settings that this camera has."""
        values = {name: self._peek(self._require(), name) for name in names}
        return {name: value for name, value in values.items() if value}

    def write(self, name: str, value: str, settle_s: float) -> str:
        """Set a widget and return what is read back; some cameras take seconds until it shows.

        A value that is not a choice is refused here, because libgphoto2 and cameras ignore it without a word.
        """
        camera = self._require()
        with _reported(f"setting {name} to {value!r}", phase="setting"):
            widget = self._patiently(camera.get_single_config, name)
            if same(widget, value):
                return text(widget)
            if widget.get_readonly():
                raise SettingRefused(
                    f"{name} is {text(widget)!r} and cannot be set over USB in this mode; set it at the camera"
                )
            allowed = choices(widget)
            if allowed and value not in allowed:
                raise SettingRefused(f"{name} has no choice {value!r}; there are: {', '.join(allowed)}")
            try:
                widget.set_value(typed(widget, value))
            except (TypeError, ValueError) as error:
                raise SettingRefused(f"{name} cannot be {value!r}: {error}") from error
            self._patiently(camera.set_single_config, name, widget)
            deadline = time.monotonic() + settle_s
            while not same(widget := self._patiently(camera.get_single_config, name), value):
                if time.monotonic() >= deadline:
                    raise SettingRefused(f"{name} was set to {value!r} and reads {text(widget)!r} after {settle_s:g} s")
                self._poll(POLL_S)
        if name == "capturetarget":
            self._note_target()
        return text(widget)

    def expose(self, fire: bool, timeout_s: float, quiet_s: float) -> File:
        """Release the shutter, or with `fire` False wait for somebody to; return the first file announced.

        A file is announced after its exposure has ended. CAPTURE_COMPLETE is no such proof: one that comes late belongs
        to the frame before.
        """
        camera = self._require()
        if self._live_view.end(camera):
            time.sleep(MIRROR_S)
        deadline = time.monotonic() + timeout_s
        with _reported("releasing the shutter"):
            self._give_up_stale()
            self._complete = False
            was_full, self._store_full = self._store_full, False
            if fire:
                try:
                    self._patiently(camera.trigger_capture, between=self._give_up_stale)
                except gp.GPhoto2Error as error:
                    if was_full and error.code == UNSPECIFIED:
                        self._store_full = True
                        raise _full() from error
                    raise
            full_since: float | None = None
            while time.monotonic() < deadline:
                self._poll(POLL_S)
                if files := self._of_this_frame():
                    return files[0]
                if self._store_full:  # it may have become full with this very picture
                    full_since = full_since or time.monotonic()
                    if time.monotonic() - full_since >= quiet_s:
                        raise _full()
        raise CaptureFailed(
            f"the camera announced no picture within {timeout_s:g} s"
            + (
                "; is it focusing, without a card, or is the exposure longer?"
                if fire
                else "; nobody released the shutter"
            )
        )

    def collect(self, expected: int, timeout_s: float, quiet_s: float) -> list[File]:
        """All files of this frame: at least `expected`, and then until the camera says it is done or is quiet."""
        self._require()
        now = time.monotonic()
        deadline, last_file = now + timeout_s, now
        files = self._of_this_frame()
        with _reported("waiting for the frame's files"):
            while len(files) < expected or not (self._complete or time.monotonic() - last_file >= quiet_s):
                if time.monotonic() >= deadline:
                    if len(files) >= expected:
                        break
                    raise CaptureFailed(
                        f"{len(files)} of {expected} files within {timeout_s:g} s; do the camera's image quality and "
                        "files_per_frame agree?"
                    )
                before = len(files)
                self._poll(POLL_S)
                files = self._of_this_frame()
                if len(files) > before:
                    last_file = time.monotonic()
        return files

    def siblings(self, folder: str, name: str) -> list[File]:
        """The files of a frame of which one is known, from the card: for when the announcements were lost."""
        with _reported(f"listing {folder}", phase="fetching"):
            listed = self._patiently(self._require().folder_list_files, folder)
            names = [listed.get_name(i) for i in range(listed.count())]
        return [(folder, other) for other in names if PurePosixPath(other).stem == PurePosixPath(name).stem]

    def download(self, folder: str, name: str) -> bytes:
        """The file as the camera has it. Leaves it there."""
        with _reported(f"fetching {folder}/{name}", phase="fetching"):
            file = self._patiently(self._require().file_get, folder, name, gp.GP_FILE_TYPE_NORMAL)
            return bytes(memoryview(file.get_data_and_size()))  # a copy: the buffer goes with `file`

    def delete(self, folder: str, name: str) -> None:
        """Remove a file from the camera."""
        with _reported(f"deleting {folder}/{name}", phase="fetching"):
            self._patiently(self._require().file_delete, folder, name)
        self._deleted.add((folder, name))

    def preview(self) -> bytes:
        """What live view shows, a JPEG; it is on from then on, until the next exposure or until nobody asks."""
        return self._live_view.picture(self._require())

    def in_ram(self) -> bool:
        """Whether the camera keeps new pictures in its memory, where they must not stay."""
        return self._in_ram

    def keep_awake(self) -> None:
        """A word to the camera while nobody wants anything of it."""
        if self._camera is not None:
            self._live_view.end(self._camera)  # nobody looks any more, and it drains the battery and warms the sensor
            try:
                self._poll(0.01)
            except gp.GPhoto2Error:
                time.sleep(1.0)  # whoever calls next meets the same error, and can act on it

    def _note_target(self) -> None:
        """Learn where the camera puts its pictures; a camera that does not say has a card."""
        target = self._peek(self._camera, "capturetarget").lower()
        self._in_ram = "ram" in target and "card" not in target

    def _require(self) -> Any:
        if self._camera is None:
            raise ConnectionLost("the camera is not open in this process")
        return self._camera

    def _initialised(self, model: str, port: str) -> Any:
        with _reported(f"opening {model} at {port}", phase="opening"):
            ports = gp.PortInfoList()
            ports.load()
            camera = gp.Camera()
            camera.set_port_info(ports[ports.lookup_path(port)])
            camera.init()
            return camera

    @staticmethod
    def _peek(camera: Any, name: str) -> str:
        """A setting's value, empty where the camera has none such."""
        with _reported(f"reading {name}"):
            try:
                return text(camera.get_single_config(name))
            except gp.GPhoto2Error as error:
                if error.code in (gp.GP_ERROR_BAD_PARAMETERS, gp.GP_ERROR_NOT_SUPPORTED, UNSPECIFIED):
                    return ""
                raise

    def _patiently(self, function: Callable[..., Any], *args: Any, between: Callable[[], None] | None = None) -> Any:
        """Call a function of the camera; where it was only busy, let it empty its event queue and try again."""
        tries = 1
        while True:
            try:
                return function(*args)
            except gp.GPhoto2Error as error:
                code = error.code
                # A release that timed out may have come through after all, and two exposures must not overlap.
                if tries >= TRIES.get(code, 1) or (code == TIMEOUT and between is not None):
                    raise
            tries += 1
            # A busy camera needs its events taken and time; for the others an empty queue is enough.
            deadline = time.monotonic() + BUSY_WAIT_S
            while (self._poll(POLL_S) or code == CAMERA_BUSY) and time.monotonic() < deadline:
                pass
            if between is not None:
                between()

    def _poll(self, timeout_s: float) -> bool:
        """Take one event from the camera; return False if there was none for about `timeout_s`."""
        began = time.monotonic()
        kind, data = self._camera.wait_for_event(int(timeout_s * 1000))
        if kind == gp.GP_EVENT_TIMEOUT:
            # Some drivers return at once: do not spin, but do not oversleep a file either.
            time.sleep(max(0.0, min(timeout_s, 0.02) - (time.monotonic() - began)))
            return False
        if kind == gp.GP_EVENT_FILE_ADDED:
            self._announced.append((data.folder, data.name))
            self._store_full = False
        elif kind == gp.GP_EVENT_CAPTURE_COMPLETE:
            self._complete = True
        elif kind == gp.GP_EVENT_UNKNOWN and STORE_FULL_EVENT in str(data).lower().split(",")[0]:
            self._store_full = True
        return True

    def _give_up_stale(self) -> None:
        """Forget what the camera announced before this exposure, lest it be taken for its picture.

        Pictures on the card stay there: somebody may have made them by hand. From the memory they must go, or it fills
        and the camera stops (after 12 pictures, typically).
        """
        deadline = time.monotonic() + STALE_DRAIN_S
        while self._poll(0.01) and time.monotonic() < deadline:
            pass
        self._previous = frozenset(self._announced) or self._previous
        if self._in_ram:
            for file in set(self._announced) - self._deleted:
                try:
                    self._camera.file_delete(*file)
                except gp.GPhoto2Error as error:
                    if error.code != gp.GP_ERROR_FILE_NOT_FOUND:
                        raise
        self._announced.clear()
        self._deleted.clear()

    def _of_this_frame(self) -> list[File]:
        """The files announced since the shutter was released, but no late companion of the frame before.

        A companion has the same stem and another extension. A name that came before is a new picture: in memory,
        Canon calls every one capt0000.jpg.
        """
        return [
            (folder, name) for folder, name in dict.fromkeys(self._announced)
            if (folder, name) in self._previous
            or not any(f == folder and PurePosixPath(n).stem == PurePosixPath(name).stem for f, n in self._previous)
        ]  # fmt: skip


@contextmanager
def _reported(doing: str, *, phase: Phase = "shooting") -> Iterator[None]:
    """Turn libgphoto2's errors into ours."""
    try:
        yield
    except gp.GPhoto2Error as error:
        raise driver_error(error.code, error.string, doing, phase=phase) from error


def _full() -> CameraStorageFull:
    return CameraStorageFull("the camera's card is full: put in an empty one, or delete pictures, then go on")


def _listed(cameras: list[File]) -> str:
    return ", ".join(f"{model} at {port}" for model, port in cameras)


def main() -> None:
    """Answer the parent's calls."""
    session = Session()
    try:
        serve(
            {
                "find": session.find,
                "open": session.open,
                "close": session.close,
                "read": session.read,
                "write": session.write,
                "in_ram": session.in_ram,
                "expose": session.expose,
                "collect": session.collect,
                "siblings": session.siblings,
                "download": session.download,
                "preview": session.preview,
                "delete": session.delete,
            },
            idle=session.keep_awake,
            idle_s=KEEP_AWAKE_S,
        )
    finally:
        session.close()


if __name__ == "__main__":
    main()
