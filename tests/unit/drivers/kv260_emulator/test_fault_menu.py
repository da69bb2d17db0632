"""Every fault of the menu shows what silicon would show, at the tile that it was set for, and can be recovered from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.accelerators.kv260_emulator import faults
from peers.kv260_rig import CONTROL, IN_REGION, VDMA, Rig

Frame = npt.NDArray[np.uint8]
TILES = [np.random.default_rng(seed).integers(0, 256, (12, 24, 3), dtype=np.uint8) for seed in range(4)]


@pytest.fixture
def composed(rig: Rig) -> Rig:
    rig.compose(12, 24, shift=1)
    rig.send(np.zeros((12, 24, 3), np.uint8))
    return rig


def recover(rig: Rig) -> None:
    """What the documents say to do about a stalled stream."""
    for control in (0x00, 0x30):
        rig.driver.write(VDMA, control, 0x00011080)
    rig.reset_dma()
    rig.compose(12, 24, shift=1)


def right(rig: Rig, tile: Frame) -> bool:
    return bool((rig.send(tile) == reference.graph(tile, 1)).all())


@pytest.mark.parametrize("at", range(3))
def test_a_stall_comes_at_its_tile_shows_nowhere_and_ends_with_the_recovery(composed: Rig, at: int) -> None:
    composed.board.faults.inject(faults.Stall(at_tile=at))
    for tile in TILES[:at]:
        assert right(composed, tile)
    composed.arm(TILES[at])
    assert not composed.wait(50)
    assert composed.status("mm2s") & 0xCFF1 == 0 and composed.status("s2mm") & 0xCFF1 == 0
    recover(composed)
    for tile in TILES[at:]:
        assert right(composed, tile)
    assert [(tile, frame) for _, tile, frame in composed.board.faults.fired] == [(1 + at, 1 + at)]


def test_half_a_recovery_is_none(composed: Rig) -> None:
    composed.board.faults.inject(faults.Stall(at_tile=0))
    composed.arm(TILES[0])
    assert not composed.wait()
    composed.reset_dma()
    composed.arm(TILES[0])
    assert not composed.wait()  # the filters still hold a part of a frame
    composed.compose(12, 24, shift=1)
    assert not composed.wait() or right(composed, TILES[0])


def test_a_stall_without_end_comes_back_after_every_recovery(composed: Rig) -> None:
    composed.board.faults.inject(faults.Stall(at_tile=1, times=None))
    assert right(composed, TILES[0])
    for _ in range(3):
        composed.arm(TILES[1])
        assert not composed.wait()
        recover(composed)
    composed.board.faults.clear()
    assert right(composed, TILES[1])


@pytest.mark.parametrize(("wrong", "bits"), [((1, 0), 0), ((-1, 0), 0x90), ((0, 8), 0x8000), ((0, -8), 0x100)], ids=str)
def test_wrong_rows_and_cols_stall_and_show_as_far_as_the_dma_sees_them(
    composed: Rig, wrong: tuple[int, int], bits: int
) -> None:
    composed.board.faults.inject(faults.WrongSize(at_tile=1, rows=wrong[0], cols=wrong[1]))
    assert right(composed, TILES[0])
    composed.arm(TILES[1])
    assert not composed.wait()
    assert composed.status() & 0x8FF0 == bits
    recover(composed)
    assert right(composed, TILES[1])


def test_a_late_frame_is_late_and_right(composed: Rig) -> None:
    composed.board.faults.inject(faults.LateFrame(at_tile=1, frames=10))
    assert right(composed, TILES[0])
    composed.arm(TILES[1])
    assert not composed.wait(10)
    assert composed.wait(1)
    np.testing.assert_array_equal(composed.result(), reference.graph(TILES[1], 1))


def test_a_decoupler_that_somebody_sets_cuts_the_region_off_and_shows(composed: Rig) -> None:
    composed.board.faults.inject(faults.DecouplerLeftOn(at_tile=1))
    assert right(composed, TILES[0])
    composed.arm(TILES[1])
    assert not composed.wait()
    assert composed.driver.read(CONTROL, 8) == 0b001001
    assert composed.driver.read(IN_REGION, 0x10) == 0  # no register answers
    composed.driver.write(CONTROL, 8, 0)
    assert composed.wait()


def test_a_decoupler_that_does_not_let_go_shows_in_its_status_only(rig: Rig) -> None:
    rig.board.faults.inject(faults.DecouplerLeftOn())
    rig.load_filter()
    assert rig.driver.read(CONTROL, 8) == 0b001000
    rig.compose(12, 24)
    rig.arm(TILES[0])
    assert not rig.wait()
    rig.driver.write(CONTROL, 8, 0)
    rig.reset_dma()
    rig.compose(12, 24, shift=1)
    assert right(rig, TILES[0])


def test_a_download_that_times_out_works_the_next_time(bare: Rig) -> None:
    bare.board.faults.inject(faults.DownloadTimeout(times=2))
    for _ in range(2):
        with pytest.raises(TimeoutError):
            bare.load_filter()
    bare.load_filter()
    bare.compose(12, 24, shift=1)
    assert right(bare, TILES[0])


@pytest.mark.parametrize("channel", ["mm2s", "s2mm"])
@pytest.mark.parametrize("bits", [0x80, 0x8980])
def test_errors_of_the_stream_lose_a_frame_and_are_cleared_by_writing(composed: Rig, channel: str, bits: int) -> None:
    composed.board.faults.inject(faults.VdmaErrors(at_tile=0, channel=channel, bits=bits))  # type: ignore[arg-type]
    composed.arm(TILES[0])
    assert not composed.wait()
    assert composed.status(channel) & 0xCFF0 == bits | 0x4000
    composed.driver.write(VDMA, 0x04 if channel == "mm2s" else 0x34, 0xFFFFFFFF)
    assert composed.status(channel) & 0xCFF0 == 0
    assert right(composed, TILES[0])


@pytest.mark.parametrize("bits", [0x10, 0x20, 0x40])
def test_an_error_that_halts_the_channel_needs_its_reset(composed: Rig, bits: int) -> None:
    composed.board.faults.inject(faults.VdmaErrors(at_tile=0, bits=bits))
    composed.arm(TILES[0])
    assert not composed.wait()
    assert composed.status() & 0xCFF1 == bits | 0x4001
    composed.arm(TILES[0])
    assert not composed.wait() and composed.status() & 1
    recover(composed)
    assert right(composed, TILES[0])


def test_a_flipped_bit_is_one_bit_of_one_tile(composed: Rig) -> None:
    composed.board.faults.inject(faults.BitFlip(at_tile=1, row=3, byte=30, bit=7))
    assert right(composed, TILES[0])
    different = np.argwhere(composed.send(TILES[1]) ^ reference.graph(TILES[1], 1))
    assert different.tolist() == [[3, 10, 0]]
    assert right(composed, TILES[2])


def test_a_fault_may_be_set_by_the_number_of_the_frame(composed: Rig) -> None:
    composed.board.faults.inject(faults.BitFlip(at_frame=2))
    assert [right(composed, TILES[0]) for _ in range(4)] == [True, True, False, True]
