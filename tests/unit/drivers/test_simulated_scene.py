from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from focusrail_drivers.simulation.hairs import hairs
from focusrail_drivers.simulation.layer import DEPTH_CELL_PX, Layer, Sketch, layer_from
from focusrail_drivers.simulation.lens import Lens, disc_kernel, kernel_variance
from focusrail_drivers.simulation.noise import Sensor
from focusrail_drivers.simulation.projection import OneView, Parallax, Pose
from focusrail_drivers.simulation.rect import Rect
from focusrail_drivers.simulation.renderer import Renderer
from focusrail_drivers.simulation.scene import SceneOptions
from focusrail_drivers.simulation.view import View

VIEW = Rect(0, 0, 384, 256)
LENS = Lens(numerical_aperture=0.1, px_per_mm=100.0)  # about 10 px of radius for each mm


def thing(image: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8], depth_mm: float) -> Layer:
    painted = np.dstack([image * (alpha[:, :, None] / 255.0), alpha]).astype(np.uint8)
    depth = np.full((VIEW.height // DEPTH_CELL_PX, VIEW.width // DEPTH_CELL_PX), depth_mm, np.float32)
    return layer_from(Sketch(VIEW, painted, VIEW, depth), VIEW, largest_radius_px=60.0)


def grey(level: int) -> npt.NDArray[np.uint8]:
    return np.full((VIEW.height, VIEW.width, 3), level, np.uint8)


def covering() -> npt.NDArray[np.uint8]:
    return np.full((VIEW.height, VIEW.width), 255, np.uint8)


def texture() -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(3).uniform(0, 255, (VIEW.height // 4, VIEW.width // 4, 3)).astype(np.float32)
    return np.clip(cv2.resize(noise, (VIEW.width, VIEW.height), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def rendered(
    layers: list[Layer], focus_mm: float, projection: OneView | Parallax | None = None
) -> npt.NDArray[np.float32]:
    return Renderer(layers, VIEW, LENS, projection or OneView()).picture(focus_mm)


def test_the_disc_grows_linearly_with_the_cone_of_the_aperture() -> None:
    assert LENS.circle_radius_px(0.0) == 0.0
    assert LENS.circle_radius_px(-2.0) == LENS.circle_radius_px(2.0)
    assert LENS.circle_radius_px(2.0) == pytest.approx(2.0 * math.tan(math.asin(0.1)) * 100.0)


@pytest.mark.parametrize("radius_px", [2.0, 3.7, 8.0, 15.5])
def test_the_kernel_is_a_uniform_disc(radius_px: float) -> None:
    kernel = disc_kernel(radius_px)
    assert kernel.sum() == pytest.approx(1.0)
    assert kernel.max() == pytest.approx(1 / (math.pi * radius_px**2), rel=0.02)
    # The pixels themselves are a box of 1 px, which adds 1/12.
    assert kernel_variance(kernel) == pytest.approx(radius_px**2 / 4 + 1 / 12, rel=0.04)


@pytest.mark.parametrize("defocus_mm", [0.12, 0.2, 0.33, 0.5, 0.9, 1.3, 2.4, -0.5])
def test_a_point_out_of_focus_becomes_a_disc_of_the_thin_lens_size(defocus_mm: float) -> None:
    dot = np.zeros((VIEW.height, VIEW.width, 3), np.uint8)
    cv2.circle(dot, (192, 128), 6, (255, 255, 255), -1)
    layers = [thing(dot, covering(), 10.0)]
    x = np.arange(VIEW.width) - 192.0

    def second_moment(focus_mm: float) -> float:
        profile = rendered(layers, focus_mm)[:, :, 1].sum(axis=0, dtype=np.float64)
        return float((profile * x**2).sum() / profile.sum())

    grown_px2 = second_moment(10.0 - defocus_mm) - second_moment(10.0)
    # A disc's second moment is a quarter of its radius squared.
    assert 2 * math.sqrt(max(0.0, grown_px2)) == pytest.approx(LENS.circle_radius_px(defocus_mm), rel=0.06)


def test_blur_is_a_flat_disc_with_an_edge_and_not_a_gaussian() -> None:
    dot = np.zeros((VIEW.height, VIEW.width, 3), np.uint8)
    cv2.circle(dot, (192, 128), 5, (255, 255, 255), -1)
    line = rendered([thing(dot, covering(), 10.0)], 7.0)[128, :, 1]  # a disc of 30 px
    middle = float(line[180:204].mean())
    assert line[172] == pytest.approx(middle, rel=0.12)
    assert line[192 + 40] < 0.05 * middle


def test_what_is_in_focus_looks_as_painted() -> None:
    renderer = Renderer([thing(texture(), covering(), 10.0)], VIEW, LENS, OneView())
    truth, depth = renderer.sharp()
    assert np.abs(renderer.picture(10.0) - truth).max() < 0.51
    assert (depth == 10.0).all()


def test_a_defocused_foreground_veils_the_background_beyond_its_own_outline() -> None:
    bar = np.zeros((VIEW.height, VIEW.width), np.uint8)
    bar[:, 182:202] = 255
    layers = [thing(texture(), covering(), 12.0), thing(grey(0), bar, 10.0)]
    alone = rendered(layers[:1], 12.0)
    veiled = rendered(layers, 12.0)  # the bar is a disc of 20 px out of focus
    inside, beside, far = np.s_[:, 188:196], np.s_[:, 170:180], np.s_[:, :140]
    # Darkened beyond the outline, and the background's own sharp detail is seen through the middle of the bar.
    assert 0.55 < veiled[beside].mean() / alone[beside].mean() < 0.9
    assert 0.1 < veiled[inside].mean() / alone[inside].mean() < 0.6
    assert np.corrcoef(veiled[inside].ravel(), alone[inside].ravel())[0, 1] > 0.95
    assert np.abs(veiled[far] - alone[far]).max() < 0.01


def test_a_sharp_foreground_has_a_hard_edge_before_a_blurred_background() -> None:
    half = np.zeros((VIEW.height, VIEW.width), np.uint8)
    half[:, 192:] = 255
    picture = rendered([thing(grey(20), covering(), 16.0), thing(grey(200), half, 10.0)], 10.0)[128, :, 1]
    assert picture[189] < 22
    assert picture[194] > 198


def test_depth_is_that_of_the_nearest_thing() -> None:
    bar = np.zeros((VIEW.height, VIEW.width), np.uint8)
    bar[:, 182:202] = 255
    layers = [thing(grey(90), covering(), 12.0), thing(grey(0), bar, 10.0)]
    _, depth = Renderer(layers, VIEW, LENS, OneView()).sharp()
    assert (depth[:, 184:200] == 10.0).all()
    assert (depth[:, :180] == 12.0).all()


def test_with_perspective_near_things_grow_more_than_far_ones_and_uncover_what_is_behind() -> None:
    centre = ((VIEW.width - 1) / 2, (VIEW.height - 1) / 2)
    parallax = Parallax(distance_mm=20.0, middle_mm=10.0, centre_px=centre)
    bar = np.zeros((VIEW.height, VIEW.width), np.uint8)
    bar[:, 300:320] = 255
    layers = [thing(grey(200), covering(), 12.0), thing(grey(0), bar, 10.0)]

    def bar_px(focus_mm: float) -> float:
        dark = 200.0 - rendered(layers, focus_mm, parallax)[128, :, 1].astype(np.float64)
        return float((dark * np.arange(VIEW.width)).sum() / dark.sum())

    for focus_mm in (10.0, 10.6, 11.5):
        magnification = 20.0 / (20.0 + 10.0 - focus_mm)
        assert bar_px(focus_mm) == pytest.approx(centre[0] + (309.5 - centre[0]) * magnification, abs=0.15)


def test_the_pose_is_a_similarity_that_depends_on_position_and_frame_only() -> None:
    pose = Pose(1, 12.0, 0.02, (1.0, -0.5), 0.1, jitter_px=0.2)
    one = pose.transform(13.0, 4, centre_px=(100.0, 50.0), shift_px=(0.0, 0.0))
    assert np.array_equal(one, pose.transform(13.0, 4, centre_px=(100.0, 50.0), shift_px=(0.0, 0.0)))
    assert not np.array_equal(one, pose.transform(13.0, 5, centre_px=(100.0, 50.0), shift_px=(0.0, 0.0)))
    scale = math.hypot(one[0, 0], one[1, 0])
    assert scale == pytest.approx(math.exp(0.02))
    assert np.allclose(one[:2, :2] @ one[:2, :2].T, scale**2 * np.eye(2))
    assert math.degrees(math.atan2(one[1, 0], one[0, 0])) == pytest.approx(0.1)
    still = Pose(1, 12.0, 0.02, (1.0, -0.5), 0.1, jitter_px=0.0)
    moved = still.transform(13.0, 4, centre_px=(100.0, 50.0), shift_px=(0.25, 0.0)) @ (100.0, 50.0, 1.0)
    assert moved[:2] == pytest.approx((101.25, 49.5))


def test_noise_has_the_deviation_of_counted_electrons() -> None:
    sensor = Sensor(1, full_well_electrons=10000.0, read_noise_electrons=20.0, flicker=0.0)
    flat = np.full((400, 400, 3), 128.0, np.float32)
    counts = sensor.counts(flat.copy(), 0, bits=16).astype(np.float64) / 65535 * 255
    electrons = 128.0 / 255 * 10000.0
    assert counts.mean() == pytest.approx(128.0, abs=0.02)
    assert counts.std() == pytest.approx(math.sqrt(electrons + 20.0**2) * 255 / 10000.0, rel=0.02)


def test_the_lamp_flickers_from_frame_to_frame() -> None:
    lamps = [Sensor(1, 0.0, 0.0, flicker=0.02).lamp(index) for index in range(400)]
    assert np.std(lamps) == pytest.approx(0.02, rel=0.2)
    assert np.mean(lamps) == pytest.approx(1.0, abs=0.005)


def test_the_lamp_can_change_its_colour() -> None:
    colours = np.array([Sensor(1, 0.0, 0.0, 0.0, colour_flicker=0.03).colours(index) for index in range(400)])
    assert colours.std(axis=0) == pytest.approx(0.03, rel=0.2)
    assert abs(np.corrcoef(colours.T)[np.triu_indices(3, 1)]).max() < 0.2
    assert np.array_equal(Sensor(1, 0.0, 0.0, 0.02).colours(7), (1, 1, 1)), "unless told otherwise it does not"


def test_what_no_frame_reaches_is_as_sharp_in_the_truth_as_in_the_nearest_frame() -> None:
    bar = np.zeros((VIEW.height, VIEW.width), np.uint8)
    bar[:, 182:202] = 255
    far, near = thing(texture(), covering(), 12.0), thing(grey(0), bar, 10.0)
    renderer = Renderer([far, near], VIEW, LENS, OneView())
    image, depth = renderer.sharp(from_mm=9.0, to_mm=11.0)
    everything, true_depth = renderer.sharp()
    assert np.array_equal(depth, true_depth)
    assert (image[:, 186:198] == everything[:, 186:198]).all()  # within reach: sharp
    beyond = np.s_[:, :160]
    assert np.abs(image[beyond] - rendered([far], 11.0)[beyond]).max() < 0.51
    assert np.abs(image[beyond].astype(int) - everything[beyond]).mean() > 5


def test_another_subject_is_another_scene_of_the_same_depths() -> None:
    view = View(480, 320, 16)
    painted = list(hairs(SceneOptions(1, 10.0, 14.0, 14.6, "hairs"), view))
    assert len(painted) > 8
    assert all(sketch.depth_mm.min() >= 9.5 and sketch.depth_mm.max() <= 15.0 for sketch in painted)
