"""Cameras on USB, by libgphoto2: reflex and mirrorless cameras of Canon, Nikon, Sony, Fujifilm and others.

The library runs in a helper process (`gphoto2_child`), because it can hang in a USB call. A camera that goes away or
falls asleep is looked for again by its serial number (its bus address changes), gets its settings back, and the frame
is made again.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, ClassVar, Literal, TypeVar

from focusrail_drivers.base import (
    CaptureFailed,
    ConnectionLost,
    DeviceTimeout,
    DriverError,
    Exposure,
    Photograph,
    Rail,
    SettingRefused,
)
from focusrail_drivers.cameras.found import FoundCamera
from focusrail_drivers.cameras.picture_files import check_whole, media_type, stackable_first
from focusrail_drivers.clock import Clock
from focusrail_drivers.transport.isolated import Isolated, Reply

log = logging.getLogger(__name__)

T = TypeVar("T")

CHILD = (sys.executable, "-X", "faulthandler", "-m", "focusrail_drivers.cameras.gphoto2_child")
OPEN_S = 40.0  # a body with thousands of pictures on its card takes its time
SETTING_S = 25.0
SETTING_SHOWS_S = 3.0  # until a written setting is read back; some bodies take seconds
CLOSE_S = 10.0
PREVIEW_S = 5.0  # the first one has to raise the mirror
SLACK_S = 2.0  # the helper's own deadline passes first, and its message says more
RECONNECT_AFTER_S = 2.0  # a body needs that to come back onto the bus
EXPOSURE_SETTINGS = ("shutterspeed", "shutterspeed2", "f-number", "aperture", "iso", "whitebalance")


@dataclass(frozen=True, slots=True)
class _Announced:
    """A picture that is still on the camera, and in which session it was announced."""

    folder: str
    name: str
    session: int


class Gphoto2Camera:
    """A camera that libgphoto2 knows. Implements `Camera` and `Previews`.

    Every frame must be delivered before the next is exposed.
    """

    @dataclass(frozen=True, slots=True)
    class Options:
        """Which camera, how it is set, and how long it may take."""

        __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

        model: str | None = None  # a part of its name as `focusrail camera find` shows it
        serial: str | None = None
        port: str | None = None  # usb:001,004: changes whenever the camera is plugged in
        settings: Mapping[str, str | int | float] = field(default_factory=dict)  # by libgphoto2's names, in order
        capture_target: str | None = None  # Internal RAM, Memory card, ...; None: as the camera is set
        trigger: Literal["usb", "external"] = "usb"  # external: a relay or a hand releases, we wait for the picture
        files_per_frame: int = 1  # 2 for RAW + JPEG
        keep_on_card: bool = False  # pictures in the camera's memory are always deleted once fetched
        capture_s: float = 30.0  # from the release until the picture is announced: the exposure and 10 s at least
        quiet_s: float = 0.7  # so long without another file, and the frame is complete
        download_s: float = 60.0  # a file
        reconnects: int = 3  # a frame

        def __post_init__(self) -> None:
            for name in ("capture_s", "quiet_s", "download_s"):
                if not 0 < getattr(self, name) < math.inf:
                    raise ValueError(f"{name}: {getattr(self, name)} is not a positive number of seconds")
            if self.trigger not in ("usb", "external"):
                raise ValueError(f"trigger: {self.trigger!r} is neither usb nor external")
            if not 1 <= self.files_per_frame <= 4:
                raise ValueError(f"files_per_frame: {self.files_per_frame} is not within 1 to 4")
            if not 0 <= self.reconnects <= 20:
                raise ValueError(f"reconnects: {self.reconnects} is not within 0 to 20")
            if "capturetarget" in self.settings:
                raise ValueError("settings: capturetarget has an option of its own, capture_target")

    def __init__(self, options: Options, clock: Clock, rail: Rail | None = None) -> None:
        """Touches no hardware. `rail` is not used: a real camera sees where it is."""
        self._options = options
        self._clock = clock
        self._child = Isolated(CHILD, name="gphoto2")
        self._settings = {name: _plain(value) for name, value in options.settings.items()}
        if options.capture_target is not None:
            # First, because some settings exist for one target only.
            self._settings = {"capturetarget": options.capture_target, **self._settings}
        self._wanted: dict[str, str | None] = {"model": options.model, "serial": options.serial, "port": options.port}
        self._name = "gphoto2 camera"
        self._known: dict[str, str] = {}  # exposure settings as read back
        self._in_ram = False
        self._session = 0  # counts connections; 0: never opened
        self._is_open = False
        self._suspect = False  # the connection may be broken: reconnect before anything else

    def open(self) -> str:
        """Connect and apply the settings; return model, serial number, port and battery.

        Raises DeviceNotFound, DeviceInUse, SettingRefused.
        """
        _require_library()
        self.close()
        try:
            found = self._connect()
        except DriverError:
            self.close()
            raise
        self._is_open, self._suspect = True, False
        # From now on it is this very camera, wherever on the bus it comes back.
        self._wanted = {"model": found["model"], "serial": found["serial"] or None, "port": None}
        self._name = f"{found['model']} (serial {found['serial'] or 'unknown'})"
        battery = f", battery {found['battery']}" if found["battery"] else ""
        return f"{found['model']}, serial {found['serial'] or 'unknown'}, at {found['port']}{battery}"

    def close(self) -> None:
        """Let go of the camera and end the helper process. Never raises; closing twice is fine."""
        self._is_open = False
        options = self._options
        self._wanted = {"model": options.model, "serial": options.serial, "port": options.port}
        self._end_helper()

    def configure(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Write settings by libgphoto2's names, in order; return them as read back.

        They are applied again after a reconnection. Raises SettingRefused, and then remembers none of them. With none
        to be written, those are read and returned that say how the next picture is made.
        """
        written = self._lastingly(lambda: {name: self._write(name, value) for name, value in settings.items()})
        self._settings.update(settings)
        self._lastingly(self._look)
        return written or dict(self._known)

    def expose(self, frame_index: int) -> Exposure:
        """Release the shutter, or wait until somebody does; return when the camera has announced the picture.

        Raises CaptureFailed (the next try begins with a reconnection), CameraStorageFull, DeviceTimeout (the library
        hung and was ended), ConnectionLost (after all reconnections).
        """
        options = self._options
        args = {"fire": options.trigger == "usb", "timeout_s": options.capture_s, "quiet_s": options.quiet_s}

        def release() -> Any:
            return self._child.call("expose", args, timeout_s=options.capture_s + SLACK_S).result

        folder, name = self._lastingly(release)
        return Exposure(frame_index, self._clock.utc(), _Announced(folder, name, self._session))

    def deliver(self, exposure: Exposure) -> tuple[Photograph, ...]:
        """Fetch the exposure's files, the one to be stacked first, check them, and only then delete them there.

        Raises CaptureFailed when a file is missing or cut off: the frame must be made again.
        """
        first = exposure.token
        if not isinstance(first, _Announced):
            raise TypeError(f"not an exposure of this camera: {exposure!r}")
        files = sorted(self._lastingly(lambda: self._files(first)), key=lambda file: stackable_first(file[1]))
        photographs = tuple(self._fetch(folder, name) for folder, name in files)
        if self._in_ram or not self._options.keep_on_card:
            for folder, name in files:
                self._delete(folder, name)
        return photographs

    def preview(self) -> Photograph:
        """What the camera's live view shows; it goes off before an exposure, and when nobody has asked for seconds.

        Tried once: whoever looks, looks again. Raises NotOffered, CaptureFailed, DeviceTimeout, ConnectionLost.
        """
        if not self._is_open:
            raise ConnectionLost(f"{self._name} is not open")
        if self._suspect:
            self._reconnect(None)
        try:
            data = self._child.call("preview", timeout_s=PREVIEW_S).payload
        except (ConnectionLost, DeviceTimeout):
            self._suspect = True
            raise
        return Photograph(data, "image/jpeg", dict(self._known))

    def _files(self, first: _Announced) -> list[tuple[str, str]]:
        expected = self._options.files_per_frame
        if first.session == self._session:
            args = {"expected": expected, "timeout_s": self._options.capture_s, "quiet_s": self._options.quiet_s}
            reply = self._child.call("collect", args, timeout_s=self._options.capture_s + SLACK_S)
        else:
            reply = self._child.call("siblings", {"folder": first.folder, "name": first.name}, timeout_s=OPEN_S)
        files = [(folder, name) for folder, name in reply.result]
        if len(files) < expected:
            raise CaptureFailed(
                f"{self._name} has {len(files)} of the {expected} files of {first.name} since it was reconnected; the "
                "frame must be made again"
            )
        return files

    def _fetch(self, folder: str, name: str) -> Photograph:
        def download() -> Reply:
            return self._child.call("download", {"folder": folder, "name": name}, timeout_s=self._options.download_s)

        data = self._lastingly(download).payload
        check_whole(name, data)
        return Photograph(data, media_type(name), dict(self._known))

    def _delete(self, folder: str, name: str) -> None:
        try:
            self._child.call("delete", {"folder": folder, "name": name}, timeout_s=self._options.download_s)
        except DriverError as error:
            # The picture is here and whole; a frame is not given up because of what is left behind.
            self._suspect = self._suspect or isinstance(error, (ConnectionLost, DeviceTimeout))
            log.warning("camera.file_not_deleted camera=%s file=%s/%s error=%s", self._name, folder, name, error)

    def _lastingly(self, action: Callable[[], T]) -> T:
        """Do `action`, over as many connections as are allowed."""
        if not self._is_open:
            raise ConnectionLost(f"{self._name} is not open")
        lost: DriverError | None = None
        reconnections = 0
        for attempt in range(1 + self._options.reconnects):
            if attempt > 0 or self._suspect:
                reconnections += 1
                try:
                    self._reconnect(lost)
                except SettingRefused:
                    raise  # it is back, and somebody has turned a dial
                except DriverError as error:
                    lost = error
                    continue
            try:
                return action()
            except ConnectionLost as error:
                lost = error
                self._suspect = True
            except (CaptureFailed, DeviceTimeout):
                self._suspect = True
                raise
        raise ConnectionLost(f"{self._name} is gone, also after {reconnections} reconnections: {lost}")

    def _reconnect(self, reason: DriverError | None) -> None:
        log.warning("camera.reconnecting camera=%s reason=%s", self._name, reason or "the last frame failed")
        self._suspect = True
        self._end_helper()  # a fresh library knows nothing of whatever state the old one was stuck in
        self._clock.wait(RECONNECT_AFTER_S)
        self._connect()
        self._suspect = False
        log.info("camera.reconnected camera=%s", self._name)

    def _end_helper(self) -> None:
        if self._child.pid is not None:
            with suppress(DriverError):
                self._child.call("close", timeout_s=CLOSE_S)
        self._child.close()

    def _connect(self) -> dict[str, str]:
        found: dict[str, str] = self._child.call("open", self._wanted, timeout_s=OPEN_S).result
        self._session += 1
        for name, value in self._settings.items():
            self._write(name, value)
        self._look()
        return found

    def _write(self, name: str, value: str) -> str:
        args = {"name": name, "value": value, "settle_s": SETTING_SHOWS_S}
        return str(self._child.call("write", args, timeout_s=SETTING_S).result)

    def _look(self) -> None:
        names = list(dict.fromkeys((*EXPOSURE_SETTINGS, *self._settings)))
        self._known = self._child.call("read", {"names": names}, timeout_s=SETTING_S).result
        self._in_ram = self._child.call("in_ram", timeout_s=SETTING_S).result


def find() -> list[FoundCamera]:
    """The cameras that libgphoto2 sees now. Opens none of them. Raises DriverError without the library."""
    _require_library()
    with closing(Isolated(CHILD, name="gphoto2")) as child:
        return [FoundCamera("gphoto2", model, port) for model, port in child.call("find", timeout_s=OPEN_S).result]


def _require_library() -> None:
    if find_spec("gphoto2") is None:
        raise DriverError("the Python package gphoto2 is not installed: pip install 'focusrail[gphoto2]'")


def _plain(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else str(int(value))  # YAML's `on` is a toggle's 1
