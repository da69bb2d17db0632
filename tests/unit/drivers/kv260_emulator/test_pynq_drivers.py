"""What the stock drivers of the real pynq package see of the emulated board."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.accelerators.kv260_emulator import faults
from focusrail_drivers.accelerators.kv260_emulator.layout import rearranged
from peers.kv260_rig import CONTROL, IN_REGION, VDMA, Rig, ThroughPynq, board, overlay_folder

pytest.importorskip("pynq", reason="pynq is not installed")

TILES = [np.random.default_rng(seed).integers(0, 256, (12, 24, 3), dtype=np.uint8) for seed in range(4)]


@pytest.fixture(params=[False, True], ids=["own metadata", "real metadata"])
def running(
    request: pytest.FixtureRequest, tmp_path: Path, loop_for_pynq: asyncio.AbstractEventLoop
) -> Iterator[tuple[Rig, Any]]:
    """A composed rig and its DMA as pynq drives it: both channels run freely."""
    from pynq.lib.video import VideoMode

    if request.param and overlay_folder() is None:
        pytest.skip("a board's metadata (FOCUSRAIL_KV260_OVERLAY or ../shared/kv260) is not here")
    emulated = board()
    driver = ThroughPynq(emulated, tmp_path, overlay_folder() if request.param else None)
    rig = Rig(emulated, driver)
    rig.load_filter()
    rig.compose(12, 24, shift=1)
    dma = driver.overlay.video.axi_vdma
    for channel in (dma.readchannel, dma.writechannel):
        channel.mode = VideoMode(24, 12, 24)
        channel.start()
    yield rig, dma
    if not emulated.pipeline.standing:
        dma.writechannel.stop()
        dma.readchannel.stop()


def write(dma: Any, tile: np.ndarray) -> None:
    frame = dma.writechannel.newframe()
    frame[:] = tile
    dma.writechannel.writeframe(frame)


def read(dma: Any) -> np.ndarray:
    frame = dma.readchannel.readframe()
    copy = np.array(frame)
    frame.freebuffer()
    return copy


def test_stale_frames_come_first_then_the_new_one_for_ever(running: tuple[Rig, Any]) -> None:
    _, dma = running
    write(dma, TILES[0])
    for _ in range(8):
        read(dma)
    write(dma, TILES[1])
    seen = [
        next(i for i in (0, 1) if (back == reference.graph(TILES[i], 1)).all())
        for back in (read(dma) for _ in range(8))
    ]
    assert seen == sorted(seen) and seen[0] == 0 and seen[-1] == 1
    assert 1 <= seen.count(0) <= 4


def test_the_frame_that_comes_right_after_a_new_one_was_written_is_still_the_old_one(running: tuple[Rig, Any]) -> None:
    rig, dma = running
    write(dma, TILES[0])
    rig.board.pass_frames(8)
    board = rig.board
    store = board.dma.s2mm.store
    write(dma, TILES[1])
    board.pass_frames(1)
    address = rig.driver.read(VDMA, 0xAC + 4 * store)
    np.testing.assert_array_equal(
        board.memory.read(address, 12, 72, 72).reshape(12, 24, 3), reference.graph(TILES[0], 1)
    )


def test_readframe_waits_for_the_interrupt_of_the_first_four_frames(running: tuple[Rig, Any]) -> None:
    rig, dma = running
    assert rig.board.pipeline.frames < 4
    read(dma)
    assert rig.board.pipeline.frames >= 4


def test_readframe_hangs_while_the_stream_stalls(
    running: tuple[Rig, Any], loop_for_pynq: asyncio.AbstractEventLoop
) -> None:
    rig, dma = running
    write(dma, TILES[0])
    read(dma)
    rig.board.faults.inject(faults.Stall(at_frame=0))
    rig.board.pass_frames(1)
    dma.readchannel._mmio.write(0x34, 0x1000)
    with pytest.raises(asyncio.TimeoutError):
        loop_for_pynq.run_until_complete(asyncio.wait_for(dma.readchannel.readframe_async(), 0.05))


def test_a_soft_reset_while_frames_flow_loses_one_and_shows_it(running: tuple[Rig, Any]) -> None:
    rig, dma = running
    write(dma, TILES[0])
    for _ in range(6):
        read(dma)
    rig.compose(12, 24, shift=3)
    rig.board.pass_frames(1)
    assert rig.status() & 0x4090 == 0x4090
    for _ in range(6):
        back = read(dma)
    np.testing.assert_array_equal(back, reference.graph(TILES[0], 3))


def test_a_free_channel_that_is_reset_without_stopping_leaves_half_a_frame_behind(running: tuple[Rig, Any]) -> None:
    rig, _ = running
    rig.driver.write(VDMA, 0x00, 0x4)
    rig.arm(TILES[0])
    assert not rig.wait()
    assert rig.board.pipeline.standing == "MM2S was reset in the middle of a frame"


def test_a_bracket_sends_one_tile_twice(running: tuple[Rig, Any]) -> None:
    rig, dma = running
    write(dma, TILES[0])
    rig.board.pass_frames(6)
    tiles = rig.board.faults.tiles
    rig.driver.write(IN_REGION, 0x20, 3)
    rig.board.pass_frames(6)
    assert rig.board.faults.tiles == tiles
    np.testing.assert_array_equal(read(dma), reference.graph(TILES[0], 3))


def test_an_overlay_with_other_addresses_and_ports_works_for_who_believes_the_metadata(tmp_path: Path) -> None:
    layout = rearranged()
    emulated = board(layout)
    rig = Rig(emulated, ThroughPynq(emulated, tmp_path, None))
    rig.load_filter()
    rig.compose(12, 24, shift=2)
    np.testing.assert_array_equal(rig.send(TILES[0]), reference.graph(TILES[0], 2))


def test_registers_may_be_read_while_another_thread_drives(running: tuple[Rig, Any]) -> None:
    rig, dma = running
    done = threading.Event()
    odd: list[int] = []

    def look() -> None:
        while not done.is_set():
            odd.extend(value for value in [rig.driver.read(CONTROL, 8)] if value)

    looking = threading.Thread(target=look)
    looking.start()
    for tile in TILES * 5:
        write(dma, tile)
        backs = [read(dma) for _ in range(6)]
        np.testing.assert_array_equal(backs[-1], reference.graph(tile, 1))
    done.set()
    looking.join()
    assert not odd


def test_frames_go_back_to_their_cache_and_memory_does_not_grow(running: tuple[Rig, Any]) -> None:
    rig, dma = running
    for tile in TILES:
        write(dma, tile)
        read(dma)
    used = rig.board.memory.used_bytes
    for tile in TILES * 5:
        write(dma, tile)
        read(dma)
    assert rig.board.memory.used_bytes == used
