"""The picture that belongs to a depth map."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from focusrail.errors import DamagedImage, FrameError
from focusrail.model.method import Method
from focusrail.stacking.fusion import Fused
from focusrail.stacking.kernels import UNCHANGED
from focusrail.stacking.laying import Laid, lay
from focusrail.stacking.resynthesis import FirstLook, SecondLook, resynthesise
from peers.textures import similarity, texture

METHOD = Method(fusion="depthmap")
SIZE = (200, 150)
Resynthesise = Callable[..., Fused]


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


@pytest.fixture
def fuse(executor: ThreadPoolExecutor) -> Resynthesise:
    def run(depth: np.ndarray, frames: dict[float, np.ndarray], look: SecondLook | None = None) -> Fused:
        """Frames by their positions, numbered 3, 4 and so on."""
        pictures = dict(enumerate(frames.values(), 3))
        return resynthesise(
            depth.astype(np.float32), list(frames), [Laid(k, np.eye(3), UNCHANGED) for k in pictures],
            look=look or SecondLook(pictures.__getitem__), method=METHOD, crop=(0, 0, *SIZE),
            executor=executor,
        )  # fmt: skip

    return run


def grey(value: int) -> np.ndarray:
    return np.full((SIZE[1], SIZE[0], 3), value, np.uint8)


def ramp(start: float, end: float) -> np.ndarray:
    return np.tile(np.linspace(start, end, SIZE[0]), (SIZE[1], 1))


@pytest.mark.parametrize("positions", [(0.0, 1.0, 3.0), (3.0, 1.0, 0.0), (1.0, 3.0, 0.0)])
def test_each_pixel_comes_from_the_frame_nearest_in_depth(fuse: Resynthesise, positions: tuple[float, ...]) -> None:
    values, depth = {0.0: 10, 1.0: 60, 3.0: 200}, ramp(-1, 4)
    fused = fuse(depth, {p: grey(values[p]) for p in positions})
    nearest = np.abs(depth[..., None] - positions).argmin(axis=2)
    assert np.array_equal(fused.index, nearest + 3)
    for low, high, value in ((-1, 0.24, 10), (0.76, 1.49, 60), (2.51, 4, 200)):
        assert (fused.image[(low <= depth) & (depth <= high)] == value).all()
    between = fused.image[np.abs(depth - 2) < 0.02]
    assert between.size and np.abs(between.astype(int) - 130).max() < 8, "half way the two are mixed"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_where_frames_agree_mixing_changes_nothing(fuse: Resynthesise, dtype: type) -> None:
    top = np.iinfo(dtype).max
    frame = np.random.default_rng(0).integers(0, top, (SIZE[1], SIZE[0], 3), dtype, endpoint=True)
    frame[:20] = top
    fused = fuse(ramp(0, 2), {0.0: frame, 1.0: frame, 2.0: frame})
    assert fused.image.dtype == dtype
    assert np.abs(fused.image.astype(int) - frame).max() <= (1 if dtype == np.uint16 else 0)


@pytest.mark.parametrize(("values", "mean"), [((40, 80, 90), 70), ((255,) * 6, 255)])
def test_frames_at_one_place_share_alike(executor: ThreadPoolExecutor, values: tuple[int, ...], mean: int) -> None:
    frames = {k: grey(value) for k, value in enumerate(values)}
    fused = resynthesise(
        np.zeros((SIZE[1], SIZE[0]), np.float32), [0.0] * len(frames),
        [Laid(k, np.eye(3), UNCHANGED) for k in frames],
        look=SecondLook(frames.__getitem__), method=METHOD, crop=(0, 0, *SIZE), executor=executor,
    )  # fmt: skip
    assert (fused.image == mean).all()


@pytest.mark.parametrize("warp", ["keys", "cubic"])
@pytest.mark.parametrize("crop", [(0, 0, *SIZE), (7, 5, 100, 131), (3, 64, 190, 64), (3, 70, 50, 3)])
def test_a_frame_lies_and_shines_exactly_as_in_the_first_pass(
    executor: ThreadPoolExecutor, crop: tuple[int, int, int, int], warp: str
) -> None:
    method = Method(fusion="depthmap", warp=warp)
    frames = {k: texture(SIZE[1], SIZE[0], seed=k).astype(np.uint16) * 257 for k in range(2)}
    laid = Laid(1, similarity(scale=1.01, degrees=0.2, x=1.3, y=-2.1), (0.93, 0.95, 1.02))
    fused = resynthesise(
        np.ones(crop[:1:-1], np.float32), [0.0, 1.0], [Laid(0, np.eye(3), UNCHANGED), laid],
        look=SecondLook(frames.__getitem__), method=method, crop=crop, executor=executor,
    )  # fmt: skip
    whole = lay(
        frames[1], laid.transform, method, gain=laid.gain, halo_px=FirstLook.halo_px, crop=crop, executor=executor
    )
    assert np.array_equal(fused.image, whole)


def test_the_neighbours_take_the_place_of_a_frame_that_is_gone(fuse: Resynthesise) -> None:
    frames = {0.0: grey(50), 1.0: grey(90), 2.0: grey(210)}
    lost: list[tuple[int, FrameError]] = []

    def read(index: int) -> np.ndarray:
        if index == 4:
            raise DamagedImage("is cut off")
        return list(frames.values())[index - 3]

    fused = fuse(ramp(0, 2), frames, SecondLook(read, lost=lambda index, error: lost.append((index, error))))
    assert [(index, str(error)) for index, error in lost] == [(4, "is cut off")]
    without = fuse(ramp(0, 2), {0.0: frames[0.0], 2.0: frames[2.0]})
    assert np.array_equal(fused.image, without.image)
    assert set(np.unique(fused.index)) == {3, 5}


def test_when_all_frames_are_gone_there_is_no_picture(fuse: Resynthesise) -> None:
    def read(index: int) -> np.ndarray:
        raise DamagedImage(f"{index} is gone")

    with pytest.raises(DamagedImage, match="is gone"):
        fuse(ramp(0, 1), {0.0: grey(1), 1.0: grey(2)}, SecondLook(read))


def test_every_frame_is_read_once_and_told_and_two_at_most_are_in_memory(fuse: Resynthesise) -> None:
    lock, alive, most = threading.Lock(), 0, 0
    seen: list[int] = []
    told: list[tuple[int, int]] = []

    def gone() -> None:
        nonlocal alive
        with lock:
            alive -= 1

    def read(index: int) -> np.ndarray:
        nonlocal alive, most
        frame = grey(index)
        with lock:
            alive += 1
            most = max(most, alive)
            seen.append(index)
        weakref.finalize(frame, gone)
        return frame

    frames = {float(k): grey(0) for k in range(12)}
    fuse(ramp(0, 11), frames, SecondLook(read, told=lambda done, total: told.append((done, total))))
    assert seen == list(range(3, 15))
    assert told == [(k, 12) for k in range(1, 13)]
    assert most <= 2
