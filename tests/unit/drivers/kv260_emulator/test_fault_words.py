"""Faults by words, and memory that is as scarce and as forgetful as a board's."""

from __future__ import annotations

import gc
import re

import numpy as np
import pytest

from focusrail_drivers.accelerators.kv260_emulator import faults
from focusrail_drivers.accelerators.kv260_emulator.memory import DecodeError, Memory


def test_faults_are_read_from_words() -> None:
    assert faults.parse(
        "stall at_tile=3 times=none; wrong_size at_frame=5 rows=-1;; download_timeout partial=false"
    ) == [
        faults.Stall(at_tile=3, times=None),
        faults.WrongSize(at_frame=5, rows=-1),
        faults.DownloadTimeout(partial=False),
    ]
    assert faults.parse("vdma_errors channel=mm2s bits=0x40 at_tile=0") == [
        faults.VdmaErrors(channel="mm2s", bits=0x40, at_tile=0)
    ]
    assert faults.parse("") == []


def test_what_is_no_fault_is_refused_with_the_menu() -> None:
    with pytest.raises(ValueError, match="is no fault; there are: stall, wrong_size"):
        faults.parse("earthquake at_tile=1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stall at_tile=x", "'stall at_tile=x': at_tile=x is none of int, none"),
        ("stall at_tile=1x", "at_tile=1x is none of int, none"),
        ("stall at_tile=true", "at_tile=true is none of int, none"),
        ("stall at_tile", "at_tile is none of int, none"),
        ("wrong_size at_tile=0 rows=none", "rows=none is none of int"),
        ("vdma_errors at_tile=0 channel=both", "channel=both is none of 'mm2s', 's2mm'"),
        ("bit_flip at_tile=0 bit=99", "bit=99 is none of 0, 1, 2, 3, 4, 5, 6, 7"),
        ("download_timeout partial=1", "partial=1 is none of bool"),
        ("stall colour=red", "stall has no colour, only at_tile, at_frame, times"),
        ("late_frame times=none", "'late_frame times=none' would never happen: it needs at_tile or at_frame"),
        ("wrong_size at_tile=3", "would change nothing: it needs rows or cols"),
    ],
)
def test_a_fault_that_cannot_be_meant_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        faults.parse(text)


def test_memory_runs_out_and_comes_back_when_nobody_holds_it() -> None:
    memory = Memory(capacity_bytes=10 << 20)
    held = [memory.allocate(3 << 20, cacheable=False) for _ in range(3)]
    with pytest.raises(RuntimeError, match="Failed to allocate Memory"):
        memory.allocate(3 << 20, cacheable=False)
    freed = held.pop(1).address
    gc.collect()
    assert memory.allocate(3 << 20, cacheable=False).address == freed


def test_an_address_must_lie_within_a_buffer_to_its_end() -> None:
    memory = Memory()
    block = memory.allocate(100, cacheable=False)
    memory.write(block.address + 20, np.ones((2, 8), np.uint8), 72)
    lines = memory.read(block.address, 1, 100, 100)[0]
    assert np.flatnonzero(lines == 1).tolist() == [*range(20, 28), *range(92, 100)]
    assert not (memory.read(block.address + 21, 2, 8, 72) == 1).any()
    memory.write(block.address + 21, np.ones((2, 8), np.uint8), 72)
    assert memory.stray_writes == 1
    with pytest.raises(DecodeError):
        memory.read(0x7FFFFFFF, 1, 2, 2)


def test_fresh_memory_is_not_zero() -> None:
    assert Memory().allocate(64, cacheable=True).cpu.all()
