"""The emulated overlay does what the documents say of the real one, and gives the reference's numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from focusrail_drivers.accelerators.kv260 import reference
from peers.kv260_rig import CONTROL, GRAPH, IN_REGION, STATIC, SWITCH, VDMA, Rig

Frame = npt.NDArray[np.uint8]


def frame(rows: int = 12, cols: int = 24, seed: int = 0) -> Frame:
    return np.random.default_rng(seed).integers(0, 256, (rows, cols, 3), dtype=np.uint8)


def test_the_graph_of_two_filters_gives_the_reference_for_random_tiles_and_every_shift(rig: Rig) -> None:
    for size, (rows, cols) in enumerate([(3, 8), (16, 24), (9, 64)]):
        for shift in reference.SHIFTS:
            rig.compose(rows, cols, shift)
            for seed in range(8):
                sent = frame(rows, cols, seed + 100 * shift + 1000 * size)
                np.testing.assert_array_equal(rig.send(sent), reference.graph(sent, shift))


def test_the_score_of_what_comes_back_is_the_reference_score(rig: Rig) -> None:
    luma = frame(20, 40, seed=5)[..., 0]
    rig.compose(20, 40, shift=1)
    back = rig.send(np.dstack([~luma, luma, np.zeros_like(luma)]))
    np.testing.assert_array_equal(
        reference.distance(np.ascontiguousarray(back[..., 0]), np.ascontiguousarray(back[..., 1])),
        reference.tile_score(luma, 1),
    )


def test_nothing_flows_before_the_region_is_loaded(bare: Rig) -> None:
    bare.route(*GRAPH)
    bare.set_filter(STATIC, 12, 24, reference.LAPLACIAN, 0)
    bare.driver.write(STATIC, 0, 0x81)
    bare.arm(frame())
    assert not bare.wait()
    assert "not emulated" in bare.board.pipeline.standing


def test_a_region_loaded_without_its_decoupler_needs_a_reset(bare: Rig) -> None:
    bare.driver.load("pr_0", "filter2d_fifo")
    bare.set_filter(STATIC, 12, 24, reference.LAPLACIAN, 0)
    bare.driver.write(STATIC, 0, 0x81)
    bare.route(*GRAPH)
    bare.arm(frame())
    assert not bare.wait()
    bare.reset_dma()
    bare.compose(12, 24)
    np.testing.assert_array_equal(bare.send(frame()), reference.graph(frame(), 0))


def test_a_route_counts_from_its_commit(rig: Rig) -> None:
    rig.compose(12, 24)
    rig.driver.write(SWITCH, 0x40 + 4 * rig.layout.ports["ps_video"].into, rig.layout.ports["filter2d_accel"].out_of)
    np.testing.assert_array_equal(rig.send(frame()), reference.graph(frame(), 0))
    rig.driver.write(SWITCH, 0, 2)
    np.testing.assert_array_equal(rig.send(frame()), reference.filter2d(frame(), reference.LAPLACIAN, 0))


def test_an_interface_that_two_want_goes_to_the_lower_one(rig: Rig) -> None:
    rig.compose(12, 24)
    ports = rig.layout.ports
    rig.driver.write(SWITCH, 0x40 + 4 * ports["lut_accel"].into, ports["pr_0/0"].out_of)
    rig.driver.write(SWITCH, 0, 2)
    rig.send(frame())


def test_the_other_way_round_is_another_result(rig: Rig) -> None:
    rig.compose(12, 24)
    rig.route("pr_0/0", "filter2d_accel")
    blurred = reference.filter2d(frame(), reference.BINOMIAL, 0)
    np.testing.assert_array_equal(rig.send(frame()), reference.filter2d(blurred, reference.LAPLACIAN, 0))


def test_the_fifo_of_the_region_passes_frames_on(rig: Rig) -> None:
    rig.compose(12, 24)
    rig.route("filter2d_accel", "pr_0/1")
    np.testing.assert_array_equal(rig.send(frame()), reference.filter2d(frame(), reference.LAPLACIAN, 0))


def test_the_first_frame_after_a_change_has_the_old_values(rig: Rig) -> None:
    rig.compose(12, 24, shift=0)
    rig.driver.write(IN_REGION, 0x20, 3)
    np.testing.assert_array_equal(rig.send(frame()), reference.graph(frame(), 0))
    np.testing.assert_array_equal(rig.send(frame()), reference.graph(frame(), 3))


def test_a_filter_without_auto_restart_does_one_frame(rig: Rig) -> None:
    rig.compose(12, 24)
    rig.driver.write(STATIC, 0, 0x01)
    rig.send(frame())
    assert rig.driver.read(STATIC, 0) == 0x0E  # done, idle, ready
    rig.arm(frame())
    assert not rig.wait()
    rig.driver.write(STATIC, 0, 0x01)
    assert rig.wait()


def test_a_soft_reset_stops_the_filters_and_forgets_their_sizes(rig: Rig) -> None:
    rig.compose(12, 24)
    rig.driver.write(CONTROL, 0, 1)
    rig.driver.write(CONTROL, 0, 0)
    assert [rig.driver.read(STATIC, offset) for offset in (0x00, 0x10, 0x18, 0x20)] == [0x04, 0, 0, 0]
    assert rig.driver.read(STATIC, 0x44) != 0  # coefficients lie in a memory


@pytest.mark.parametrize(("mode", "planes"), [(0, 3), (1, 4), (2, 1)])
def test_pixel_formats(rig: Rig, mode: int, planes: int) -> None:
    rig.compose(12, 24)
    for path in ("video/pixel_pack", "video/pixel_unpack"):
        rig.driver.write(path, 0x10, mode)
    sent = np.random.default_rng(1).integers(0, 256, (12, 24, planes), dtype=np.uint8)
    expected = reference.graph(np.ascontiguousarray(sent[..., :3]), 0).reshape(12, 24, -1)
    back = rig.send(sent)
    np.testing.assert_array_equal(back[..., :3], expected)
    assert not back[..., 3:].any()


def test_a_frame_that_was_not_flushed_goes_out_as_it_was(rig: Rig) -> None:
    rig.compose(12, 24)
    rig.send(frame())
    source = rig._source
    source.array[:] = 0
    rig.driver.write(VDMA, 0x30, 0x11091)
    rig.driver.write(VDMA, 0xA0, 12)
    rig.driver.write(VDMA, 0x00, 0x11091)
    rig.driver.write(VDMA, 0x50, 12)
    assert rig.wait()
    np.testing.assert_array_equal(rig.result(), reference.graph(frame(), 0))


@pytest.mark.parametrize(("rows", "cols"), [(13, 24), (11, 24), (12, 32), (12, 16)])
def test_a_size_that_the_filters_do_not_expect_stalls_until_everything_is_reset(rig: Rig, rows: int, cols: int) -> None:
    rig.compose(rows, cols)
    rig.arm(frame())
    assert not rig.wait()
    rig.compose(12, 24)
    assert not rig.wait()
    rig.reset_dma()
    rig.compose(12, 24)
    np.testing.assert_array_equal(rig.send(frame()), reference.graph(frame(), 0))


def test_a_width_that_is_no_multiple_of_eight_stalls(rig: Rig) -> None:
    rig.compose(12, 20)
    rig.arm(frame(12, 20))
    assert not rig.wait()
    assert "multiple of 8" in rig.board.pipeline.standing


def test_a_stuck_channel_does_not_halt_before_its_reset(rig: Rig) -> None:
    rig.arm(frame())
    assert not rig.wait()
    rig.driver.write(VDMA, 0x00, 0x00011080)
    assert not rig.status("mm2s") & 1
    rig.reset_dma()
    assert rig.status("mm2s") & 1


def test_one_frame_and_the_channel_has_halted(rig: Rig) -> None:
    rig.compose(12, 24)
    assert rig.status() & 1
    rig.send(frame())
    assert rig.status("mm2s") & 1 and rig.status("s2mm") & 1
    assert not rig.driver.read(VDMA, 0x00) & 1


def test_an_address_beyond_the_low_two_gigabytes_is_a_decode_error_that_lasts(rig: Rig) -> None:
    rig.compose(12, 24)
    rig.send(frame())
    rig.driver.write(VDMA, 0x5C, 0x80000000)
    rig.driver.write(VDMA, 0x00, 0x11091)
    rig.driver.write(VDMA, 0x50, 12)
    assert rig.status("mm2s") & 0x4041 == 0x4041
    rig.driver.write(VDMA, 0x00, 0x11091)
    assert rig.status("mm2s") & 1
    rig.reset_dma()
    rig.compose(12, 24)
    rig.send(frame())


def test_writing_a_size_of_zero_is_an_internal_error(rig: Rig) -> None:
    rig.driver.write(VDMA, 0x00, 0x11091)
    rig.driver.write(VDMA, 0x50, 0)
    assert rig.status("mm2s") & 0x11 == 0x11


def test_time_passes_by_looking_and_by_nothing_else(rig: Rig) -> None:
    rig.compose(12, 24)
    assert rig.board.looks_per_frame == 4
    rig.arm(frame())
    for _ in range(3):
        assert rig.board.pipeline.frames == 0
        rig.status()
    rig.status()
    assert rig.board.pipeline.frames == 1
    assert rig.board.pipeline.clocks == (12 + 5) * (24 + 17)


def test_a_result_that_goes_where_no_buffer_is_is_counted(rig: Rig) -> None:
    rig.compose(12, 24)
    rig.send(frame())
    assert rig.board.memory.stray_writes == 0
    rig.arm(frame())
    rig.driver.write(VDMA, 0xAC, 0x1000)
    rig.driver.write(VDMA, 0xA0, 12)
    assert rig.wait()
    assert rig.board.memory.stray_writes == 1


def test_a_frame_has_begun_when_it_is_committed(rig: Rig) -> None:
    """What the processor writes into the buffer afterwards does not reach it: the model reads a frame at its start."""
    rig.compose(12, 24)
    rig.arm(frame())
    rig._source.array[:] = 0
    rig._source.flush()
    assert rig.wait()
    np.testing.assert_array_equal(rig.result(), reference.graph(frame(), 0))
