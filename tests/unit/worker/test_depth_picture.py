"""The depth map as a picture: its colours mean what the legend says."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from PIL import ImageFont

from focusrail.worker.depth_legend import Scale, labelled, legend
from focusrail.worker.depth_picture import depth_picture


def _colour(level: int) -> tuple[int, ...]:
    pixel = cv2.applyColorMap(np.full((1, 1), level, np.uint8), cv2.COLORMAP_VIRIDIS)
    return tuple(int(channel) for channel in pixel[0, 0])


def _slope(low: float = 12.0, high: float = 14.0, *, height: int = 300, width: int = 400) -> np.ndarray:
    return np.tile(np.linspace(low, high, width, dtype=np.float32), (height, 1))


def _bar(picture: np.ndarray, top: int = 300) -> np.ndarray:
    """A row of the colour bar: the longest run of colours in the legend."""
    legend = picture[top:].astype(int)
    coloured = np.ptp(legend, axis=2) > 20
    row = int(coloured.sum(axis=1).argmax())
    return legend[row][coloured[row]]


@pytest.mark.parametrize("far_is_high", [None, True, False])
@pytest.mark.parametrize(("unit", "scale"), [("mm", 3.2), ("mm", None), ("frames", None), ("frames", 0.4)])
def test_a_slope_has_the_colours_of_the_legend(unit: str, scale: float | None, far_is_high: bool | None) -> None:
    picture = depth_picture(_slope(10.0, 15.0), unit, scale, far_is_high=far_is_high)
    assert picture.dtype == np.uint8
    assert picture.shape[1] == 400
    bar = _bar(depth_picture(_slope(10.0, 15.0), unit, scale))
    assert np.abs(bar[0] - _colour(0)).max() <= 3
    assert np.abs(bar[-1] - _colour(255)).max() <= 3
    for x in (5, 100, 200, 300, 395):  # light and shade leave alone what is as steep as its surroundings
        assert np.abs(picture[150, x].astype(int) - _colour(round(x * 255 / 399))).max() <= 6, x


def test_a_few_wrong_depths_do_not_take_the_colours_from_the_others() -> None:
    depth = _slope(10.0, 15.0)
    depth[:3, :40] = 95.0
    picture = depth_picture(depth, "mm")
    assert np.abs(picture[150, 395].astype(int) - _colour(252)).max() <= 6
    assert np.abs(picture[1, 20].astype(int) - _colour(255)).max() <= 6, "the last colour: that or more"
    marked, plain = picture[300:], depth_picture(_slope(10.0, 15.0), "mm")[300:]
    differs = np.nonzero((marked != plain).any(axis=(0, 2)))[0]
    assert differs.size
    assert differs.min() > 150, "a sign stands before the high end's number, and none at the low one"


def test_what_is_not_sure_does_not_stretch_the_scale_and_is_paler() -> None:
    depth, sure = _slope(10.0, 15.0), np.ones((300, 400), np.float32)
    depth[:100], sure[:100] = 30.0, 0.5
    sure[200:] = 0.3
    picture = depth_picture(depth, "mm", sure=sure)
    assert np.abs(picture[150, 200].astype(int) - _colour(128)).max() <= 6

    def colourful(rows: slice) -> float:
        return float(np.ptp(picture[rows, 20:380].astype(int), axis=2).mean())

    assert colourful(slice(210, 290)) < 0.6 * colourful(slice(110, 190))
    assert colourful(slice(210, 290)) > 10, "but no grey, which is for what is unknown"


def test_with_given_ends_a_colour_means_the_same_however_little_is_known_yet() -> None:
    early, late = (depth_picture(_slope(10.0, high), "mm", ends=(10.0, 15.0)) for high in (11.0, 15.0))
    assert np.array_equal(early[300:], late[300:]), "one legend"
    assert np.abs(early[150, 395].astype(int) - _colour(51)).max() <= 6


def test_fine_relief_shows_lit_from_the_upper_left() -> None:
    y, x = np.mgrid[0:300, 0:400]
    bump = np.exp(-((x - 200) ** 2 + (y - 150) ** 2) / (2 * 8**2)).astype(np.float32)
    for far_is_high, towards in ((True, -1), (False, 1), (None, -1)):
        flat = depth_picture(_slope(10.0, 15.0), "mm", far_is_high=far_is_high).astype(int).sum(axis=2)
        lit = depth_picture(_slope(10.0, 15.0) + towards * 0.03 * bump, "mm", far_is_high=far_is_high)
        more = lit.astype(int).sum(axis=2) - flat
        assert more[142:146, 192:196].mean() > 20, "the slope towards the light is lighter"
        assert more[154:158, 204:208].mean() < -20
        assert np.abs(more[10:60, 10:390]).max() < 20, "and far from it nothing changes"


def test_the_ends_are_called_near_and_far_where_that_is_known() -> None:
    def ends(far_is_high: bool | None) -> tuple[np.ndarray, np.ndarray]:
        strip = legend(900, 24, Scale(10, 15, 1, False, False, "mm", far_is_high), unknown=False, um_per_px=None)
        return strip[17:43, 24:90], strip[17:43, 810:876]

    unknown, high, low = ends(None), ends(True), ends(False)
    for one, other in ((unknown, high), (unknown, low), (high, low)):
        assert (one[0] != other[0]).any()
        assert (one[1] != other[1]).any()
    assert Scale(10, 15, 1, False, False, "mm", True).words == ("near", "far")
    assert Scale(10, 15, 1, False, False, "mm", False).words == ("far", "near")


def test_labels_say_the_unit_and_where_values_lie_beyond() -> None:
    scale = Scale(10.0, 15.0, 1.0, True, False, "mm", None)
    assert [scale.text(number) for number in range(6)] == ["≤ 10", "11", "12", "13", "14", "15 mm"]
    scale = Scale(2.0, 6.0, 2.0, False, True, "frames", None)
    assert [scale.text(number) for number in range(3)] == ["frame 2", "4", "≥ 6"]


@pytest.mark.parametrize("wide_px", [120, 300, 600, 1200])
@pytest.mark.parametrize("steps", [3, 4, 5, 8, 10, 12, 20])
def test_labels_stand_at_even_distances_and_clear_of_one_another(steps: int, wide_px: int) -> None:
    font = ImageFont.load_default(20)
    scale = Scale(10.0, 10.0 + steps * 0.5, 0.5, True, True, "mm", None)
    every = labelled(scale, steps=steps, wide_px=wide_px, font=font)
    assert steps % every == 0
    if every == steps:
        assert wide_px <= 600
        return
    right = 0.0
    for number in range(0, steps + 1, every):
        half = font.getlength(scale.text(number).replace("≤", "<").replace("≥", ">")) / 2
        x = min(max(number * wide_px / steps, half), wide_px - half)
        assert x - half >= right
        right = x + half


def test_unknown_pixels_are_neutral_grey_and_explained_in_the_legend() -> None:
    depth = _slope()
    depth[50:90, 50:90] = np.nan
    picture = depth_picture(depth, "mm")
    unknown = picture[50:90, 50:90].astype(int)
    assert np.ptp(unknown, axis=2).max() == 0

    def greys(legend: np.ndarray) -> int:
        return int((legend == unknown[0, 0]).all(axis=2).sum())

    swatch = greys(picture[300:]) - greys(depth_picture(_slope(), "mm")[300:])
    assert swatch > 50, "a swatch of it stands in the legend"


@pytest.mark.parametrize("unit", ["mm", "frames"])
@pytest.mark.parametrize("depth", [3.25, math.nan, math.inf, 0.0])
def test_a_depth_map_without_any_relief_is_still_a_picture(unit: str, depth: float) -> None:
    picture = depth_picture(np.full((200, 300), depth, np.float32), unit, 2.0)
    assert picture.shape[1] >= 300
    assert picture.shape[2] == 3


@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (2000, 3), (48, 64), (17, 321)])
def test_any_shape_gets_a_legend_wide_enough_to_read(shape: tuple[int, int]) -> None:
    depth = np.linspace(0, 1, shape[0] * shape[1], dtype=np.float32).reshape(shape)
    assert depth_picture(depth, "mm", 5.0).shape[1] >= 320


def test_reducing_a_depth_map_does_not_spread_the_unknown() -> None:
    depth = np.full((800, 1200), 5.0, np.float32)
    depth[::4, ::4] = np.nan
    depth[0, 0], depth[0, 1] = 4.0, 6.0
    picture = depth_picture(depth, "mm", longest_px=400)
    assert picture.shape[1] == 400
    assert np.ptp(picture[5:260].astype(int), axis=2).min() > 0, "no grey"
