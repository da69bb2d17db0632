"""What `focusrail camera find` lists."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """A camera that is plugged in, as the configuration would name it."""

    driver: str  # the value of `camera: driver:`
    model: str
    port: str  # gphoto2: options.port; opencv: options.source
