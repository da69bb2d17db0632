from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from focusrail.errors import FrameSizeDiffers, NotRegistered, TooFewFrames
from focusrail.model.method import Method, Registration, notebook
from focusrail.stacking.arrays import Allocate
from focusrail.stacking.exposure import ExposureReference, luma_gain
from focusrail.stacking.features import Found
from focusrail.stacking.pipeline import Result, Stacker, relative_to, smallest_field
from focusrail.stacking.resynthesis import SecondLook
from focusrail.worker.planes import Planes
from focusrail_drivers.accelerators.cpu import CpuAccelerator
from peers.textures import about, similarity, texture, view

SIZE = (400, 300)
METHODS = {
    "bands": Method(),
    "soft": Method(fusion="soft"),
    "lob": Method(fusion="lob"),
    "pyramid": Method(fusion="pyramid"),
    "depthmap": Method(fusion="depthmap"),
    "homography": Method(registration=Registration(model="homography")),
    "notebook": notebook(),
}


def transforms(frames: int) -> list[np.ndarray]:
    """Each frame's pixels to the first's: breathing, drift and a little shake."""
    return [
        about(similarity(scale=1 + 0.008 * k, degrees=0.05 * k, x=0.9 * k, y=-0.4 * k), SIZE) for k in range(frames)
    ]


def stack_of(frames: int, *, dtype: type = np.uint8) -> list[np.ndarray]:
    """A slanted plane: each frame is sharp in its own strip."""
    world = texture(SIZE[1] + 200, SIZE[0] + 200)
    levels = [world, *(cv2.GaussianBlur(world, (0, 0), 1.2 * k) for k in range(1, frames + 1))]
    strips = np.clip(np.arange(world.shape[1]) * frames // world.shape[1], 0, frames - 1)
    made = []
    for k, transform in enumerate(transforms(frames)):
        seen = np.empty_like(world)
        for strip in range(frames):
            seen[:, strips == strip] = levels[abs(strip - k)][:, strips == strip]
        frame = view(seen, similarity(x=100, y=100) @ transform, SIZE)
        made.append(frame if dtype == np.uint8 else frame.astype(np.uint16) * 257)
    return made


def run(
    method: Method, frames: list[np.ndarray], *, threads: int = 2, allocate: Allocate = np.zeros
) -> tuple[Result, list[Found]]:
    with ThreadPoolExecutor(threads) as executor:
        stacker = Stacker(method, accelerator=CpuAccelerator(), executor=executor, allocate=allocate)
        found = []
        for index, frame in enumerate(frames):
            registered = stacker.register(stacker.examine(frame), index, index * 0.1)
            found.append(registered.found)
            stacker.fuse(registered)
        return stacker.finish(SecondLook(frames.__getitem__)), found


@pytest.fixture
def executor():
    with ThreadPoolExecutor(2) as made:
        yield made


@pytest.mark.parametrize("name", METHODS)
def test_no_bit_depends_on_the_number_of_threads(name: str) -> None:
    frames = stack_of(3)
    one, _ = run(METHODS[name], frames, threads=1)
    many, _ = run(METHODS[name], frames, threads=7)
    assert one.crop == many.crop
    assert one.won == many.won
    for plane in ("image", "index"):
        assert np.array_equal(getattr(one.fused, plane), getattr(many.fused, plane)), plane
    assert np.array_equal(one.depth().depth, many.depth().depth)


@pytest.mark.parametrize("name", METHODS)
def test_planes_in_files_give_the_same_bits(name: str, tmp_path: Path) -> None:
    frames = stack_of(3)
    in_files = Planes(tmp_path, budget_bytes=0)
    here, there = run(METHODS[name], frames)[0], run(METHODS[name], frames, allocate=in_files)[0]
    assert in_files.memory_bytes == 0
    assert in_files.file_bytes > 0
    assert np.array_equal(here.fused.image, there.fused.image)
    assert np.array_equal(here.depth().depth, there.depth().depth)


@pytest.mark.parametrize("name", ["bands", "pyramid", "depthmap"])
def test_a_slanted_plane_becomes_sharp_everywhere(name: str) -> None:
    frames = stack_of(4)
    result, found = run(METHODS[name], frames)
    x, y, width, height = result.crop
    assert width > 0.9 * SIZE[0] and height > 0.9 * SIZE[1]
    sharp = view(texture(SIZE[1] + 200, SIZE[0] + 200), similarity(x=100, y=100), SIZE)[y : y + height, x : x + width]
    gray = [cv2.cvtColor(i, cv2.COLOR_BGR2GRAY).astype(float) for i in (result.fused.image, sharp)]
    assert np.abs(gray[0] - gray[1]).mean() < 4
    assert sum(result.won.values()) == pytest.approx(1.0)
    assert min(result.won.values()) > 0.02
    for one, true in zip(found, transforms(4), strict=True):
        corners = np.array([[(0, 0)], [SIZE]], np.float64)
        assert (
            np.abs(cv2.perspectiveTransform(corners, one.transform) - cv2.perspectiveTransform(corners, true)).max()
            < 0.3
        )
    depth = result.depth().depth
    assert depth.shape == (height, width)
    assert depth[:, 20:40].mean() < 0.12 < 0.18 < depth[:, -40:-20].mean()


@pytest.mark.parametrize("name", ["bands", "pyramid", "depthmap"])
def test_sixteen_bit_frames_stay_sixteen_bit(name: str) -> None:
    result, _ = run(METHODS[name], stack_of(2, dtype=np.uint16))
    assert result.fused.image.dtype == np.uint16
    assert result.fused.image.max() > 40000


def test_every_method_has_the_same_crop_and_depth() -> None:
    frames = stack_of(3)
    one, *others = (run(METHODS[name], frames)[0] for name in ("bands", "pyramid", "depthmap"))
    depth = one.depth().depth
    for other in others:
        assert other.crop == one.crop
        assert other.fused.image.shape == one.fused.image.shape
        assert np.array_equal(other.depth().depth, depth)


def test_the_index_of_a_depth_map_method_is_the_frame_nearest_in_depth() -> None:
    result, _ = run(METHODS["depthmap"], stack_of(4))
    assert np.abs(result.depth().depth - result.fused.index * 0.1).max() < 0.0501


def test_while_nothing_is_fused_there_is_nothing_to_glance_at(executor) -> None:
    stacker = Stacker(METHODS["depthmap"], accelerator=CpuAccelerator(), executor=executor)
    stacker.fuse(stacker.register(stacker.examine(stack_of(1)[0]), 0, 0.0))
    assert stacker.glance(longest_px=100) is None


def test_a_frame_of_another_size_is_refused_naming_both(executor) -> None:
    stacker = Stacker(Method(), accelerator=CpuAccelerator(), executor=executor)
    stacker.register(stacker.examine(texture(300, 400)), 0, 0.0)
    with pytest.raises(FrameSizeDiffers, match="is 402 x 300 px at 8 bit, the first frame is 400 x 300 px at 8 bit"):
        stacker.register(stacker.examine(texture(300, 402)), 1, 0.0)
    with pytest.raises(FrameSizeDiffers, match="is 400 x 300 px at 16 bit"):
        stacker.register(stacker.examine(texture(300, 400).astype(np.uint16)), 2, 0.0)
    stacker.register(stacker.examine(texture(300, 400)), 3, 0.0)


def test_a_frame_left_out_never_shrinks_the_result_nor_changes_a_pixel(executor) -> None:
    frames = stack_of(3)
    undisturbed, _ = run(Method(), frames)
    stacker = Stacker(Method(), accelerator=CpuAccelerator(), executor=executor)
    intruders = [texture(SIZE[1], SIZE[0], seed=7), np.zeros_like(frames[0]), texture(80, 90)]
    for index, frame in enumerate(frames):
        stacker.fuse(stacker.register(stacker.examine(frame), index, index * 0.1))
        for intruder in intruders:
            with pytest.raises((NotRegistered, FrameSizeDiffers)):
                stacker.register(stacker.examine(intruder), 90 + index, 9.0)
    result = stacker.finish()
    assert result.crop == undisturbed.crop
    assert np.array_equal(result.fused.image, undisturbed.fused.image)


def test_an_unregistered_first_frame_does_not_decide_the_exposure(executor) -> None:
    frames = stack_of(2)
    stacker = Stacker(Method(), accelerator=CpuAccelerator(), executor=executor)
    with pytest.raises(NotRegistered):
        stacker.register(stacker.examine(np.zeros_like(frames[0])), 0, 0.0)
    stacker.fuse(stacker.register(stacker.examine(frames[0]), 1, 0.1))
    darker = np.rint(frames[1] * 0.8).astype(np.uint8)
    assert stacker.register(stacker.examine(darker), 2, 0.2).gain == pytest.approx((1.25, 1.25, 1.25), rel=0.01)


def test_a_lamp_that_changes_its_colour_leaves_next_to_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, rng = stack_of(6), np.random.default_rng(4)
    lamps = [np.ones(3), *(1 + 0.03 * rng.standard_normal((5, 3)))]
    flickered = [np.clip(np.rint(f * lamp), 0, 255).astype(np.uint8) for f, lamp in zip(frames, lamps, strict=True)]
    known = {index: Found(transform) for index, transform in enumerate(transforms(6))}

    def fused(of: list[np.ndarray]) -> np.ndarray:
        with ThreadPoolExecutor(1) as executor:
            stacker = Stacker(
                Method(), accelerator=CpuAccelerator(), executor=executor, known=known, reference=frames[0]
            )
            for index, frame in enumerate(of):
                stacker.fuse(stacker.register(stacker.examine(frame), index, index * 0.1))
            return stacker.finish().fused.image.astype(np.float32)

    steady, gain_of = fused(frames), ExposureReference.gain
    trace = np.abs(fused(flickered) - steady).mean()

    def of_luma_alone(self: ExposureReference, frame: np.ndarray, transform: np.ndarray) -> tuple[float, float, float]:
        return (luma_gain(gain_of(self, frame, transform)),) * 3

    monkeypatch.setattr(ExposureReference, "gain", of_luma_alone)
    assert trace < 0.5
    assert trace < 0.35 * np.abs(fused(flickered) - steady).mean()


def test_a_stack_needs_two_frames(executor) -> None:
    stacker = Stacker(Method(), accelerator=CpuAccelerator(), executor=executor)
    assert stacker.glance(longest_px=100) is None
    with pytest.raises(TooFewFrames, match="there is 0"):
        stacker.finish()
    stacker.fuse(stacker.register(stacker.examine(stack_of(1)[0]), 0, 0.0))
    with pytest.raises(TooFewFrames, match="there is 1"):
        stacker.finish()


def test_frames_without_common_area_are_no_stack(executor) -> None:
    known = {0: Found(), 1: Found(similarity(x=5000))}
    frame = texture(*SIZE[::-1])
    stacker = Stacker(Method(), accelerator=CpuAccelerator(), executor=executor, known=known, reference=frame)
    for index in known:
        stacker.fuse(stacker.register(stacker.examine(frame), index, 0.0))
    with pytest.raises(TooFewFrames, match="no area in common"):
        stacker.finish()


def test_transforms_known_beforehand_are_taken_as_they_are(executor) -> None:
    known = {0: Found(similarity(x=2)), 1: Found()}
    frame = texture(*SIZE[::-1])
    stacker = Stacker(Method(), accelerator=CpuAccelerator(), executor=executor, known=known, reference=frame)
    examined = stacker.examine(frame)
    assert examined.seen is None
    assert np.array_equal(stacker.register(examined, 0, 0.0).found.transform, similarity(x=2))
    with pytest.raises(NotRegistered, match="beforehand"):
        stacker.register(stacker.examine(frame), 5, 0.0)


def test_without_cropping_the_canvas_is_kept_whole() -> None:
    result, _ = run(replace(Method(), crop=False), stack_of(2))
    assert result.crop == (0, 0, *SIZE)
    assert result.fused.image.shape == (SIZE[1], SIZE[0], 3)


def test_gaps_in_the_numbering_are_kept(executor) -> None:
    frames = stack_of(2)
    stacker = Stacker(Method(fusion="lob"), accelerator=CpuAccelerator(), executor=executor)
    for index, frame in zip((5, 60000), frames, strict=True):
        stacker.fuse(stacker.register(stacker.examine(frame), index, index / 1000))
    result = stacker.finish()
    assert set(np.unique(result.fused.index)) == {5, 60000}
    assert set(result.won) == {5, 60000}
    depth = result.depth().depth
    assert 0.0049 < depth.min() < 1.0
    assert 59.0 < depth.max() < 60.01


def test_the_depth_so_far_is_small_and_uncropped_and_does_not_change_what_comes(executor) -> None:
    stacker, other = (Stacker(Method(), accelerator=CpuAccelerator(), executor=executor) for _ in range(2))
    assert stacker.glance_depth(longest_px=100) is None
    for index, frame in enumerate(stack_of(5)):
        for one in (stacker, other):
            one.fuse(one.register(one.examine(frame), index, float(index)))
        so_far = stacker.glance_depth(longest_px=100)
        assert so_far is not None
        assert so_far.depth.shape == (74, 100)
        assert index - 0.5 < float(so_far.depth.max()) <= index + 1e-6, "as far as the frames go"
    assert np.array_equal(stacker.finish().depth().depth, other.finish().depth().depth)


@pytest.mark.parametrize("crop", [True, False])
def test_a_glance_is_small_and_cropped_as_the_result_will_be(executor, crop: bool) -> None:
    stacker = Stacker(Method(crop=crop), accelerator=CpuAccelerator(), executor=executor)
    for index, frame in enumerate(reversed(stack_of(4))):  # whose field becomes larger
        stacker.fuse(stacker.register(stacker.examine(frame), index, float(index)))
    small, whole = stacker.glance(longest_px=100), stacker.glance(longest_px=5000)
    depth = stacker.glance_depth(longest_px=100)
    assert small is not None and whole is not None and depth is not None
    result = stacker.finish()
    assert (result.crop[2:] == SIZE) == (not crop)
    assert np.array_equal(whole, result.fused.image)
    step = max(SIZE) // 100
    for shape in (small.shape, depth.depth.shape):
        assert shape[0] == pytest.approx(result.crop[3] / step, abs=2)
        assert shape[1] == pytest.approx(result.crop[2] / step, abs=2)


def test_a_spectator_sees_every_row_of_every_stage_once() -> None:
    seen: dict[tuple[str, int], list[int]] = {}
    frames = stack_of(2)

    def watch(stage: str, index: int, stripe, plane) -> None:
        assert len(plane) == stripe.bottom - stripe.top
        seen.setdefault((stage, index), []).extend(range(stripe.top, stripe.bottom))

    with ThreadPoolExecutor(1) as executor:
        stacker = Stacker(Method(), accelerator=CpuAccelerator(), executor=executor, spectator=watch)
        for index, frame in enumerate(frames):
            stacker.fuse(stacker.register(stacker.examine(frame), index, 0.0))
    assert set(seen) == {(stage, index) for stage in ("aligned", "measure") for index in (0, 1)}
    assert all(sorted(rows) == list(range(SIZE[1])) for rows in seen.values())


def test_relative_to_another_frame_that_frame_stands_still() -> None:
    to_first = {k: Found(t, matches=9, inliers=8, residual_px=0.5) for k, t in enumerate(transforms(4))}
    turned = relative_to(to_first, 2)
    assert turned[2].transform == pytest.approx(np.eye(3), abs=1e-9)
    for k, one in turned.items():
        assert to_first[2].transform @ one.transform == pytest.approx(to_first[k].transform, abs=1e-9)
        assert one.transform[2, 2] == 1
        assert (one.matches, one.inliers, one.residual_px) == (9, 8, 0.5)


@pytest.mark.parametrize("model", ["similarity", "homography"])
def test_the_smallest_field_is_that_of_the_frame_covered_by_all_others(model: str) -> None:
    tilt = np.eye(3)
    tilt[2, 0] = 1e-4 if model == "homography" else 0.0
    scales = [1.0, 0.97, 0.95, 0.96, 1.02]  # frame pixels to the first's: the smaller, the less of the scene
    found = {k: Found(about(similarity(scale=s, x=3.0 * k), SIZE) @ tilt) for k, s in enumerate(scales)}
    assert smallest_field(found, SIZE) == 2
    assert smallest_field({k: Found() for k in (7, 4, 5)}, SIZE) == 4


def test_frames_that_lie_on_each_other_already_are_not_moved() -> None:
    frames = stack_of(3)
    result, found = run(Method(aligned=True, normalise_exposure=False), frames)
    assert all(np.array_equal(one.transform, np.eye(3)) for one in found)
    assert result.crop == (0, 0, *SIZE)
    black = [np.zeros_like(frames[0])] * 2  # nothing to register by, and no need to
    assert not run(Method(aligned=True), black)[0].fused.image.any()
