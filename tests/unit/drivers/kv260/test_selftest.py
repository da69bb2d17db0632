"""The self-test finds what a board does and says what is wrong with one."""

from __future__ import annotations

import pytest

from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.accelerators.kv260.selftest import self_test
from focusrail_drivers.clock import VirtualClock

generated = pytest.mark.parametrize("emulated", ["generated"], indirect=True)


def report_of(emulated, **options):
    settings = {"tile_height_px": 128, "tile_width_px": 256, "frame_timeout_s": 0.1} | options
    return self_test(Kv260Accelerator.Options(overlay=str(emulated.bitstream), **settings), VirtualClock(), repeats=2)


def test_a_sound_board_passes_and_its_limits_are_known(emulated):
    report = report_of(emulated)
    limits = report.limits
    assert report.passed, str(report)
    assert limits.transports == ["parked", "one-frame"] and limits.exact_shifts == [0, 1, 2, 3, 4]
    assert (limits.max_height_px, limits.max_width_px, limits.any_width) == (8184, 1920, False)
    assert limits.frames_until_new is not None and 1 <= limits.frames_until_new < 8
    assert limits.ms_per_tile > 0 and limits.ms_processor is not None
    assert not emulated.device.board.dma.mm2s.running and not emulated.device.board.dma.s2mm.running


@generated
def test_the_height_that_a_board_stops_at_is_found(emulated):
    from focusrail_drivers.accelerators.kv260_emulator import board, device

    device.install(board=board.Board(max_rows=1080))
    report = report_of(emulated)
    assert report.passed and report.limits.max_height_px == 1080
    assert "1080 rows are exact; more are not: no frame of 64 x 1081 pixels" in str(report)


@generated
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (
            lambda faults: faults.Stall(at_tile=0, times=None),
            "nothing comes back from the pipeline: no frame of 96 x 64",
        ),
        (lambda faults: faults.BitFlip(at_tile=0, times=None), "byte 0: 1 of 6144 pixels differ, by up to 8"),
        (lambda faults: faults.DownloadTimeout(times=None), "did not load in 5 attempts"),
        (lambda faults: faults.WrongSize(at_tile=0, rows=1, times=None), "nothing comes back"),
        (lambda faults: faults.VdmaErrors(at_tile=0, times=None), "frame shorter than set"),
    ],
)
def test_what_is_wrong_with_a_board_is_said_and_the_board_is_left_at_rest(emulated, fault, says):
    from focusrail_drivers.accelerators.kv260_emulator import faults

    emulated.faults.inject(fault(faults))
    report = report_of(emulated)
    assert not report.passed and "WRONG" in str(report) and says in str(report)
    assert str(report).endswith("The accelerator cannot be used as it is.")
    assert not emulated.device.board.dma.mm2s.running and not emulated.device.board.dma.s2mm.running
