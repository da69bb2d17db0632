"""The self-test finds what a board does and says what is wrong with one."""

from __future__ import annotations

import pytest

from focusrail_drivers.accelerators.kv260 import selftest
from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.accelerators.kv260.report import Finding, Trying
from focusrail_drivers.accelerators.kv260.selftest import self_test
from focusrail_drivers.clock import VirtualClock

generated = pytest.mark.parametrize("emulated", ["generated"], indirect=True)


@pytest.fixture
def few_heights(monkeypatch):
    """Only the usual height is tried: the emulator takes its time for high tiles."""
    for name in ("_HEIGHTS_PX", "_WHOLE_HEIGHTS_PX"):
        monkeypatch.setattr(selftest, name, (1080,))


def report_of(emulated, listen=lambda _: None, **options):
    settings = {"tile_height_px": 128, "tile_width_px": 256, "frame_timeout_s": 0.1} | options
    given = Kv260Accelerator.Options(overlay=str(emulated.bitstream), **settings)
    return self_test(given, VirtualClock(), repeats=2, listen=listen)


def read(report):
    """As one line, wherever its lines are broken."""
    return " ".join(str(report).split())


def test_a_sound_board_passes_and_its_limits_are_known(emulated):
    said: list[Trying | Finding] = []
    report = report_of(emulated, said.append)
    limits = report.limits
    assert report.passed, str(report)
    assert limits.transports == ["parked", "one-frame"] and limits.exact_shifts == [0, 1, 2, 3, 4]
    assert limits.wrong_shifts == [] and report.completed
    assert (limits.max_height_px, limits.max_width_px, limits.any_width) == (8184, 1920, False)
    assert limits.whole_height_px == 4320 and limits.timed_px == (128, 256)
    assert limits.frames_until_new is not None and 1 <= limits.frames_until_new < 8
    assert limits.ms_per_tile > 0 and limits.ms_processor is not None
    assert not emulated.device.board.dma.mm2s.running and not emulated.device.board.dma.s2mm.running
    assert tuple(each for each in said if isinstance(each, Finding)) == report.findings
    assert sum(isinstance(each, Trying) for each in said) == len(report.findings)  # each is announced


@generated
def test_the_height_that_a_board_stops_at_is_found(emulated):
    from focusrail_drivers.accelerators.kv260_emulator import board, device

    device.install(board=board.Board(max_rows=1080))
    report = report_of(emulated)
    assert report.passed and report.limits.max_height_px == 1080
    assert "good Height of a tile 1080 rows are exact; more are not: no frame of 64 x 1081 pixels" in read(report)
    assert report.limits.whole_height_px == 1080


@generated
def test_without_memory_for_a_whole_tile_the_owner_is_told_what_to_do(emulated, monkeypatch):
    def allocate(size_bytes, *, cacheable):
        if size_bytes > 3 << 20:
            raise RuntimeError("Failed to allocate memory")
        return all_there_is(size_bytes, cacheable=cacheable)

    memory = emulated.device.board.memory
    all_there_is = memory.allocate
    monkeypatch.setattr(memory, "allocate", allocate)
    report = report_of(emulated)
    assert not report.passed and report.limits.whole_height_px == 0
    assert "BAD Whole tiles A tile of full size is not exact: pynq: Failed to allocate memory." in read(report)
    assert "What to do: If it is memory that is missing" in read(report)


@generated
def test_shifts_that_are_exact_are_known_and_all_else_is_tried_with_them_where_others_are_not(emulated, few_heights):
    from focusrail_drivers.accelerators.kv260_emulator import faults

    emulated.faults.inject(faults.BitFlip(at_tile=60, times=12))  # the last of the arithmetic's, however often tried
    report = report_of(emulated)
    assert not report.passed and report.completed
    assert report.limits.exact_shifts == [0, 1, 2, 3] and report.limits.wrong_shifts == [4]
    assert "What to do: Set `shift` to one of those that are exact: 0, 1, 2, 3." in read(report)
    assert report.limits.whole_height_px == 1080 and report.limits.ms_per_tile is not None


def once(faults):
    """Faults that the driver survives, at whatever step they come."""
    return [
        *(faults.Stall(at_tile=tile) for tile in (0, 40, 62)),
        *(faults.BitFlip(at_tile=tile) for tile in (5, 85)),
        faults.VdmaErrors(at_tile=30),
        faults.WrongSize(at_tile=74, rows=1),
    ]


@generated
def test_what_happens_once_is_tried_again_and_only_noted(emulated, few_heights):
    from focusrail_drivers.accelerators.kv260_emulator import faults

    for fault in once(faults):
        emulated.faults.inject(fault)
    report = report_of(emulated)
    assert len(emulated.faults.fired) == len(once(faults))
    assert report.passed and report.completed, str(report)
    assert report.limits.transports == ["parked", "one-frame"] and report.limits.exact_shifts == [0, 1, 2, 3, 4]
    assert report.limits.whole_height_px == 1080
    assert "note What was tried again" in read(report)
    assert "computing known tiles: a ramp to the right at shift 0, plane -: 1 of 6144 pixels differ" in read(report)


@generated
def test_a_stall_that_stays_ends_the_self_test_and_accuses_no_arithmetic(emulated):
    from focusrail_drivers.accelerators.kv260_emulator import faults

    emulated.faults.inject(faults.Stall(at_tile=40, times=None))
    report = report_of(emulated)
    assert not report.passed and not report.completed and report.limits.wrong_shifts == []
    assert "BAD Arithmetic The pipeline stopped: no frame of 96 x 64" in read(report)
    assert "scores would be wrong" not in read(report)
    assert "What to do: No other program may use the overlay meanwhile" in read(report)


@generated
def test_a_stall_that_comes_late_and_stays_leaves_the_self_test_incomplete(emulated, few_heights):
    from focusrail_drivers.accelerators.kv260_emulator import faults

    emulated.faults.inject(faults.Stall(at_tile=75, times=None))
    report = report_of(emulated)
    assert not report.passed and not report.completed
    assert "scores would be wrong" not in read(report)


@generated
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (
            lambda faults: faults.Stall(at_tile=0, times=None),
            "BAD Frames and their bytes Nothing comes back from the pipeline: no frame of 96 x 64",
        ),
        (lambda faults: faults.BitFlip(at_tile=0, times=None), "byte 0: 1 of 6144 pixels differ, by up to 8"),
        (lambda faults: faults.DownloadTimeout(times=None), "What to do: Switch the board off and on"),
        (lambda faults: faults.WrongSize(at_tile=0, rows=1, times=None), "Nothing comes back"),
        (lambda faults: faults.VdmaErrors(at_tile=0, times=None), "frame shorter than set"),
    ],
)
def test_what_is_wrong_with_a_board_is_said_and_the_board_is_left_at_rest(emulated, fault, says):
    from focusrail_drivers.accelerators.kv260_emulator import faults

    emulated.faults.inject(fault(faults))
    report = report_of(emulated)
    assert not report.passed and says in read(report)
    assert "The accelerator cannot be used as it is; to be mended first: " in read(report)
    assert ".." not in str(report) and "?." not in str(report)
    assert not emulated.device.board.dma.mm2s.running and not emulated.device.board.dma.s2mm.running
