from __future__ import annotations

import math

import numpy as np
import pytest

from focusrail.worker.pictures import contact_sheet, with_scale_bar


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
