"""Whether a picture file came over whole."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from focusrail_drivers.base import CaptureFailed
from focusrail_drivers.cameras.picture_files import check_whole, media_type, stackable_first


def jpeg(width_px: int = 64, height_px: int = 48) -> bytes:
    noise = np.random.default_rng(3).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)
    done, data = cv2.imencode(".jpg", noise)
    assert done
    encoded: bytes = data.tobytes()
    return encoded


def with_thumbnail(picture: bytes) -> bytes:
    """As a camera does it: a whole JPEG inside an EXIF segment, before the picture."""
    exif = b"Exif\0\0" + jpeg(16, 12)
    return picture[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + picture[2:]


@pytest.mark.parametrize(
    "data",
    [jpeg(), with_thumbnail(jpeg()), jpeg() + bytes(512), jpeg() + jpeg(16, 12)],
    ids=["plain", "thumbnail", "padded", "preview appended"],
)
def test_a_whole_jpeg_passes_whatever_cameras_put_around_it(data: bytes) -> None:
    check_whole("DSC_0001.JPG", data)


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_jpeg_that_was_cut_off_anywhere_fails_in_spite_of_its_thumbnail(keep: float) -> None:
    data = with_thumbnail(jpeg())

    with pytest.raises(CaptureFailed, match=r"DSC_0001\.JPG"):
        check_whole("DSC_0001.JPG", data[: int(len(data) * keep)])


@pytest.mark.parametrize("length", range(0, 700, 7))
def test_any_beginning_of_a_jpeg_is_refused(length: int) -> None:
    with pytest.raises(CaptureFailed):
        check_whole("a.jpg", jpeg()[:length])


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.NEF", b"MM\0*"),
        ("a.CR2", b"II*\0\x10\0\0\0CR"),
        ("a.cr3", b"\0\0\0\x18ftypcrx "),
        ("a.ARW", b"II*\0"),
        ("a.RAF", b"FUJIFILMCCD-RAW 0201"),
        ("a.ORF", b"IIRO"),
        ("a.RW2", b"IIU\0"),
        ("a.tif", b"II*\0"),
        ("a.bin", b"anything"),
    ],
)
def test_raw_files_are_known_by_their_beginning(name: str, head: bytes) -> None:
    check_whole(name, head + bytes(100))


@pytest.mark.parametrize("name", ["a.NEF", "a.cr3", "a.tif", "a.png"])
def test_a_file_that_is_something_else_is_refused(name: str) -> None:
    with pytest.raises(CaptureFailed, match=name):
        check_whole(name, b"<html>not found</html>")


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(CaptureFailed, match="empty"):
        check_whole("a.NEF", b"")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("DSC_0001.JPG", "image/jpeg"),
        ("DSC_0001.NEF", "image/x-nikon-nef"),
        ("IMG_1.CR3", "image/x-canon-cr3"),
        ("odd.XYZ", "image/x-xyz"),
        ("noname", "image/x-unknown"),
    ],
)
def test_the_media_type_follows_the_extension(name: str, kind: str) -> None:
    assert media_type(name) == kind


def test_what_can_be_stacked_comes_before_its_raw_companion() -> None:
    assert sorted(["A.ARW", "A.HIF", "A.JPG"], key=stackable_first) == ["A.JPG", "A.ARW", "A.HIF"]
