"""libgphoto2's error codes: those that the virtual camera cannot produce."""

from __future__ import annotations

import pytest

from focusrail_drivers import base
from focusrail_drivers.cameras.gphoto2_errors import Phase, driver_error


@pytest.mark.parametrize(
    ("code", "phase", "kind", "advice"),
    [
        (-7, "shooting", base.ConnectionLost, "automatic power-off"),
        (-34, "fetching", base.ConnectionLost, "cable"),
        (-35, "setting", base.ConnectionLost, "cable"),
        (-52, "shooting", base.ConnectionLost, "cable"),
        (-7, "opening", base.DeviceNotFound, "cable"),
        (-1, "opening", base.DeviceNotFound, "cable"),
        (-53, "opening", base.DeviceInUse, "gvfs-gphoto2-volume-monitor"),
        (-105, "opening", base.DeviceNotFound, "PTP or PC remote"),
        (-114, "opening", base.DriverError, "udev rules"),
        (-3, "shooting", base.CameraStorageFull, "empty card"),
        (-115, "fetching", base.CameraStorageFull, "empty card"),
        (-10, "shooting", base.DeviceTimeout, "in time"),
        (-1, "shooting", base.CaptureFailed, "manual focus"),
        (-1, "fetching", base.CaptureFailed, "made again"),
        (-108, "fetching", base.CaptureFailed, "no longer has that file"),
        (-110, "shooting", base.CaptureFailed, "off and on again"),
        (-110, "setting", base.SettingRefused, "use its menu"),
        (-2, "setting", base.SettingRefused, "no such setting"),
        (-6, "shooting", base.CaptureFailed, "trigger: external"),
        (-999, "shooting", base.CaptureFailed, "not a failure known here"),
    ],
)
def test_a_code_becomes_our_error_and_says_what_to_do(
    code: int, phase: Phase, kind: type[base.DriverError], advice: str
) -> None:
    error = driver_error(code, "What it says", "releasing the shutter", phase=phase)

    assert type(error) is kind
    assert advice in str(error)
    assert f"releasing the shutter: libgphoto2 says What it says [{code}]" in str(error)
