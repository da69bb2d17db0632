"""Memory that a stranger sends is looked at before it is believed."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from focusrail_drivers.base import ProtocolError
from focusrail_drivers.fpga_service.shared_memory import LIMIT_BYTES, Places, SharedMemory

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
SIZE = 1 << 16


def memory(seals, size=SIZE):
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_both_ends_see_the_same_picture():
    created = SharedMemory.create(Places(31, 17).size_bytes)
    adopted = SharedMemory.adopt(os.dup(created.descriptor), created.size_bytes)
    places = Places(31, 17)
    luma = np.random.default_rng(1).integers(0, 256, (31, 17), np.uint8)
    places.luma(created)[...] = luma
    assert np.array_equal(places.luma(adopted), luma)
    places.scores(adopted)[...] = 65535
    assert places.scores(created).min() == 65535 and np.array_equal(places.luma(adopted), luma)
    for each in (created, adopted, created):
        each.close()


def mapped():
    """How often memory of this kind is mapped into this process."""
    return Path("/proc/self/maps").read_text().count("memfd:focusrail-fpga")


def test_a_view_keeps_it_mapped_until_it_goes_itself():
    before = mapped()
    created = SharedMemory.create(100)
    adopted = SharedMemory.adopt(os.dup(created.descriptor), created.size_bytes)
    created.close()
    part = adopted.view(10, (3, 4), np.uint8)[1:, ::2].T
    adopted.close()
    del adopted
    assert mapped() == before + 1  # else reading it would end this process
    part += 7
    assert part.max() == 7
    del part
    assert mapped() == before


def test_its_size_is_what_it_is_for_ever():
    created = SharedMemory.create(100)
    for size in (0, 1 << 20):
        with pytest.raises(OSError, match="not permitted"):
            os.ftruncate(created.descriptor, size)
    created.close()


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (8, 8), (1, 65), (4000, 6001)])
def test_scores_follow_the_luma_and_lie_evenly(size):
    places = Places(*size)
    pixels = size[0] * size[1]
    assert places.scores_at_bytes % 64 == 0 and 0 <= places.scores_at_bytes - pixels < 64
    assert places.size_bytes == places.scores_at_bytes + 2 * pixels


def test_a_picture_larger_than_the_memory_is_refused():
    created = SharedMemory.create(4096)
    for places in (Places(37, 37), Places(65536, 65536), Places(1, 4096)):
        for view in (places.luma, places.scores):
            with pytest.raises(ProtocolError, match="and 4096 are shared"):
                view(created)
    created.close()


def pipe():
    reading, writing = os.pipe()
    os.close(writing)
    return reading


def file(folder):
    with tempfile.TemporaryFile(dir=folder) as made:
        made.truncate(SIZE)
        return os.dup(made.fileno())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: memory(0), "seals are 0x0, not 0x7"),
        (lambda: memory(fcntl.F_SEAL_SHRINK), "seals are 0x2"),
        (lambda: memory(fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW), "seals are 0x6"),
        (lambda: memory(SEALS | fcntl.F_SEAL_WRITE), "seals are 0xf"),
        (lambda: memory(SEALS, SIZE - 4096), "has 61440 bytes, not the 65536"),
        (lambda: memory(SEALS, SIZE + 1), "has 65537 bytes, not the 65536"),
        (lambda: memory(SEALS, 0), "has 0 bytes"),
        (pipe, "not memory that can be sealed"),
        (lambda: file(Path(__file__).parent), "not memory that can be sealed"),
        (lambda: file("/dev/shm"), "seals are 0x1"),
        (lambda: os.open("/", os.O_RDONLY), "not memory that can be sealed|seals are"),
        (lambda: os.open("/dev/zero", os.O_RDWR), "not memory that can be sealed"),
        (lambda: os.open(f"/proc/self/fd/{memory(SEALS)}", os.O_RDONLY), "cannot be mapped"),
        (lambda: os.open("/dev/shm", os.O_PATH), "not memory"),
    ],
)
def test_anything_else_is_refused_and_closed(make, sentence):
    descriptor = make()
    with pytest.raises(ProtocolError, match=sentence):
        SharedMemory.adopt(descriptor, SIZE)
    assert not is_open(descriptor)


def test_more_than_the_limit_is_refused():
    descriptor = memory(SEALS, LIMIT_BYTES + 4096)
    with pytest.raises(ProtocolError, match=f"has {LIMIT_BYTES + 4096} bytes"):
        SharedMemory.adopt(descriptor, LIMIT_BYTES + 4096)
