"""The prediction's table stands on the configuration, and on a self-test where there is one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from focusrail_drivers.accelerators.kv260 import forecast, tiles
from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.accelerators.kv260.limits import Identity, Limits, Proven

OPTIONS = Kv260Accelerator.Options(limits=None)
FOUND = Limits(
    transports=["parked", "one-frame"],
    whole_height_px=2160,
    frames_until_new=4,
    timed_px=(540, 1920),
    ms_per_tile=20.0,
    ms_processor=5.0,
)
PROVEN = Proven(Identity("cv_dfx_3_pr.bit", "", "pynq.Device", "3.0.1"), FOUND, "2026-11-25T20:00:00+00:00")
MP_12 = (3000, 4000)


def test_a_frame_is_cut_as_the_driver_cuts_it():
    given = forecast.assumptions([MP_12], OPTIONS)
    size = tiles.size_for(*MP_12, tiles.TileSize(1080, 1920))
    assert given.tile_px == size.shape
    (line,) = [each for each in forecast.forecast([(4000, 3000)], OPTIONS, None).splitlines() if "12 MP" in each]
    assert f"{tiles.count(*MP_12, size)} of {size.width_px} x {size.height_px}" in line


@pytest.mark.parametrize(
    ("options", "limits", "passes", "frames"),
    [
        ({}, None, 2, 3),
        ({"shift": 2}, None, 1, 3),
        ({"confirmed": False}, None, 2, 2),
        ({"shift": "bracket"}, None, 2, 3),
        ({"transport": "one-frame", "shift": 2}, None, 1, 2),
        ({"transport": "auto"}, None, 2, 3),
        ({"transport": "auto"}, FOUND, 2, 2),
        ({}, FOUND, 2, 5),
    ],
)
def test_as_many_frames_pass_as_the_configuration_and_the_board_want(options, limits, passes, frames):
    given = forecast.assumptions([MP_12], replace(OPTIONS, **options), limits)
    assert (given.passes, given.frames_per_pass) == (passes, frames)


def test_what_a_self_test_measured_takes_the_place_of_what_is_assumed():
    assumed, measured = (forecast.assumptions([MP_12], OPTIONS, limits) for limits in (None, FOUND))
    share = assumed.tile_px[0] * assumed.tile_px[1] / (1080 * 1920)
    assert assumed.processor_ms_per_tile == pytest.approx(2 * 25 * share), "auto may take both passes of the bracket"
    pixels = measured.tile_px[0] * measured.tile_px[1]
    assert measured.tile_px[0] > 1080
    assert measured.processor_ms_per_tile == pytest.approx(2 * 5 * pixels / (540 * 1920))


def test_it_says_what_it_is_and_what_it_stands_on():
    usual = " ".join(
        forecast.forecast(forecast.USUAL_SIZES, replace(OPTIONS, shift=2), None, "there is no file").split()
    )
    assert usual.startswith("A prediction by arithmetic, not a measurement")
    assert "The processor dominates: packing and unpacking tiles" in usual
    assert "Configured: shift 2, transport parked, so that 3 frames pass for a tile." in usual
    assert "Assumed: 25 ms of the processor for a pass of a tile of 1920 x 1080. There is no file." in usual
    measured = " ".join(forecast.forecast(forecast.USUAL_SIZES, OPTIONS, PROVEN).split())
    assert "Configured: shift auto, at worst the bracket" in measured
    assert "Measured: 5.0 ms of the processor for a pass of a tile of 1920 x 540, of 20.0 ms in all" in measured
    assert "self-test of 2026-11-25" in measured and "Assumed" not in measured


def test_a_frame_that_is_measured_in_pieces_costs_what_the_driver_makes_of_them():
    pieces = [(144, 6000), (72, 3000), (160, 6000), (80, 3000)]
    given = forecast.assumptions(pieces, OPTIONS)
    assert given.tile_px == (164, 1504), "composed for the largest piece, and the small ones are filled up"
    assert given.tiles == 2 * (4 + 2)
