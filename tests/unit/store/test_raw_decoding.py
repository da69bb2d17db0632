from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest

from focusrail.errors import DamagedImage, NotAnImage
from focusrail.store.image_io import decode, encode_jpeg, read_metadata
from peers.negative import negative


def slopes(height: int = 120, width: int = 160) -> np.ndarray:
    """Linear light, RGB."""
    y, x = np.mgrid[0:height, 0:width]
    return np.dstack([x / width * 30_000 + 3_000, y / height * 30_000 + 3_000, np.full(x.shape, 12_000.0)])


def srgb(light: np.ndarray) -> np.ndarray:
    share = light / 65_535
    return 65_535 * np.where(share <= 0.0031308, 12.92 * share, 1.055 * share ** (1 / 2.4) - 0.055)


def test_a_raw_file_becomes_sixteen_bits_of_srgb_in_the_cameras_white_balance() -> None:
    pytest.importorskip("rawpy")
    light = slopes()
    for neutral in ((0.5, 1.0, 0.7), (1.0, 1.0, 1.0)):
        image = decode(negative(light, neutral=neutral), "a.dng")
        assert image.dtype == np.uint16
        off = image[4:-4, 4:-4, ::-1] - srgb(light)[4:-4, 4:-4]
        assert np.abs(off).max() < 200  # 0.3 %: demosaicing at slopes, rationals of four digits


def test_frames_of_different_light_stay_comparable() -> None:
    pytest.importorskip("rawpy")
    bright, dark = (decode(negative(slopes() * share), "a.dng") for share in (1.0, 0.25))
    for image, share in ((bright, 1.0), (dark, 0.25)):
        assert np.abs(image[8:-8, 8:-8, ::-1] - srgb(slopes() * share)[8:-8, 8:-8]).max() < 200


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_raw_file_is_upright_once(orientation: int) -> None:
    pytest.importorskip("rawpy")
    plain = decode(negative(slopes()), "a.dng")
    turned = decode(negative(slopes(), orientation=orientation), "a.DNG")
    turn = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}.get(orientation)
    assert np.array_equal(turned, plain if turn is None else cv2.rotate(plain, turn))


def test_metadata_of_a_raw_file_are_carried_over_upright() -> None:
    metadata = read_metadata(negative(slopes(), orientation=6, make="Maker of cameras"))
    again = read_metadata(encode_jpeg(np.zeros((8, 8, 3), np.uint8), metadata, description="a"))
    assert b"Maker of cameras" in again.exif
    assert b"focusrail test" not in again.exif, "what is true of the raw file alone stays there"


def test_a_truncated_raw_file_is_damaged() -> None:
    pytest.importorskip("rawpy")
    data = negative(slopes())
    for length in (*range(9, len(data), len(data) // 15), len(data) - 2):
        with pytest.raises((DamagedImage, NotAnImage), match=r"a\.nef"):
            decode(data[:length], "a.nef")


@pytest.mark.parametrize("data", [b"hello" * 100, b"II*\0" + bytes(500)])
def test_what_is_no_raw_file_is_called_so(data: bytes) -> None:
    pytest.importorskip("rawpy")
    with pytest.raises(NotAnImage, match=r"a\.cr2 is no raw file that LibRaw reads"):
        decode(data, "a.cr2")


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(NotAnImage, match=r"a\.nef is a raw file: `pip install 'focusrail\[raw\]'` reads raw files"):
        decode(negative(slopes()), "a.nef")
