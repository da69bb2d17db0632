"""Every way to store a TIFF that a camera, a scanner or an editor may use gives the pixels that are in it."""

from __future__ import annotations

import gc
import io
import sys

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage

from focusrail.errors import DamagedImage, FrameError, NotAnImage
from focusrail.store.image_io import decode
from peers.textures import texture

EIGHT = texture(45, 70)
SIXTEEN = np.random.default_rng(0).integers(0, 65535, EIGHT.shape, np.uint16, endpoint=True)
BOTH = pytest.mark.parametrize("pixels", [EIGHT, SIXTEEN], ids=["8 bit", "16 bit"])
COLOUR = {"photometric": "rgb"}
SEPARATE = {**COLOUR, "planarconfig": "separate"}


def tiff(pixels: np.ndarray, **options) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, **options)
    return out.getvalue()


def rgb(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels[..., ::-1])


def with_alpha(pixels: np.ndarray) -> np.ndarray:
    return np.dstack([pixels, np.full(pixels.shape[:2], np.iinfo(pixels.dtype).max // 3, pixels.dtype)])


def planes(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


@BOTH
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"byteorder": ">", "bigtiff": True},
        {"tile": (16, 16)},
        {"tile": (64, 64)},
        {"rowsperstrip": 7},
        {"compression": "zlib"},
        {"compression": "zlib", "tile": (16, 32), "byteorder": ">"},
    ],
    ids=str,
)
def test_colour(pixels: np.ndarray, options: dict) -> None:
    alpha = with_alpha(rgb(pixels))
    for data in (
        tiff(rgb(pixels), **COLOUR, **options),
        tiff(planes(rgb(pixels)), **SEPARATE, **options),
        tiff(alpha, **COLOUR, extrasamples=["unassalpha"], **options),
        tiff(alpha, **COLOUR, extrasamples=["assocalpha"], **options),
        tiff(planes(alpha), **SEPARATE, extrasamples=["unassalpha"], **options),
    ):
        image = decode(data, "a.tif")
        assert image.dtype == pixels.dtype
        assert np.array_equal(image, pixels)


@BOTH
@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"tile": (16, 16)}, {"compression": "zlib"}], ids=str)
def test_grey(pixels: np.ndarray, options: dict) -> None:
    grey = np.ascontiguousarray(pixels[..., 1])
    wanted = np.repeat(grey[..., None], 3, axis=2)
    most = np.iinfo(pixels.dtype).max
    assert np.array_equal(decode(tiff(grey, photometric="minisblack", **options), "a"), wanted)
    assert np.array_equal(decode(tiff(grey, photometric="miniswhite", **options), "a"), most - wanted)
    alpha = tiff(np.dstack([grey, grey // 2]), photometric="minisblack", extrasamples=["unassalpha"], **options)
    assert np.array_equal(decode(alpha, "a"), wanted)


@BOTH
@pytest.mark.parametrize("compression", [5, 8, 32946], ids=["LZW", "deflate", "old deflate"])
def test_compressed_as_libtiff_does(pixels: np.ndarray, compression: int) -> None:
    done, data = cv2.imencode(".tif", pixels, [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    assert done
    assert np.array_equal(decode(data.tobytes(), "a.tif"), pixels)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "L"])
def test_saved_by_pillow(mode: str, compression: str | None) -> None:
    image = PilImage.fromarray(rgb(EIGHT)).convert("L" if mode == "LA" else "RGB").convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(100)
    out = io.BytesIO()
    image.save(out, "TIFF", **({"compression": compression} if compression else {}))
    assert np.array_equal(decode(out.getvalue(), "a.tif"), np.asarray(image.convert("RGB"))[..., ::-1])


@BOTH
@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_upright_however_it_is_stored(pixels: np.ndarray, orientation: int) -> None:
    turned = [(0x0112, 3, 1, orientation, True)]
    wanted = decode(tiff(rgb(EIGHT), **COLOUR, extratags=turned), "a") if pixels is EIGHT else None
    for data in (
        tiff(rgb(pixels), **COLOUR, extratags=turned),
        tiff(planes(rgb(pixels)), **SEPARATE, extratags=turned),
        tiff(with_alpha(rgb(pixels)), **COLOUR, extrasamples=["unassalpha"], extratags=turned),
    ):
        image = decode(data, "a.tif")
        assert image.shape[:2] == ((70, 45) if orientation > 4 else (45, 70))
        wanted = image if wanted is None else wanted
        assert np.array_equal(image, wanted)


@BOTH
def test_of_several_pages_the_first_is_taken(pixels: np.ndarray) -> None:
    assert np.array_equal(decode(tiff(np.stack([rgb(pixels), 255 - rgb(pixels)]), **COLOUR), "a.tif"), pixels)


@BOTH
def test_a_truncated_one_never_becomes_pixels_however_it_is_stored(pixels: np.ndarray) -> None:
    for data in (
        tiff(rgb(pixels), **COLOUR),
        tiff(planes(rgb(pixels)), **SEPARATE),
        tiff(planes(rgb(pixels)), **SEPARATE, compression="zlib"),
        tiff(with_alpha(rgb(pixels)), **COLOUR, extrasamples=["unassalpha"]),
        tiff(with_alpha(rgb(pixels)), **COLOUR, extrasamples=["unassalpha"], tile=(16, 16)),
        tiff(np.ascontiguousarray(pixels[..., 0]), photometric="miniswhite"),
    ):
        decode(data, "a.tif")
        for length in (*range(9, len(data), max(1, len(data) // 40)), len(data) - 20):
            with pytest.raises(FrameError, match=r"a\.tif"):
                decode(data[:length], "a.tif")


def test_damage_in_a_compressed_plane_is_told() -> None:
    data = bytearray(tiff(planes(rgb(SIXTEEN)), **SEPARATE, compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        place = file.pages.first.dataoffsets[1] + 50
    data[place : place + 8] = bytes(8)
    with pytest.raises(DamagedImage, match=r"a\.tif is damaged"):
        decode(bytes(data), "a.tif")


@pytest.mark.parametrize("pixels", [EIGHT, SIXTEEN], ids=["8 bit", "16 bit"])
def test_a_compression_that_neither_library_reads_is_refused_with_a_way_out(pixels: np.ndarray) -> None:
    data = bytearray(tiff(np.ascontiguousarray(pixels[..., 0]), photometric="miniswhite"))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        place = file.pages.first.tags["Compression"].valueoffset
    data[place : place + 2] = (34925).to_bytes(2, "little")  # it says LZMA
    with pytest.raises((NotAnImage, DamagedImage), match=r"a\.tif"):
        decode(bytes(data), "a.tif")


FUZZED = (
    tiff(planes(rgb(EIGHT[:24, :24])), **SEPARATE),
    tiff(planes(rgb(SIXTEEN[:24, :24])), **SEPARATE, compression="zlib"),
    tiff(with_alpha(rgb(EIGHT[:24, :24])), **COLOUR, extrasamples=["unassalpha"], tile=(16, 16)),
    tiff(np.ascontiguousarray(SIXTEEN[:24, :24, 0]), photometric="miniswhite"),
)


@settings(deadline=None, max_examples=200)
@given(st.data(), st.integers(0, len(FUZZED) - 1))
def test_damage_of_any_kind_is_only_ever_the_frames_fault(data: st.DataObject, which: int) -> None:
    damaged = bytearray(FUZZED[which])
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, min(len(damaged) - 1, 400)))] = data.draw(st.integers(0, 255))
    try:
        image = decode(bytes(damaged), "a.tif")
    except FrameError:
        return
    assert image.dtype in (np.uint8, np.uint16)
    assert image.ndim == 3 and image.shape[2] == 3


def test_a_tiff_is_let_go_as_soon_as_it_is_decoded() -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((40, 50, 3), np.uint16), photometric="rgb")
    data = file.getvalue()
    del file
    gc.disable()  # whatever holds itself lives until it is collected, and frames are large
    try:
        before = sys.getrefcount(data)
        decode(data, "frame.tif")
        assert sys.getrefcount(data) == before
    finally:
        gc.enable()
