"""The live view of a camera of libgphoto2, in the helper process that owns the camera."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import gphoto2 as gp

from focusrail_drivers.base import NotOffered
from focusrail_drivers.cameras.gphoto2_errors import NO_PREVIEW, NOT_SUPPORTED, driver_error

_JPEG = b"\xff\xd8\xff"


class LiveView:
    """Pictures from a camera's live view, which is on from the first of them until `end`."""

    def __init__(self) -> None:
        self._offered = True  # until the camera says otherwise
        self._on = False

    def picture(self, camera: Any) -> bytes:
        """What it shows, a JPEG. Raises NotOffered, CaptureFailed, ConnectionLost."""
        if not self._offered:
            raise NotOffered(NO_PREVIEW)
        try:
            data = bytes(memoryview(camera.capture_preview().get_data_and_size()))
        except gp.GPhoto2Error as error:
            self._offered = error.code != NOT_SUPPORTED
            raise driver_error(error.code, error.string, "looking through the camera", phase="looking") from error
        self._on = True
        if not data.startswith(_JPEG):
            self._offered = False
            self.end(camera)
            raise NotOffered(NO_PREVIEW)
        return data

    def end(self, camera: Any) -> bool:
        """Let the mirror come down and the sensor rest; return whether it was on.

        A body that has no word for it does so when it must.
        """
        was_on, self._on = self._on, False
        if was_on:
            with suppress(gp.GPhoto2Error):
                widget = camera.get_single_config("viewfinder")
                widget.set_value(0)
                camera.set_single_config("viewfinder", widget)
        return was_on
