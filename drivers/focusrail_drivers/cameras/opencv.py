"""Whatever OpenCV opens: a V4L2 or USB microscope camera, a network stream, or a film for trying things out.

Such a source makes pictures all the time and queues them, so the next one to be read is old: it shows the rail where it
was. A thread takes pictures off the queue as they come, and an exposure is the first picture that is certainly younger.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from focusrail_drivers.base import (
    CaptureFailed,
    ConnectionLost,
    DeviceNotFound,
    DeviceTimeout,
    DriverError,
    Exposure,
    NotOffered,
    Photograph,
    Rail,
    SettingRefused,
)
from focusrail_drivers.cameras import lossless
from focusrail_drivers.cameras.found import FoundCamera
from focusrail_drivers.cameras.preview import jpeg
from focusrail_drivers.cameras.video_grabber import Grabber, control_id
from focusrail_drivers.clock import Clock

log = logging.getLogger(__name__)

QUEUE_FRAMES = 4  # buffers that OpenCV asks V4L2 for
PREVIEW_S = 2.0


class OpenCvCamera:
    """A video source of OpenCV. Implements `Camera` and `Previews`; it has no files, so frames are delivered as PNG."""

    @dataclass(frozen=True, slots=True)
    class Options:
        """The source, its picture, and when a picture is young enough."""

        __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

        source: int | str = 0  # index, /dev/v4l/by-id/..., URL, a film, or frames_%04d.png
        width_px: int | None = None
        height_px: int | None = None
        fourcc: str | None = None  # MJPG or YUYV: on USB 2 only MJPG is fast at full size
        # Pictures thrown away per exposure: those queued, and the one in the making. None: 5, for a film 0.
        stale_frames: int | None = None
        latency_s: float = 0.0  # a picture must also arrive this long after the exposure was asked for: network streams
        controls: Mapping[str, float] = field(default_factory=dict)  # CAP_PROP_ names, in order: auto_exposure: 1, ...
        warmup_frames: int = (
            5  # after opening, before automatic exposure and white balance stand still; a film has none
        )
        timeout_s: float = 10.0  # for opening, and for an exposure with its stale pictures

        def __post_init__(self) -> None:
            if isinstance(self.source, bool) or self.source == "" or (isinstance(self.source, int) and self.source < 0):
                raise ValueError(f"source: {self.source!r} is neither an index nor a path nor a URL")
            for name in ("width_px", "height_px"):
                value = getattr(self, name)
                if value is not None and value < 1:
                    raise ValueError(f"{name}: {value} is not positive")
            if (self.width_px is None) != (self.height_px is None):
                raise ValueError("width_px: give width_px and height_px together")
            if self.fourcc is not None and len(self.fourcc) != 4:
                raise ValueError(f"fourcc: {self.fourcc!r} has not four characters")
            for name in ("stale_frames", "warmup_frames"):
                value = getattr(self, name)
                if value is not None and not 0 <= value <= 1000:
                    raise ValueError(f"{name}: {value} is not within 0 to 1000")
            if not 0 < self.timeout_s < math.inf:
                raise ValueError(f"timeout_s: {self.timeout_s} is not a positive number of seconds")
            if not 0 <= self.latency_s < self.timeout_s:
                raise ValueError(f"latency_s: {self.latency_s} is not within 0 and timeout_s ({self.timeout_s})")
            for name in self.controls:
                if control_id(name) is None:
                    raise ValueError(f"controls: this OpenCV has no CAP_PROP_{name.upper()}")

    def __init__(self, options: Options, clock: Clock, rail: Rail | None = None) -> None:
        """Touches no hardware. `rail` is not used: a real camera sees where it is."""
        self._options = options
        self._clock = clock
        self._source = _source(options.source)
        self._live = True
        self._controls = dict(options.controls)
        self._known: dict[str, str] = {}
        self._grabber: Grabber | None = None
        self._is_open = False
        self._shape: tuple[int, ...] = ()  # of the first picture since `open`

    def open(self) -> str:
        """Connect, set size, format and controls; return source, size, format and backend.

        Raises DeviceNotFound, SettingRefused, DeviceTimeout.
        """
        self.close()
        self._live, self._shape = not _is_film(self._source), ()
        try:
            line = self._connect()
        except DriverError:
            self.close()
            raise
        self._is_open = True
        return line

    def close(self) -> None:
        """Let go of the source. Never raises; closing twice is fine. A hung read is left behind with its thread."""
        self._is_open = False
        self._drop()

    def configure(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Write controls by their CAP_PROP names; return them as read back. Raises SettingRefused.

        With none to be written, those are returned that have been.
        """
        values: dict[str, float] = {}
        for name, text in settings.items():
            try:
                values[name] = float(text)
            except ValueError:
                raise SettingRefused(f"{name}: {text!r} is not a number, as all controls of OpenCV are") from None
        grabber, timeout_s = self._require(), self._options.timeout_s
        written = {name: f"{grabber.set(name, value, timeout_s=timeout_s):g}" for name, value in values.items()}
        self._controls.update(values)
        self._known.update(written)
        return written or dict(self._known)

    def expose(self, frame_index: int) -> Exposure:
        """Take the first picture that was begun after this call.

        Raises ConnectionLost (after one attempt to open the source again; a film has ended), DeviceTimeout (the
        source hangs; it is opened afresh next time), CaptureFailed.
        """
        try:
            frame = self._take(self._require())
        except ConnectionLost as lost:
            if not (self._live and self._is_open):
                raise
            log.warning("camera.reconnecting camera=%s reason=%s", self._name, lost)
            try:
                self._connect()
                frame = self._take(self._require())
            except (DeviceNotFound, DeviceTimeout, ConnectionLost) as error:
                self._drop()
                raise ConnectionLost(f"{lost}; opening it again failed: {error}; check cable and power") from error
            log.info("camera.reconnected camera=%s", self._name)
        return Exposure(frame_index, self._clock.utc(), frame)

    def deliver(self, exposure: Exposure) -> tuple[Photograph, ...]:
        """The exposure's picture as PNG, lossless. Raises CaptureFailed."""
        frame = exposure.token
        if not isinstance(frame, np.ndarray):
            raise TypeError(f"not an exposure of this camera: {exposure!r}")
        return (Photograph(lossless.png(frame, self._name), "image/png", dict(self._known)),)

    def preview(self) -> Photograph:
        """The newest picture of the video, 1280 px wide at most. Raises NotOffered of a film, and as `expose` does."""
        grabber = self._require()
        if not self._live:
            raise NotOffered(f"{self._name} is a film: to look through it would use up its pictures")
        try:
            frame = grabber.take(stale_frames=0, timeout_s=PREVIEW_S)
        except (DeviceTimeout, ConnectionLost):
            self._drop()
            raise
        return Photograph(jpeg(frame, self._name), "image/jpeg", dict(self._known))

    @property
    def _name(self) -> str:
        return f"opencv camera {redacted(self._source)}"

    def _require(self) -> Grabber:
        if not self._is_open:
            raise ConnectionLost(f"{self._name} is not open")
        if self._grabber is None:  # dropped, because it hung or was lost
            try:
                self._connect()
            except DeviceNotFound as error:
                raise ConnectionLost(str(error)) from error
        assert self._grabber is not None
        return self._grabber

    def _connect(self) -> str:
        self._drop()
        options = self._options
        timeout_s = options.timeout_s
        size_px = None
        if options.width_px is not None and options.height_px is not None:
            size_px = (options.width_px, options.height_px)
        grabber = self._grabber = Grabber(self._source, name=self._name, live=self._live)
        try:
            found = grabber.open(fourcc=options.fourcc, size_px=size_px, timeout_s=timeout_s)
            known = {
                name: f"{grabber.set(name, value, timeout_s=timeout_s):g}" for name, value in self._controls.items()
            }
            if self._live:
                grabber.take(stale_frames=options.warmup_frames, timeout_s=timeout_s)
        except DriverError:
            self._drop()
            raise
        self._known = known
        return f"{self._name}, {found}"

    def _take(self, grabber: Grabber) -> npt.NDArray[np.generic]:
        options = self._options
        stale_frames = options.stale_frames
        if stale_frames is None:
            stale_frames = QUEUE_FRAMES + 1 if self._live else 0
        try:
            frame = grabber.take(stale_frames=stale_frames, latency_s=options.latency_s, timeout_s=options.timeout_s)
        except DeviceTimeout:
            self._drop()
            raise
        if self._shape and frame.shape != self._shape:
            raise CaptureFailed(f"{self._name}: pictures were {self._shape}, now {frame.shape}; was its size changed?")
        self._shape = frame.shape
        return frame

    def _drop(self) -> None:
        grabber, self._grabber = self._grabber, None
        if grabber is not None:
            grabber.close()


def find() -> list[FoundCamera]:
    """The V4L2 cameras of this machine, by a path that survives plugging in again. Opens none of them."""
    lasting = {path.resolve(): path for path in sorted(Path("/dev/v4l/by-id").glob("*"))}
    found = []
    for node in sorted(Path("/sys/class/video4linux").glob("video*")):
        try:
            if (node / "index").read_text().strip() != "0":
                continue  # a camera's further nodes carry metadata, no pictures
            model = (node / "name").read_text().strip()
        except OSError:
            continue  # unplugged in this moment
        device = Path("/dev") / node.name
        found.append(FoundCamera("opencv", model, str(lasting.get(device, device))))
    return found


def redacted(source: int | str) -> str:
    """The source without the passwords that URLs of network cameras carry."""
    text = str(source)
    return re.sub(r"\?.*", "?...", re.sub(r"//[^/@]*@", "//...@", text)) if "://" in text else text


def _source(source: int | str) -> int | str:
    return int(source) if isinstance(source, str) and source.isdecimal() else source


def _is_film(source: int | str) -> bool:
    """Whether pictures wait to be read, instead of being made all the time."""
    return isinstance(source, str) and "://" not in source and ("%" in source or Path(source).is_file())
