"""Depth intervals fused on their own in the same pass."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from focusrail.model.method import Method
from focusrail.model.outputs import Outputs
from focusrail.stacking.features import Found
from focusrail.stacking.fusion import Accumulator, LobAccumulator
from focusrail.stacking.pipeline import Stacker
from focusrail.stacking.slabs import Slab, Slabs
from focusrail_drivers.accelerators.cpu import CpuAccelerator
from peers.textures import similarity, texture, view

SIZE = (96, 80)
NO_SLABS = Outputs()
KNOWN = {k: Found(similarity(scale=1 + 0.004 * k, x=0.7 * k, y=-0.3 * k)) for k in range(12)}


def frames(count: int) -> list[np.ndarray]:
    world = texture(SIZE[1] + 60, SIZE[0] + 60)
    noise = np.random.default_rng(3)
    seen = [view(world, similarity(x=30, y=30) @ KNOWN[k].transform, SIZE).astype(np.int32) for k in range(count)]
    return [np.clip(one * 257 + noise.integers(-900, 900, one.shape), 0, 65535).astype(np.uint16) for one in seen]


def stack(
    pictures: dict[int, np.ndarray], method: Method, outputs: Outputs = NO_SLABS
) -> tuple[np.ndarray, list[Slab]]:
    slabs: list[Slab] = []
    with ThreadPoolExecutor(2) as executor:
        stacker = Stacker(
            method, accelerator=CpuAccelerator(), executor=executor, known=KNOWN, slab=slabs.append, outputs=outputs
        )
        for index, picture in pictures.items():
            stacker.fuse(stacker.register(stacker.examine(picture), index, float(index)))
        return stacker.finish().fused.image, slabs


@pytest.mark.parametrize("fusion", ["bands", "soft", "lob", "pyramid"])
def test_a_slab_is_what_a_stack_of_its_frames_alone_would_be(fusion: str) -> None:
    method = Method(fusion=fusion, crop=False, normalise_exposure=False)
    pictures = dict(enumerate(frames(8)))
    whole, slabs = stack(pictures, method, Outputs(slab_frames=4, slab_overlap=1))
    assert [(slab.first, slab.last) for slab in slabs] == [(0, 3), (3, 6), (6, 7)]
    for slab in slabs:
        alone, _ = stack({k: pictures[k] for k in range(slab.first, slab.last + 1)}, method)
        assert np.array_equal(slab.image, alone)
    assert np.array_equal(whole, stack(pictures, method)[0]), "and the whole stack is none the worse"


def test_slabs_have_16_bits_also_where_the_frames_have_8() -> None:
    pictures = {k: (picture >> 8).astype(np.uint8) for k, picture in enumerate(frames(4))}
    whole, slabs = stack(pictures, Method(crop=False), Outputs(slab_frames=4))
    (slab,) = slabs
    assert slab.image.dtype == np.uint16
    assert np.abs(slab.image / 257 - whole).max() <= 0.5
    assert len(np.unique(slab.image)) > 256


def intervals(indices: list[int], count: int, overlap: int) -> tuple[list[tuple[int, int]], int]:
    """What slabs come of frames with these indices, and how many accumulators were alive at a time."""
    alive: list[Accumulator] = []
    done: list[tuple[int, int]] = []
    most = 0

    def make() -> Accumulator:
        alive.append(LobAccumulator(2, 2, Method(fusion="lob"), np.dtype(np.uint16), np.zeros))
        return alive[-1]

    def finished(slab: Slab) -> None:
        done.append((slab.first, slab.last))

    slabs = Slabs(count, overlap, make=make, done=finished)
    for index in indices:
        slabs.begin(np.zeros((2, 2, 3), np.uint16), np.eye(3), (1.0, 1.0, 1.0), index)
        most = max(most, len(slabs._open))
    slabs.finish()
    return done, most


@pytest.mark.parametrize(
    ("indices", "frames", "overlap", "wanted"),
    [
        (list(range(12)), 4, 0, [(0, 3), (4, 7), (8, 11)]),
        (list(range(10)), 4, 2, [(0, 3), (2, 5), (4, 7), (6, 9)]),  # 8-9 is in 6-9
        (list(range(9)), 4, 1, [(0, 3), (3, 6), (6, 8)]),
        (list(range(3)), 12, 4, [(0, 2)]),
        ([0, 1, 3, 4, 5, 7], 4, 2, [(0, 3), (3, 5), (4, 7)]),  # 2 and 6 left out
        ([0, 1, 2, 3, 9, 10], 4, 0, [(0, 3), (9, 10)]),  # a slab without a frame
    ],
)
def test_slabs_follow_from_the_numbers_of_the_frames_alone(
    indices: list[int], frames: int, overlap: int, wanted: list[tuple[int, int]]
) -> None:
    assert intervals(indices, frames, overlap)[0] == wanted


@pytest.mark.parametrize(("frames", "overlap"), [(2, 1), (4, 2), (5, 2), (12, 4), (12, 6)])
def test_no_more_than_two_slabs_are_alive(frames: int, overlap: int) -> None:
    done, most = intervals(list(range(60)), frames, overlap)
    assert most == (2 if overlap else 1)
    assert {k for first, last in done for k in range(first, last + 1)} == set(range(60)), "every frame is in one"
