from __future__ import annotations

import io
import random
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage
from PIL import ImageCms, ImageOps

from focusrail.errors import DamagedImage, FrameError, NotAnImage
from focusrail.store.image_io import Metadata, decode, encode_jpeg, read_metadata, write_index, write_png, write_tiff
from peers.textures import texture

ORIENTATION, MAKE, EXIF_IFD, GPS_IFD, EXPOSURE_TIME = 0x0112, 0x010F, 0x8769, 0x8825, 0x829A
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PICTURE = texture(45, 70)


def rgb(image: np.ndarray) -> PilImage.Image:
    return PilImage.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def saved(image: PilImage.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpeg(**options) -> bytes:
    return saved(rgb(PICTURE), "JPEG", quality=92, **options)


def tiff(pixels: np.ndarray, **options) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, **options)
    return out.getvalue()


def exif(**orientation: int) -> PilImage.Exif:
    made = PilImage.Exif()
    made[MAKE] = "Maker of cameras"
    made[ORIENTATION] = orientation.get("orientation", 1)
    made.get_ifd(EXIF_IFD)[EXPOSURE_TIME] = 0.004
    made.get_ifd(GPS_IFD)[1] = "N"
    return made


def black_png(width: int, height: int, *, rows: int) -> bytes:
    """A picture of any size in a few bytes; only some of its rows are really there."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    body = packer.compress(bytes(width + 1) * rows) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_upright_whatever_its_orientation(orientation: int) -> None:
    data = jpeg(exif=exif(orientation=orientation))
    image = decode(data, "a.jpg")
    assert image.shape[:2] == ((70, 45) if orientation > 4 else (45, 70))
    assert np.array_equal(image, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_so_is_a_lossless_picture(kind: str, orientation: int) -> None:
    turned = {"exif": exif(orientation=orientation)} if kind == "PNG" else {"tiffinfo": {ORIENTATION: orientation}}
    data = saved(rgb(PICTURE), kind, **turned)
    with PilImage.open(io.BytesIO(data)) as opened:
        wanted = cv2.cvtColor(np.asarray(ImageOps.exif_transpose(opened)), cv2.COLOR_RGB2BGR)
    assert np.array_equal(decode(data, "a"), wanted)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": "4:2:0"}])
def test_a_truncated_jpeg_never_becomes_pixels(options: dict) -> None:
    data = jpeg(**options)
    decode(data, "a.jpg")
    for length in range(4, len(data), 7):
        with pytest.raises(DamagedImage, match=r"a\.jpg is damaged"):
            decode(data[:length], "a.jpg")
    for length in (1, 2):
        with pytest.raises(DamagedImage):
            decode(data[:-length], "a.jpg")


@pytest.mark.parametrize("make", [lambda: saved(rgb(PICTURE), "PNG"), lambda: tiff(PICTURE, photometric="rgb")])
def test_nor_does_a_truncated_lossless_picture(make: Callable[[], bytes]) -> None:
    data = make()
    for length in range(9, len(data), max(1, len(data) // 60)):
        with pytest.raises(FrameError):
            decode(data[:length], "a")


def test_a_png_with_a_hole_or_a_flipped_bit_is_damaged() -> None:
    data = saved(rgb(PICTURE), "PNG")
    with pytest.raises(DamagedImage):
        decode(data[: len(data) // 2] + data[-12:], "a.png")
    for place in range(60, len(data) - 20, 101):
        flipped = bytearray(data)
        flipped[place] ^= 0x10
        with pytest.raises(DamagedImage):
            decode(bytes(flipped), "a.png")


def with_stray_bytes(data: bytes, marker: bytes, count: int) -> bytes:
    place = data.rindex(marker)
    return data[:place] + b"\0" * count + data[place:]


def test_a_few_stray_bytes_before_the_end_cost_nothing() -> None:
    data = jpeg()
    assert np.array_equal(decode(with_stray_bytes(data, b"\xff\xd9", 4), "a.jpg"), decode(data, "a.jpg"))


@pytest.mark.parametrize("count", [40, 500])
def test_many_stray_bytes_mean_that_the_picture_lost_its_place(count: int) -> None:
    with pytest.raises(DamagedImage, match="extraneous bytes"):
        decode(with_stray_bytes(jpeg(), b"\xff\xd9", count), "a.jpg")


def test_stray_bytes_do_not_hide_that_the_rest_is_missing() -> None:
    data = with_stray_bytes(jpeg(restart_marker_rows=1), b"\xff\xd0", 3)
    assert decode(data, "a.jpg").shape == PICTURE.shape
    for missing in (2, 10, 100):
        with pytest.raises(DamagedImage):
            decode(data[:-missing], "a.jpg")


def test_stray_bytes_in_the_header_are_the_frames_fault_and_not_ours() -> None:
    with pytest.raises(DamagedImage):
        decode(with_stray_bytes(jpeg(), b"\xff\xc4", 3), "a.jpg")


@settings(deadline=None, max_examples=150)
@given(st.data(), st.sampled_from(["JPEG", "PNG", "TIFF"]))
def test_damage_of_any_kind_is_only_ever_the_frames_fault(data: st.DataObject, kind: str) -> None:
    original = bytearray(saved(rgb(PICTURE[:24, :24]), kind, exif=exif(), icc_profile=SRGB[:200]))
    for _ in range(data.draw(st.integers(1, 8))):
        original[data.draw(st.integers(0, min(len(original) - 1, 600)))] = data.draw(st.integers(0, 255))
    try:
        image = decode(bytes(original), "a")
    except FrameError:
        return
    assert image.dtype in (np.uint8, np.uint16)
    assert image.ndim == 3 and image.shape[2] == 3


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 2**32 - 1))
def test_damaged_metadata_never_cost_the_picture_nor_the_result(seed: int) -> None:
    original = bytearray(jpeg(exif=exif(), icc_profile=SRGB[:200]))
    chance = random.Random(seed)
    for _ in range(chance.randrange(1, 12)):
        original[chance.randrange(20, 420)] = chance.randrange(256)
    metadata = read_metadata(bytes(original))
    made = encode_jpeg(PICTURE, metadata, description="a")
    assert decode(made, "a").shape == PICTURE.shape
    with tempfile.TemporaryDirectory() as folder:
        write_tiff(Path(folder, "a.tif"), PICTURE, metadata, description="a")
        assert np.array_equal(decode(Path(folder, "a.tif").read_bytes(), "a"), PICTURE)


@pytest.mark.parametrize("data", [b"\xff", b"hello", b"MMM, a recipe", b"II. Part two", b"GIF89a", b"RIFF\0\0\0\0WAVE"])
def test_what_is_no_image_is_called_so(data: bytes) -> None:
    with pytest.raises(NotAnImage, match=r"notes\.jpg is not a JPEG, PNG or TIFF image"):
        decode(data, "notes.jpg")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.uint32, np.int16])
def test_a_tiff_of_other_numbers_is_refused_by_name(dtype: type) -> None:
    with pytest.raises(NotAnImage, match=f"a.tif has {np.dtype(dtype)} pixels"):
        decode(tiff(np.zeros((20, 30), dtype)), "a.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lossless_pictures_survive_the_round_trip_exactly(tmp_path: Path, dtype: type) -> None:
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(0).integers(0, top, (33, 47, 3), dtype, endpoint=True)
    write_png(tmp_path / "a.png", pixels)
    write_tiff(tmp_path / "a.tif", pixels, Metadata(), description="a")
    for name in ("a.png", "a.tif"):
        read = decode((tmp_path / name).read_bytes(), name)
        assert read.dtype == dtype
        assert np.array_equal(read, pixels)


def test_planes_of_any_kind_survive_too(tmp_path: Path) -> None:
    depth = np.random.default_rng(0).normal(30, 1, (33, 47)).astype(np.float32)
    write_tiff(tmp_path / "depth.tif", depth, Metadata(icc_profile=SRGB), description="depth in mm")
    assert np.array_equal(tifffile.imread(tmp_path / "depth.tif"), depth)
    index = np.random.default_rng(0).integers(0, 65535, (33, 47), np.uint16)
    write_png(tmp_path / "index.png", index)
    assert np.array_equal(cv2.imread(str(tmp_path / "index.png"), cv2.IMREAD_UNCHANGED), index)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_grey_pictures_become_three_equal_channels(kind: str) -> None:
    image = decode(saved(rgb(PICTURE).convert("L"), kind), "grey")
    assert image.shape == PICTURE.shape
    assert np.array_equal(image[..., 0], image[..., 1]) and np.array_equal(image[..., 1], image[..., 2])


def test_transparency_is_dropped() -> None:
    assert np.array_equal(decode(saved(rgb(PICTURE).convert("RGBA"), "PNG"), "a.png"), PICTURE)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_webp_is_read_upright_and_without_transparency(mode: str, orientation: int) -> None:
    picture = rgb(PICTURE)
    if mode == "RGBA":
        picture.putalpha(100)
    data = saved(picture, "WEBP", lossless=True, exact=True, exif=exif(orientation=orientation), icc_profile=SRGB)
    png = saved(rgb(PICTURE), "PNG", exif=exif(orientation=orientation))
    assert np.array_equal(decode(data, "a.webp"), decode(png, "a.png"))
    assert read_metadata(data).icc_profile == SRGB
    for length in range(12, len(data), len(data) // 30):
        with pytest.raises(DamagedImage):
            decode(data[:length], "a.webp")


def test_exif_and_colour_profile_are_carried_over_upright() -> None:
    metadata = read_metadata(jpeg(exif=exif(orientation=6), icc_profile=SRGB))
    made = encode_jpeg(PICTURE, metadata, description="a beetle's \u00e9lytron")
    with PilImage.open(io.BytesIO(made)) as opened:
        carried = opened.getexif()
        assert carried[MAKE] == "Maker of cameras"
        assert carried.get(ORIENTATION, 1) == 1
        assert carried.get_ifd(EXIF_IFD)[EXPOSURE_TIME] == pytest.approx(0.004)
        assert carried.get_ifd(GPS_IFD)[1] == "N"
        assert carried[0x0131] == "focusrail"
        assert carried[0x010E] == "a beetle's ?lytron"
        assert opened.info["icc_profile"] == SRGB


def test_the_profile_of_a_grey_original_is_not_put_on_a_colour_result() -> None:
    grey = SRGB[:16] + b"GRAY" + SRGB[20:]
    assert read_metadata(saved(rgb(PICTURE).convert("L"), "JPEG", icc_profile=grey)).icc_profile == b""


def test_what_describes_a_tiffs_storage_is_not_carried_over() -> None:
    data = tiff(np.zeros((20_000, 4, 3), np.uint8), photometric="rgb", rowsperstrip=1, software="Scanner")
    metadata = read_metadata(data)
    with PilImage.open(io.BytesIO(encode_jpeg(PICTURE, metadata, description="a"))) as made:
        assert not {256, 257, 258, 259, 273, 278, 279} & set(made.getexif())


def test_metadata_too_large_for_a_jpeg_do_not_cost_the_result() -> None:
    large = exif()
    large.get_ifd(EXIF_IFD)[0x927C] = b"\1" * 70_000  # maker's notes
    made = encode_jpeg(PICTURE, Metadata(exif=large.tobytes()), description="a")
    assert decode(made, "a").shape == PICTURE.shape
    with PilImage.open(io.BytesIO(made)) as opened:
        assert opened.getexif().get_ifd(EXIF_IFD)[EXPOSURE_TIME] == pytest.approx(0.004), "only the notes are left out"
    large.get_ifd(EXIF_IFD)[0x9286] = b"\1" * 70_000  # a comment
    made = encode_jpeg(PICTURE, Metadata(exif=large.tobytes()), description="a")
    with PilImage.open(io.BytesIO(made)) as opened:
        assert opened.getexif()[0x0131] == "focusrail"


@pytest.mark.parametrize("length", [1, 65_518, 65_519, 65_520, 200_000, 255 * 65_519])
def test_a_colour_profile_of_any_length_survives_in_a_jpeg(length: int) -> None:
    profile = (SRGB + random.Random(4).randbytes(length))[:length]
    made = encode_jpeg(PICTURE, Metadata(icc_profile=profile), description="a")
    with PilImage.open(io.BytesIO(made)) as opened:
        assert opened.info["icc_profile"] == profile
        assert "jfif" in opened.info
    assert decode(made, "a").shape == PICTURE.shape


def test_a_profile_longer_than_a_jpeg_can_hold_does_not_cost_the_result() -> None:
    made = encode_jpeg(PICTURE, Metadata(icc_profile=bytes(255 * 65_519 + 1)), description="a")
    assert len(made) < 100_000
    assert decode(made, "a").shape == PICTURE.shape


def test_a_picture_without_metadata_carries_none() -> None:
    with PilImage.open(io.BytesIO(encode_jpeg(PICTURE))) as opened:
        assert not opened.getexif()
        assert "icc_profile" not in opened.info


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG"]
)  # Pillow writes no EXIF directory into a TIFF: the last lines read one
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_carries_exif_and_profile_of_whatever_was_read(tmp_path: Path, kind: str, dtype: type) -> None:
    original = saved(rgb(PICTURE), kind, exif=exif(orientation=6), icc_profile=SRGB)
    path = tmp_path / "a.tif"
    write_tiff(path, PICTURE.astype(dtype) * 3, read_metadata(original), description="beetle", um_per_px=2.0)
    assert np.array_equal(decode(path.read_bytes(), "a"), PICTURE.astype(dtype) * 3)
    with tifffile.TiffFile(path) as file:
        tags = file.pages.first.tags
        assert tags["Make"].value == "Maker of cameras"
        assert tags["ExifTag"].value["ExposureTime"] == pytest.approx(0.004)
        assert tags["ExifTag"].value["PixelXDimension"] == PICTURE.shape[1]
        assert tags["GPSTag"].value["GPSLatitudeRef"] == "N"
        assert tags["InterColorProfile"].value == SRGB
        assert "Orientation" not in tags
        assert [tag.code for tag in tags] == sorted(tag.code for tag in tags)
    # What was written can be read again as an original.
    again = read_metadata(path.read_bytes())
    assert again.icc_profile == SRGB
    with PilImage.open(io.BytesIO(encode_jpeg(PICTURE, again, description="a"))) as opened:
        assert opened.getexif().get_ifd(EXIF_IFD)[EXPOSURE_TIME] == pytest.approx(0.004)


def test_no_place_in_the_original_is_taken_for_one_in_the_tiff(tmp_path: Path) -> None:
    made = exif()
    made.get_ifd(EXIF_IFD)[0xA005] = 4321  # where its interoperability directory was
    write_tiff(tmp_path / "a.tif", PICTURE, Metadata(exif=made.tobytes()), description="a")
    with PilImage.open(tmp_path / "a.tif") as opened:
        camera = opened.getexif().get_ifd(EXIF_IFD)
    assert 0xA005 not in camera
    assert camera[EXPOSURE_TIME] == pytest.approx(0.004)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (255, 3), (256, 5), (257, 7), (700, 33)])
@pytest.mark.parametrize("most", [3, 65535])
def test_an_index_of_any_size_is_read_by_others_as_it_was(tmp_path: Path, shape: tuple[int, int], most: int) -> None:
    index = np.random.default_rng(1).integers(0, most, (shape[0], 2 * shape[1]), np.uint16, endpoint=True)[:, ::2]
    write_index(tmp_path / "index.png", index)
    assert np.array_equal(cv2.imread(str(tmp_path / "index.png"), cv2.IMREAD_UNCHANGED), index)
    with PilImage.open(tmp_path / "index.png") as opened:
        opened.load()
        assert opened.mode.startswith("I")
        assert np.array_equal(np.asarray(opened), index)


def test_a_plane_of_eight_bits_is_read_by_others_as_it_was(tmp_path: Path) -> None:
    plane = np.random.default_rng(1).integers(0, 255, (700, 33), np.uint8, endpoint=True)
    write_index(tmp_path / "confidence.png", plane)
    with PilImage.open(tmp_path / "confidence.png") as opened:
        opened.load()
        assert opened.mode == "L"
        assert np.array_equal(np.asarray(opened), plane)


def test_areas_of_one_frame_take_next_to_no_room_in_an_index(tmp_path: Path) -> None:
    write_index(tmp_path / "index.png", np.repeat(np.arange(4, dtype=np.uint16), 250)[:, None].repeat(1500, axis=1))
    assert (tmp_path / "index.png").stat().st_size < 20_000


def test_metadata_of_a_picture_of_any_size_can_be_read() -> None:
    assert read_metadata(black_png(20_000, 20_000, rows=1)) == Metadata()


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8\xff\xe1\x00\x10Exif\0\0"])
def test_what_has_no_metadata_has_none(data: bytes) -> None:
    assert read_metadata(data) == Metadata()


def test_a_jpeg_result_is_near_the_pixels_and_sixteen_bits_are_rounded() -> None:
    for image in (PICTURE, PICTURE.astype(np.uint16) * 257):
        made = simplejpeg.decode_jpeg(encode_jpeg(image, Metadata(), description="a"), colorspace="BGR")
        assert np.abs(made.astype(int) - PICTURE).mean() < 3


@pytest.mark.parametrize("shape", [(40, 50, 3), (40, 50)])
def test_the_lateral_scale_is_the_tiffs_resolution(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "a.tif"
    write_tiff(path, np.zeros(shape, np.uint8), Metadata(icc_profile=SRGB), description="caf\u00e9", um_per_px=2.5)
    with tifffile.TiffFile(path) as file:
        tags = file.pages.first.tags
        across, down = tags["XResolution"].value, tags["YResolution"].value
        assert across[0] / across[1] == down[0] / down[1] == pytest.approx(4000)
        assert int(tags["ResolutionUnit"].value) == 3  # a centimetre
        assert tags["ImageDescription"].value == "caf?"
        assert tags["Software"].value == "focusrail"
        assert ("InterColorProfile" in tags) == (len(shape) == 3)


def test_a_plane_that_png_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises((ValueError, cv2.error)):
        write_png(tmp_path / "a.png", np.zeros((4, 4, 7), np.uint8))
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(("width", "height"), [(33000, 48), (48, 33000), (32767, 1)])
def test_a_side_too_long_to_be_warped_is_refused_with_its_numbers(width: int, height: int) -> None:
    with pytest.raises(NotAnImage, match=f"long.png is {width} x {height} px: sides up to 32766 px can be warped"):
        decode(black_png(width, height, rows=height), "long.png")


def test_the_longest_side_that_can_be_warped_is_read_and_can_be_warped() -> None:
    image = decode(black_png(32766, 2, rows=2), "long.png")
    assert cv2.warpPerspective(image, np.eye(3), (32766, 2)).shape == (2, 32766, 3)
