"""Which frame store each channel of the emulated DMA works on, and when it stops."""

from __future__ import annotations

import numpy as np
import pytest

from focusrail_drivers.accelerators.kv260_emulator import vdma
from peers.kv260_rig import VDMA, Direct, Rig, board

ROWS, COLS = 4, 8
SIZE = ROWS * COLS * 3


@pytest.fixture
def loop() -> Rig:
    """Memory straight back to memory: frames are told apart by their value."""
    emulated = board()
    rig = Rig(emulated, Direct(emulated))
    rig.route()
    return rig


def start(rig: Rig, base: int, control: int, values: list[int]) -> list[np.ndarray]:
    """Run a channel over four stores filled with `values`; return them."""
    buffers = [rig.driver.buffer((SIZE,)) for _ in values]
    geometry = 0xA0 if base else 0x50
    for place, (buffer, value) in enumerate(zip(buffers, values, strict=True)):
        buffer.array[:] = value
        buffer.flush()
        rig.driver.write(VDMA, geometry + 0x0C + 4 * place, buffer.physical_address)
    rig.driver.write(VDMA, geometry + 4, COLS * 3)
    rig.driver.write(VDMA, geometry + 8, COLS * 3)
    rig.driver.write(VDMA, base, control)
    rig.driver.write(VDMA, geometry, ROWS)
    setattr(rig, f"held_{base}", buffers)
    return [buffer._block.ddr for buffer in buffers]


def test_a_circular_channel_takes_store_after_store(loop: Rig) -> None:
    sink = start(loop, 0x30, 0x11083, [0, 0, 0, 0])
    start(loop, 0x00, 0x11083, [1, 2, 3, 4])
    loop.board.pass_frames(6)
    assert [int(store[0]) for store in sink] == [1, 2, 3, 4]
    assert loop.driver.read(VDMA, 0x28) >> 24 == 2  # being worked on, after six of four


def test_a_parked_channel_stays_where_its_reference_says(loop: Rig) -> None:
    sink = start(loop, 0x30, 0x11083, [0, 0, 0, 0])
    loop.driver.write(VDMA, 0x28, 1)
    start(loop, 0x00, 0x11089, [1, 2, 3, 4])
    loop.driver.write(VDMA, 0x28, 3)
    loop.board.pass_frames(3)
    assert [int(store[0]) for store in sink] == [2, 4, 4, 0]


def test_a_parked_receiver_writes_one_store_only(loop: Rig) -> None:
    loop.driver.write(VDMA, 0x28, 2 << 8)
    sink = start(loop, 0x30, 0x11081, [0, 0, 0, 0])
    start(loop, 0x00, 0x11083, [1, 2, 3, 4])
    loop.board.pass_frames(3)
    assert [int(store[0]) for store in sink] == [0, 0, 3, 0]


def test_a_genlocked_sender_follows_the_receiver_which_leaves_its_store_alone(loop: Rig) -> None:
    start(loop, 0x30, 0x11083 | vdma.GENLOCK, [0, 0, 0, 0])
    start(loop, 0x00, 0x11083 | vdma.GENLOCK, [1, 2, 3, 4])
    mm2s, s2mm = loop.board.dma.mm2s, loop.board.dma.s2mm
    for _ in range(9):
        loop.board.pass_frames(1)
        assert mm2s.store == s2mm.completed != s2mm.store


@pytest.mark.parametrize("count", [1, 3])
def test_a_counted_channel_halts_after_its_frames(loop: Rig, count: int) -> None:
    sink = start(loop, 0x30, 0x01083 | vdma.COUNTED | count << 16, [0, 0, 0, 0])
    start(loop, 0x00, 0x01083 | vdma.COUNTED | count << 16, [1, 2, 3, 4])
    loop.board.pass_frames(10)
    assert [int(store[0]) for store in sink] == [*range(1, count + 1), *[0] * (4 - count)]
    for base in (0x00, 0x30):
        assert loop.driver.read(VDMA, base + 4) & 0x1001 == 0x1001
        assert not loop.driver.read(VDMA, base) & 1


def test_the_interrupt_comes_after_the_number_of_frames_that_was_set(loop: Rig) -> None:
    start(loop, 0x30, 0x01083 | 3 << 16, [0, 0, 0, 0])
    start(loop, 0x00, 0x11083, [1, 2, 3, 4])
    loop.board.pass_frames(2)
    assert not loop.board.dma.s2mm.interrupt
    loop.board.pass_frames(1)
    assert loop.board.dma.s2mm.interrupt
    loop.driver.write(VDMA, 0x34, 0x1000)
    assert not loop.board.dma.s2mm.interrupt


def test_a_channel_that_is_stopped_ends_its_frame_first(loop: Rig) -> None:
    sink = start(loop, 0x30, 0x11083, [0, 0, 0, 0])
    start(loop, 0x00, 0x11083, [1, 2, 3, 4])
    loop.driver.write(VDMA, 0x00, 0x11082)
    assert not loop.board.dma.mm2s.status & 1
    loop.board.pass_frames(3)
    assert loop.board.dma.mm2s.status & 1
    assert [int(store[0]) for store in sink] == [1, 0, 0, 0]


def test_a_sender_waits_for_a_receiver_that_is_not_armed(loop: Rig) -> None:
    start(loop, 0x00, 0x11083, [1, 2, 3, 4])
    loop.board.pass_frames(3)
    assert loop.board.pipeline.standing == "S2MM takes nothing"
    sink = start(loop, 0x30, 0x11083, [0, 0, 0, 0])
    loop.board.pass_frames(1)
    assert int(sink[0][0]) == 1


def test_registers_written_while_halted_are_not_committed(loop: Rig) -> None:
    loop.driver.write(VDMA, 0x54, 24)
    loop.driver.write(VDMA, 0x50, 4)
    loop.driver.write(VDMA, 0x00, 0x11083)
    assert loop.board.dma.mm2s.geometry is None
    loop.driver.write(VDMA, 0x50, 4)
    assert loop.board.dma.mm2s.geometry is not None
