from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focusrail.stacking import kernels
from focusrail.stacking.canvas import ValidArea, stripes, warp_stripe
from peers.textures import about, similarity, texture

WIDTH, HEIGHT = 320, 240
Mask = npt.NDArray[np.bool_]

near_identity = st.builds(
    lambda scale, degrees, x, y, px, py: (
        about(similarity(scale=scale, degrees=degrees, x=x, y=y), (WIDTH, HEIGHT))
        @ np.array([[1, 0, 0], [0, 1, 0], [px, py, 1]])
    ),
    scale=st.floats(0.85, 1.15),
    degrees=st.floats(-8, 8),
    x=st.floats(-40, 40),
    y=st.floats(-40, 40),
    px=st.sampled_from([0.0, 1e-5, -1e-4, 3e-4]),
    py=st.sampled_from([0.0, -1e-5, 1e-4]),
)


def covered(transforms: list[npt.NDArray[np.float64]], *, slack_px: float) -> Mask:
    """The canvas pixels whose whole square lies in every frame's outline, give or take the slack."""
    inside = np.ones((HEIGHT, WIDTH), bool)
    reach = 0.5 - slack_px
    for dx, dy in ((-reach, -reach), (reach, -reach), (reach, reach), (-reach, reach)):
        ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
        corners = np.stack([xs + dx, ys + dy, np.ones_like(xs)])
        for transform in transforms:
            x, y, w = np.einsum("ij,jhw->ihw", np.linalg.inv(transform), corners)
            inside &= (np.abs(x / w - (WIDTH - 1) / 2) <= WIDTH / 2) & (np.abs(y / w - (HEIGHT - 1) / 2) <= HEIGHT / 2)
    return inside


def largest_rectangle(inside: Mask) -> int:
    """The area of the largest all-true rectangle: histogram by histogram, with a stack."""
    best, heights = 0, np.zeros(inside.shape[1] + 1, int)
    for row in inside:
        heights[:-1] = np.where(row, heights[:-1] + 1, 0)
        open_at: list[tuple[int, int]] = []
        for x, height in enumerate(heights.tolist()):
            start = x
            while open_at and open_at[-1][1] >= height:
                start, tall = open_at.pop()
                best = max(best, tall * (x - start))
            open_at.append((start, height))
    return best


@settings(max_examples=20, deadline=None)
@given(st.lists(near_identity, min_size=1, max_size=5))
def test_the_rectangle_lies_in_every_frame_and_is_as_large_as_can_be(
    transforms: list[npt.NDArray[np.float64]],
) -> None:
    area = ValidArea(WIDTH, HEIGHT)
    for transform in transforms:
        area.add(transform)
    x, y, width, height = area.rectangle()
    canvas = np.eye(3)
    allowed = covered([canvas, *transforms], slack_px=0.02)
    assert allowed[y : y + height, x : x + width].all()
    best = largest_rectangle(covered([canvas, *transforms], slack_px=0.0))
    assert width * height >= 0.97 * best


def test_frames_on_the_canvas_own_grid_keep_every_pixel() -> None:
    area = ValidArea(WIDTH, HEIGHT)
    assert area.rectangle() == (0, 0, WIDTH, HEIGHT)
    for _ in range(50):
        area.add(np.eye(3))
    assert area.rectangle() == (0, 0, WIDTH, HEIGHT)


@pytest.mark.parametrize(("x", "y"), [(7, 0), (0, -5), (12, 9), (-3, -4)])
def test_a_whole_pixel_shift_costs_exactly_those_rows_and_columns(x: int, y: int) -> None:
    area = ValidArea(WIDTH, HEIGHT)
    area.add(similarity(x=x, y=y))
    assert area.rectangle() == (max(0, x), max(0, y), WIDTH - abs(x), HEIGHT - abs(y))


def test_a_large_sensor_keeps_every_pixel_too() -> None:
    area = ValidArea(9504, 6336)
    area.add(np.eye(3))
    area.add(similarity(x=1))
    assert area.rectangle() == (1, 0, 9503, 6336)


@pytest.mark.parametrize("x", [WIDTH, -WIDTH, 5000])
def test_disjoint_frames_have_an_empty_area_and_stay_disjoint(x: int) -> None:
    area = ValidArea(WIDTH, HEIGHT)
    area.add(similarity(x=x))
    assert area.rectangle()[2:] == (0, 0)
    area.add(np.eye(3))
    assert area.rectangle()[2:] == (0, 0)


def test_many_frames_of_the_same_outline_keep_what_one_keeps() -> None:
    turned = about(similarity(scale=1.03125, degrees=2.0, y=0.25), (WIDTH, HEIGHT))
    area = ValidArea(WIDTH, HEIGHT)
    area.add(turned)
    once = area.rectangle()
    for _ in range(20):
        area.add(turned)
    assert area.rectangle() == once


def test_a_mirrored_frame_covers_what_the_frame_covers() -> None:
    area = ValidArea(WIDTH, HEIGHT)
    area.add(np.array([[-1.0, 0, WIDTH - 1 - 20], [0, 1, 0], [0, 0, 1]]))
    assert area.rectangle() == (0, 0, WIDTH - 20, HEIGHT)


def test_a_frame_that_shows_more_than_the_canvas_costs_nothing() -> None:
    area = ValidArea(WIDTH, HEIGHT)
    area.add(about(similarity(scale=1.3), (WIDTH, HEIGHT)))
    assert area.rectangle() == (0, 0, WIDTH, HEIGHT)


@given(height=st.integers(1, 700), halo=st.integers(0, 20), rows=st.integers(1, 130))
def test_stripes_hold_every_row_exactly_once_with_its_halo(height: int, halo: int, rows: int) -> None:
    seen: list[int] = []
    for stripe in stripes(height, halo_px=halo, rows=rows):
        own = np.arange(height)[stripe.rows]
        seen += own.tolist()
        with_halo = np.arange(height)[stripe.halo_top : stripe.halo_bottom]
        assert (with_halo[stripe.inner] == own).all()
        assert with_halo[0] == max(0, own[0] - halo)
        assert with_halo[-1] == min(height - 1, own[-1] + halo)
    assert seen == list(range(height))


def by_stripes(frame: npt.NDArray[np.uint8], transform: npt.NDArray[np.float64], kernel: str) -> npt.NDArray[np.uint8]:
    parts = [
        warp_stripe(frame, transform, stripe, kernel=kernel, black_border=False)[:, stripe.inner]
        for stripe in stripes(frame.shape[0], halo_px=5)
    ]
    return kernels.join(np.concatenate(parts, axis=1), frame.dtype)


FLAGS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4, "keys": cv2.INTER_CUBIC}


@pytest.mark.parametrize(
    ("kernel", "perspective"), [(k, p) for k in FLAGS for p in (0.0, 2e-5) if (k, p) != ("keys", 0.0)]
)
def test_stripes_put_together_are_the_whole_warp(kernel: str, perspective: float) -> None:
    frame = cv2.GaussianBlur(texture(HEIGHT, WIDTH), (9, 9), 2.5)
    transform = about(similarity(scale=1.013, degrees=0.7, x=3.3, y=-1.6), (WIDTH, HEIGHT))
    transform[2, 0] = perspective
    whole = cv2.warpPerspective(frame, transform, (WIDTH, HEIGHT), flags=FLAGS[kernel], borderMode=cv2.BORDER_REPLICATE)
    assert cv2.absdiff(by_stripes(frame, transform, kernel), whole).max() <= 1


def test_the_identity_returns_the_very_pixels() -> None:
    frame = texture(150, 90)
    for kernel in FLAGS:
        assert np.array_equal(by_stripes(frame, np.eye(3), kernel), frame)


def test_a_steep_turn_is_warped_too() -> None:
    frame = cv2.GaussianBlur(texture(HEIGHT, WIDTH), (9, 9), 2.5)
    transform = about(similarity(degrees=30), (WIDTH, HEIGHT))
    whole = cv2.warpAffine(
        frame, transform[:2], (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    assert cv2.absdiff(by_stripes(frame, transform, "keys"), whole).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kernel", FLAGS)
def test_a_shift_by_whole_pixels_moves_them_unchanged(kernel: str, dtype: type) -> None:
    frame: np.ndarray = texture(200, 90).astype(dtype)
    moved = by_stripes(frame, similarity(x=4, y=-7), kernel)
    assert np.array_equal(moved[:-7, 4:], frame[7:, :-4])


def test_beyond_a_frame_its_edge_goes_on_or_it_is_black() -> None:
    frame = np.full((64, 64, 3), 200, np.uint8)
    (stripe,) = stripes(64, halo_px=0, rows=64)
    for kernel in FLAGS:
        edge = warp_stripe(frame, similarity(x=30.4), stripe, kernel=kernel, black_border=False)
        assert (edge == 200 * 257).all()
    black = warp_stripe(frame, similarity(x=30.4), stripe, kernel="linear", black_border=True)
    assert (black[:, :, :30] == 0).all()
    assert (black[:, :, 32:] == 200 * 257).all()
