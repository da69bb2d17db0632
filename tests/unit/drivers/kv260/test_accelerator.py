"""The accelerator on the emulated board, by the real pynq: its scores, what it survives, how it leaves.

Every fault at every tile, and a thousand random tiles: tests/unit/benchmarks/test_kv260.py.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.accelerators.kv260.exact import Kv260Exact
from focusrail_drivers.base import AcceleratorLost, DeviceTimeout
from focusrail_drivers.clock import VirtualClock

TIMEOUT_S = 0.1  # of a clock that jumps: the emulated board counts the looks at its registers
transports = pytest.mark.parametrize("transport", ["parked", "one-frame"])
generated = pytest.mark.parametrize("emulated", ["generated"], indirect=True)


def accelerator(emulated, clock=None, **options):
    settings = {"tile_height_px": 64, "tile_width_px": 96, "frame_timeout_s": TIMEOUT_S, "shift": 1} | options
    made = Kv260Accelerator(
        Kv260Accelerator.Options(overlay=str(emulated.bitstream), **settings), clock or VirtualClock()
    )
    made.open()
    return made


def picture(seed, height=100, width=170):
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


@generated
@transports
@pytest.mark.parametrize("shift", [*reference.SHIFTS, "bracket"])
def test_scores_are_the_reference_bit_for_bit(emulated, transport, shift):
    kv260 = accelerator(emulated, transport=transport, shift=shift)
    for seed, size in enumerate([(100, 170), (64, 96), (31, 40), (1, 1)]):
        luma = picture(seed, *size)
        assert np.array_equal(kv260.measure(luma), reference.score(luma, shift))
    assert kv260.recoveries == 0
    assert kv260.configure() == Kv260Exact(Kv260Exact.Options(shift)).configure()
    kv260.close()


@generated
def test_it_is_composed_anew_only_for_pictures_that_are_larger_than_all_before(emulated):
    kv260 = accelerator(emulated)
    began, composed = emulated.device.board.dma.mm2s.resets, []
    for size in [(24, 24), (100, 170), (50, 85), (100, 170), (17, 170), (24, 24), (300, 300)]:
        assert np.array_equal(kv260.measure(picture(1, *size)), reference.score(picture(1, *size), 1))
        composed.append(emulated.device.board.dma.mm2s.resets - began)
    assert composed == [1, 2, 2, 2, 2, 2, 3]
    kv260.close()


@generated
def test_auto_chooses_the_shift_from_a_probe(emulated):
    kv260 = accelerator(emulated, shift="auto")
    assert kv260.shift == "bracket"
    kv260.probe(picture(1))
    assert kv260.shift == 4 and kv260.configure() == reference.score_scale(4)
    kv260.close()


@generated
@transports
def test_a_bit_that_is_wrong_for_good_is_noticed_within_sixteen_tiles(emulated, transport):
    from focusrail_drivers.accelerators.kv260_emulator import faults

    kv260 = accelerator(emulated, transport=transport, tile_height_px=40, tile_width_px=32)
    emulated.faults.inject(faults.BitFlip(at_tile=0, times=None, row=21, byte=30, bit=5))
    with pytest.raises(AcceleratorLost, match="the filters computed 1 of 84 scores wrongly"):
        kv260.measure(picture(1, 36 * 4, 28 * 4))
    kv260.close()


@generated
@transports
def test_frames_that_never_come_twice_alike_are_no_result(emulated, transport):
    from focusrail_drivers.accelerators.kv260_emulator import faults

    kv260 = accelerator(emulated, transport=transport)
    for frame in range(0, 4000, 2):
        emulated.faults.inject(faults.BitFlip(at_frame=frame))
    with pytest.raises(AcceleratorLost, match="were not as the same frame before"):
        kv260.measure(picture(1, 20, 28))
    kv260.close()


@generated
@transports
def test_a_board_that_stalls_for_good_is_given_up_within_the_deadlines(emulated, transport):
    from focusrail_drivers.accelerators.kv260_emulator import faults

    clock = VirtualClock()
    kv260 = accelerator(emulated, clock, transport=transport)
    emulated.faults.inject(faults.Stall(at_tile=1, times=None))
    with pytest.raises(AcceleratorLost, match="failed 4 times in a row, which composing it anew, loading its second"):
        kv260.measure(picture(1))
    # Four frames, and after each both channels that do not stop; a little for what goes well.
    assert clock.monotonic_s() < 14 * TIMEOUT_S
    with pytest.raises(AcceleratorLost):
        kv260.measure(picture(1))
    kv260.close()


@generated
def test_a_download_that_times_out_now_and_then_is_tried_again(emulated):
    from focusrail_drivers.accelerators.kv260_emulator import faults

    for fault in (faults.DownloadTimeout(times=2), faults.DownloadTimeout(partial=False), faults.DecouplerLeftOn()):
        emulated.faults.inject(fault)
    kv260 = accelerator(emulated)
    assert len(emulated.faults.fired) == 4
    assert np.array_equal(kv260.measure(picture(1)), reference.score(picture(1), 1))
    kv260.close()


@generated
def test_a_download_that_never_ends_is_an_error_that_names_the_file(emulated):
    from focusrail_drivers.accelerators.kv260_emulator import faults

    emulated.faults.inject(faults.DownloadTimeout(times=None))
    with pytest.raises(DeviceTimeout, match=r"pr_0_filter2d_fifo_partial\.bit did not load in 5"):
        accelerator(emulated)


@pytest.mark.usefixtures("loop_for_pynq")
def test_what_is_left_behind_another_program_can_take_over(emulated):
    """As a notebook does: the overlay found loaded, pynq's own VDMA driver, and a route of its own."""
    import pynq

    kv260 = accelerator(emulated)
    kv260.measure(picture(1))
    kv260.close()
    kv260.close()
    board = emulated.device.board
    assert not board.dma.mm2s.running and not board.dma.s2mm.running
    assert not any(region.decoupled for region in board.regions.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        overlay = pynq.Overlay(str(emulated.bitstream), download=False)
        from pynq.lib.video import VideoMode

        switch = overlay.ip_dict["composable/axis_switch"]["phys_addr"]
        mmio = pynq.MMIO(switch, 0x1000)
        mmio.write(0x40, 0)
        mmio.write(0x00, 2)
        vdma, mode = overlay.video.axi_vdma, VideoMode(64, 32, 24)
        vdma.writechannel.mode = vdma.readchannel.mode = mode
        vdma.readchannel.start()
        vdma.writechannel.start()
        frame = vdma.writechannel.newframe()
        frame[:] = sent = np.random.default_rng(1).integers(0, 256, (32, 64, 3), np.uint8)
        vdma.writechannel.writeframe(frame)
        for _ in range(8):
            received = vdma.readchannel.readframe()
        assert np.array_equal(np.asarray(received), sent)
        vdma.writechannel.stop()
        vdma.readchannel.stop()
