from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from focusrail.worker.pictures import (
    contact_sheet,
    decimals,
    depth_picture,
    length_text,
    round_number,
    round_ticks,
    with_scale_bar,
)


def _colour(level: int) -> tuple[int, ...]:
    pixel = cv2.applyColorMap(np.full((1, 1), level, np.uint8), cv2.COLORMAP_VIRIDIS)
    return tuple(int(channel) for channel in pixel[0, 0])


def _has(picture: np.ndarray, colour: tuple[int, ...]) -> bool:
    return bool((picture == np.array(colour, np.uint8)).all(axis=2).any())


def _slope(height: int = 300, width: int = 400) -> np.ndarray:
    return np.tile(np.linspace(12.3, 13.45, width, dtype=np.float32), (height, 1))


@pytest.mark.parametrize(("unit", "scale"), [("mm", 3.2), ("mm", None), ("frames", None), ("frames", 0.4)])
def test_the_legend_reaches_from_the_lowest_to_the_highest_depth(unit: str, scale: float | None) -> None:
    picture = depth_picture(_slope(), unit, scale)
    legend = picture[300:]
    assert picture.dtype == np.uint8
    assert picture.shape[1] == 400
    assert legend.shape[0] > 20
    assert _has(legend, _colour(0))
    assert _has(legend, _colour(255))
    assert tuple(picture[150, 0]) == _colour(0)
    assert tuple(picture[150, -1]) == _colour(255)


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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(300, 400), (300, 400, 3)])
@pytest.mark.parametrize("ground", [0.0, 0.5, 1.0])
def test_the_scale_bar_is_legible_on_any_ground_and_leaves_the_original_alone(
    dtype: type[np.unsignedinteger], shape: tuple[int, ...], ground: float
) -> None:
    most = int(np.iinfo(dtype).max)
    image = np.full(shape, int(ground * most), dtype)
    result = with_scale_bar(image, 3.2)
    assert (image == int(ground * most)).all()
    assert result.dtype == dtype
    assert result.shape == shape
    corner = result[200:, 200:]
    assert corner.max() == most
    assert corner.min() == 0
    assert (result[:200] == image[:200]).all()


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    result = with_scale_bar(np.full((600, 1000), 128, np.uint8), 2.5)  # 0.22 x 2500 µm: 500 µm are 200 px
    longest = max(len(run) for row in result for run in "".join("x" if v == 255 else " " for v in row).split())
    assert longest == 200


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, 1e-9, 1e9])
def test_a_senseless_scale_does_not_stop_the_picture(scale: float) -> None:
    assert with_scale_bar(np.zeros((60, 80, 3), np.uint8), scale).shape == (60, 80, 3)


@pytest.mark.parametrize("count", [0, 1, 7, 300])
def test_a_contact_sheet_shows_every_frame(count: int) -> None:
    pictures = [np.full((96, 128, 3), (40, 200, 100), np.uint8)] * count
    sheet = contact_sheet(pictures, [f"{number}\nIMG_{number}.JPG" for number in range(count)])
    shown = int((sheet == (40, 200, 100)).all(axis=2).sum())
    assert shown == count * 96 * 128


def test_frames_left_out_are_dimmed_and_crossed_out() -> None:
    pictures = [np.full((96, 128, 3), 200, np.uint8)] * 3
    sheet = contact_sheet(pictures, ["0", "1", "2"], [False, True, False], columns=3)
    assert int((sheet == 200).all(axis=2).sum()) < 2.1 * 96 * 128
    assert (sheet == (0, 159, 230)).all(axis=2).any()


def test_thumbnails_of_different_sizes_and_any_label_fit_on_one_sheet() -> None:
    pictures = [np.zeros((size, 300 - size, 3), np.uint8) for size in (20, 128, 200)]
    labels = ["x" * 500, "Käfer 甲虫 \udcff.jpg", ""]
    assert contact_sheet(pictures, labels).ndim == 3


def test_labels_that_do_not_match_the_thumbnails_are_refused() -> None:
    with pytest.raises(ValueError, match="1 thumbnails, 2 labels"):
        contact_sheet([np.zeros((9, 9, 3), np.uint8)], ["0", "1"])


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [(0, 10, 6, [0, 2, 4, 6, 8, 10]), (12.3, 13.45, 4, [12.5, 13.0]), (-1, 1, 3, [-1, 0, 1]), (5, 5, 6, [5])],
)
def test_ticks_are_round(low: float, high: float, most: int, ticks: list[float]) -> None:
    assert round_ticks(low, high, most) == pytest.approx(ticks)


def test_round_numbers_and_their_texts() -> None:
    assert [round_number(value) for value in (0.7, 1, 3.9, 70)] == pytest.approx([0.5, 1, 2, 50])
    assert round_number(3.9, upwards=True) == pytest.approx(5)
    assert [decimals(step) for step in (5, 1, 0.5, 0.02)] == [0, 0, 1, 2]
    assert [length_text(um) for um in (500, 2000, 0.5)] == ["500 µm", "2 mm", "0.5 µm"]
