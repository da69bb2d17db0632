"""The MIPI camera of a KV260 as a camera of a rig: `camera: {driver: kv260_mipi}`. Experimental (docs/kv260_mipi.md).

The service that owns the FPGA takes the pictures, and lays them into memory that it shares with this process.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from contextlib import suppress
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
    Photograph,
    Rail,
)
from focusrail_drivers.cameras import lossless
from focusrail_drivers.cameras.preview import jpeg
from focusrail_drivers.clock import Clock
from focusrail_drivers.fpga_service.client import Connection, HelperLost, NotServing
from focusrail_drivers.fpga_service.messages import CloseCamera, Expose, Fetch, OpenCamera, SetCamera, Share
from focusrail_drivers.fpga_service.shared_memory import SharedMemory
from focusrail_drivers.kv260_mipi.modes import MAX_STALE_FRAMES, STALE_FRAMES, ModeName, PlaneOrder, mode_of

log = logging.getLogger(__name__)
_NAME = "the KV260's MIPI camera"
_RETRY_S = 0.2
_SET_UP_S = 60.0  # seconds, with a sensor that answers
_BEYOND_S = 30.0  # what mending before an exposure, and a picture being measured, may add


class Kv260MipiCamera:
    """A Pcam 5C on J9. Implements `Camera` and `Previews`; it has no files, so frames are delivered as PNG."""

    @dataclass(frozen=True, slots=True)
    class Options:
        """Where the service is, and what the camera is set to."""

        __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

        mode: ModeName = "1280x720@60"  # the one that pynq itself uses
        settings: Mapping[str, str] = field(default_factory=dict)  # awb, gamma, wb_gains: with pynq 4 only
        plane_order: PlaneOrder = "bgr"  # of a pixel's bytes in memory; if red is blue, the other one
        stale_frames: int = STALE_FRAMES  # passed over for each exposure; never fewer than this
        timeout_s: float = 5.0  # for an exposure with its stale frames
        socket: Path = Path("/run/focusrail-fpga/socket")
        patience_s: float = 30.0  # for a service that was killed and is started again

        def __post_init__(self) -> None:
            mode_of(self.mode)
            if self.plane_order not in {"bgr", "rgb"}:
                raise ValueError(f"plane_order: {self.plane_order!r} is neither bgr nor rgb")
            if not STALE_FRAMES <= self.stale_frames <= MAX_STALE_FRAMES:
                raise ValueError(
                    f"stale_frames: {self.stale_frames} is not within {STALE_FRAMES} and {MAX_STALE_FRAMES}"
                )
            for name in ("timeout_s", "patience_s"):
                if not 0 < getattr(self, name) < math.inf:
                    raise ValueError(f"{name}: {getattr(self, name)} is not a positive number of seconds")

    def __init__(self, options: Options, clock: Clock, rail: Rail | None = None) -> None:
        """Touches no hardware. The service lives in the world's time; `clock` only dates exposures."""
        self._options, self._clock = options, clock
        self._mode = mode_of(options.mode)
        self._settings = dict(options.settings)
        self._known: dict[str, str] = {}
        self._connection: Connection | None = None
        self._memory: SharedMemory | None = None
        self._is_open = False

    def open(self) -> str:
        """Set the camera up; a line that names it. Raises DeviceNotFound, DeviceInUse, SettingRefused, DriverError."""
        self.close()
        self._settings = dict(self._options.settings)
        line = self._connect(waited_for=(NotServing,))
        self._is_open = True
        return line

    def close(self) -> None:
        """Let go of the camera. Never raises; closing twice is fine."""
        self._is_open = False
        if self._connection is not None:
            with suppress(DriverError):
                self._connection.call(CloseCamera(), limit_s=_BEYOND_S)
        self._disconnect()

    def configure(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Write settings by pynq's names; return them as read back. Raises SettingRefused, ConnectionLost.

        With none to be written, those are returned that have been.
        """
        changed = self._write(self._required(), settings)
        self._settings.update(settings)
        return changed or dict(self._known)

    def expose(self, frame_index: int) -> Exposure:
        """Take a picture that was exposed wholly after this call; return when the exposure has ended.

        Raises DeviceTimeout, CaptureFailed (when the service was killed: it is waited for with the next attempt),
        ConnectionLost.
        """
        connection = self._required()
        milliseconds = max(1, round(1000 * self._options.timeout_s))
        try:
            answer = connection.call(Expose(milliseconds), limit_s=self._options.timeout_s + _BEYOND_S)
        except HelperLost as error:
            self._disconnect()
            raise CaptureFailed(f"{_NAME}: the exposure was lost, and may be made again: {error}") from error
        return Exposure(frame_index, self._clock.utc(), answer.get("capture"))

    def deliver(self, exposure: Exposure) -> tuple[Photograph, ...]:
        """The exposure's picture as PNG, lossless. Raises CaptureFailed."""
        return (Photograph(lossless.png(self._frame(exposure), _NAME), "image/png", dict(self._known)),)

    def preview(self) -> Photograph:
        """A picture that was exposed after this call, 1280 px wide at most. Raises as `expose` and `deliver` do."""
        return Photograph(jpeg(self._frame(self.expose(0)), _NAME), "image/jpeg", dict(self._known))

    def _frame(self, exposure: Exposure) -> npt.NDArray[np.generic]:
        """(height, width, 3) BGR, uint8; in shared memory, and so until the next exposure."""
        if not isinstance(exposure.token, int):
            raise TypeError(f"not an exposure of this camera: {exposure!r}")
        connection, memory = self._connection, self._memory
        if connection is None or memory is None:
            raise CaptureFailed(f"{_NAME}: the connection has been lost since the exposure; make it again")
        try:
            connection.call(Fetch(exposure.token), limit_s=self._options.timeout_s + _BEYOND_S)
        except HelperLost as error:
            self._disconnect()
            raise CaptureFailed(f"{_NAME}: the picture was lost, and may be made again: {error}") from error
        frame = memory.view(0, self._mode.shape, np.uint8)
        if self._options.plane_order == "rgb":
            frame = np.ascontiguousarray(frame[..., ::-1])
        return frame

    def _required(self) -> Connection:
        """The connection, made anew if it was lost. Raises ConnectionLost."""
        if not self._is_open:
            raise ConnectionLost(f"{_NAME} is not open")
        if self._connection is None:
            try:
                log.warning("camera.reconnected camera=%s", self._connect(waited_for=(HelperLost, DeviceNotFound)))
            except DeviceTimeout:
                raise
            except DriverError as error:
                raise ConnectionLost(f"{_NAME} was lost, and is not to be had again: {error}") from error
        assert self._connection is not None
        return self._connection

    def _connect(self, *, waited_for: tuple[type[DriverError], ...]) -> str:
        """Connect and set the camera up. What may pass by itself is tried again for a while."""
        deadline_s = time.monotonic() + self._options.patience_s
        while True:
            try:
                return self._set_up(max(_RETRY_S, deadline_s - time.monotonic()))
            except waited_for:
                self._disconnect()
                if time.monotonic() > deadline_s:
                    raise
            except DriverError:
                self._disconnect()
                raise
            time.sleep(_RETRY_S)

    def _set_up(self, limit_s: float) -> str:
        options = self._options
        connection = self._connection = Connection(options.socket, limit_s=limit_s)
        memory = self._memory = SharedMemory.create(int(np.prod(self._mode.shape)))
        connection.call(Share(memory.size_bytes), descriptor=memory.descriptor)
        answer = connection.call(OpenCamera(options.mode, options.stale_frames), limit_s=_SET_UP_S)
        self._known = {"mode": options.mode}
        self._write(connection, self._settings)
        return f"{answer.get('camera')}, by the service focusrail-fpga"

    def _write(self, connection: Connection, settings: Mapping[str, str]) -> dict[str, str]:
        if not settings:
            return {}
        try:
            answer = connection.call(SetCamera(dict(settings)), limit_s=_SET_UP_S)
        except HelperLost:
            self._disconnect()
            raise
        changed = {str(name): str(value) for name, value in dict(answer.get("settings", {})).items()}
        self._known.update(changed)
        return changed

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        memory, self._memory = self._memory, None
        if connection is not None:
            connection.close()
        if memory is not None:
            memory.close()
