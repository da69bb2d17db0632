"""Settings are checked when the configuration is read."""

from __future__ import annotations

import pytest

from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"shift": 5}, "none of auto, bracket"),
        ({"tile_width_px": 1921}, "32 to 1920 pixels wide, in steps of 8"),
        ({"tile_height_px": 9000}, "24 to 8191 pixels high"),
        ({"transport": "dma"}, "none of parked, one-frame, auto"),
        ({"frame_timeout_s": 0}, "not above 0"),
        ({"tile_height_px": 0}, "24 to 8191 pixels high, not 0"),
        ({"failures": 0}, "failures is 0, not 1 to 100"),
        ({"failures": 1_000_000_000}, "not 1 to 100"),
        ({"overlay": ""}, "overlay is empty"),
        ({"region": " "}, "region is empty"),
    ],
)
def test_settings_that_cannot_be_are_refused_when_they_are_read(setting, says):
    with pytest.raises(ValueError, match=says):
        Kv260Accelerator.Options(**setting)
