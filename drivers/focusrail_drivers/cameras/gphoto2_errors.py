"""libgphoto2's error codes, as our errors and as sentences that say what to do.

Codes from gphoto2-port-result.h and gphoto2-result.h; what they mean in practice from its issue tracker.
"""

from __future__ import annotations

from typing import Literal

from focusrail_drivers.base import (
    CameraStorageFull,
    CaptureFailed,
    ConnectionLost,
    DeviceInUse,
    DeviceNotFound,
    DeviceTimeout,
    DriverError,
    NotOffered,
    SettingRefused,
)

Phase = Literal["opening", "setting", "shooting", "looking", "fetching"]

UNSPECIFIED = -1
NOT_SUPPORTED = -6
TIMEOUT = -10
CAMERA_BUSY = -110

NO_PREVIEW = "this camera shows no live view over USB; look at its own display"

_GONE = "check that the camera is on, its automatic power-off disabled, its battery full and the cable seated"
_BUSY_ELSEWHERE = (
    "another program holds the camera, usually the desktop's gvfs-gphoto2-volume-monitor: unmount the camera there, "
    "stop that program, or mask its service for the user"
)

_TABLE: dict[int, tuple[type[DriverError], str]] = {
    UNSPECIFIED: (
        CaptureFailed,
        "set lens and camera to manual focus and single drive, and look at the camera's display",
    ),
    -2: (CaptureFailed, "the camera does not allow that in this mode; turn the dial to M"),
    -3: (CameraStorageFull, "no room for another picture: put in an empty card, or let pictures be deleted"),
    NOT_SUPPORTED: (
        CaptureFailed,
        "this camera does not offer that over USB; release it by a relay and set trigger: external",
    ),
    -7: (ConnectionLost, _GONE),
    TIMEOUT: (DeviceTimeout, "the camera did not answer in time; wait until it has stored its pictures"),
    -31: (ConnectionLost, _GONE),
    -34: (ConnectionLost, _GONE),
    -35: (ConnectionLost, _GONE),
    -51: (ConnectionLost, _GONE),
    -52: (ConnectionLost, _GONE),
    -53: (DeviceInUse, _BUSY_ELSEWHERE),
    -60: (DeviceInUse, _BUSY_ELSEWHERE),
    -105: (DeviceNotFound, "switch the camera on and its USB mode to PTP or PC remote, not mass storage"),
    -107: (CaptureFailed, "the camera no longer has that folder; the frame must be made again"),
    -108: (CaptureFailed, "the camera no longer has that file; the frame must be made again"),
    CAMERA_BUSY: (CaptureFailed, "the camera stays busy; if that goes on, switch it off and on again"),
    -112: (CaptureFailed, "somebody cancelled at the camera"),
    -113: (CaptureFailed, "look at the camera's display"),
    -114: (DriverError, "no permission for the USB device: install the udev rules, or join the group that owns it"),
    -115: (CameraStorageFull, "no room for another picture: put in an empty card, or let pictures be deleted"),
}


def driver_error(code: int, text: str, doing: str, *, phase: Phase = "shooting") -> DriverError:
    """The error for libgphoto2's `code` (negative) and `text`, met while `doing` something.

    While opening, a camera that cannot be reached or fails has not been found, whatever the library calls it; and a
    setting that fails is refused: cameras answer with "busy" or "unspecified" to one that they do not allow.
    """
    kind, advice = _TABLE.get(code, (CaptureFailed, "not a failure known here; try again, then reconnect the camera"))
    if phase == "opening" and kind in (ConnectionLost, CaptureFailed, DeviceTimeout):
        kind, advice = DeviceNotFound, _GONE
    if phase == "setting" and kind is CaptureFailed:
        kind, advice = SettingRefused, "the camera has no such setting, or does not allow it in this mode: use its menu"
    if phase == "looking" and code == NOT_SUPPORTED:
        return NotOffered(NO_PREVIEW)
    if phase == "looking" and kind is CaptureFailed:
        advice = "there is no live view in this mode of the camera, or not now: look at its display"
    if phase == "fetching" and code == UNSPECIFIED:
        advice = "the camera did not hand over the picture; the frame must be made again"
    return kind(f"{doing}: libgphoto2 says {text} [{code}]; {advice}")
