"""What a camera says about a picture, carried from an original to the results: EXIF and the colour profile."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image as PilImage
from PIL import UnidentifiedImageError

ORIENTATION, _SOFTWARE, _DESCRIPTION = 0x0112, 0x0131, 0x010E
CAMERA_IFD, GPS_IFD, _MAKER_NOTE, _EXIF_WIDTH, _EXIF_HEIGHT = 0x8769, 0x8825, 0x927C, 0xA002, 0xA003
# Of a TIFF's own tags only these describe the picture; the others say where in that file its pixels are.
_DESCRIPTIVE = {
    0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x8298, CAMERA_IFD, GPS_IFD,
}  # fmt: skip
_MOST_SEGMENT_BYTES = 65533  # of a JPEG, without the two that say how many
_ICC_HEADER_BYTES = 14
# Pillow only reads metadata here, and may do so whatever the picture's size.
PilImage.MAX_IMAGE_PIXELS = None
# What Pillow raises over damaged metadata, as far as it has been seen.
DAMAGED_METADATA = (
    UnidentifiedImageError, OSError, ValueError, SyntaxError, KeyError, TypeError, struct.error, OverflowError,
    EOFError, IndexError, AttributeError, ZeroDivisionError, RecursionError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is carried over from an original to the results."""

    exif: bytes = b""  # as Pillow serialises it, orientation reset
    icc_profile: bytes = b""


@contextmanager
def quietly() -> Iterator[None]:
    """Pillow warns of damaged metadata, in words that help nobody at the rig."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_orientation(data: bytes) -> int:
    """The EXIF orientation of an encoded picture, 1 to 8; 1 where there is none or it is damaged."""
    try:
        with quietly(), PilImage.open(io.BytesIO(data)) as image:
            return int(image.getexif().get(ORIENTATION, 1))
    except DAMAGED_METADATA:
        return 1  # damaged metadata do not make a picture unusable


def read_metadata(data: bytes) -> Metadata:
    """EXIF and colour profile of an original; empty where there are none or they are damaged."""
    try:
        with quietly(), PilImage.open(io.BytesIO(data)) as image:
            return _carried(image.getexif(), image.info.get("icc_profile"), is_tiff=image.format == "TIFF")
    except DAMAGED_METADATA:
        return _raw_metadata(data)


def _raw_metadata(data: bytes) -> Metadata:
    """Of what is built like a TIFF and is no picture to Pillow: most cameras' raw files."""
    exif = PilImage.Exif()
    try:
        with quietly():
            exif.load(data)
            return _carried(exif, None, is_tiff=True)
    except DAMAGED_METADATA:
        return Metadata()


def _carried(exif: PilImage.Exif, icc_profile: object, *, is_tiff: bool) -> Metadata:
    exif.pop(ORIENTATION, None)
    if is_tiff:
        for tag in set(exif) - _DESCRIPTIVE:
            del exif[tag]
    exif.get_ifd(CAMERA_IFD)  # the camera's own settings: Pillow writes back only what it has read
    # Results are in colour: the profile of a grey original does not fit them.
    fitting = icc_profile if isinstance(icc_profile, bytes) and icc_profile[16:20] == b"RGB " else b""
    return Metadata(exif.tobytes() if len(exif) else b"", fitting)


def result_exif(metadata: Metadata, *, description: str, width_px: int, height_px: int) -> PilImage.Exif:
    """The original's EXIF, with what is no longer true of a result put right."""
    exif = PilImage.Exif()
    if metadata.exif:
        exif.load(metadata.exif)
        camera = exif.get_ifd(CAMERA_IFD)
        if camera:  # the size that it tells is the result's, not the original's
            camera[_EXIF_WIDTH], camera[_EXIF_HEIGHT] = width_px, height_px
    exif[_SOFTWARE], exif[_DESCRIPTION] = "focusrail", description.encode("ascii", "replace").decode()
    return exif


def jpeg_segments(exif: PilImage.Exif, icc_profile: bytes) -> bytes:
    """EXIF and colour profile as a JPEG's APP1 and APP2 segments (EXIF 2.3, 4.7; ICC.1:2010, B.4)."""
    return _exif_segment(exif) + b"".join(_icc_segments(icc_profile))


def _exif_segment(exif: PilImage.Exif) -> bytes:
    body = exif.tobytes()
    if len(body) > _MOST_SEGMENT_BYTES:  # makers' notes, mostly: a result without them is better than none
        exif.get_ifd(CAMERA_IFD).pop(_MAKER_NOTE, None)
        body = exif.tobytes()
    if len(body) > _MOST_SEGMENT_BYTES:
        exif = PilImage.Exif()
        exif[_SOFTWARE] = "focusrail"
        body = exif.tobytes()
    return _segment(0xE1, body)


def _icc_segments(profile: bytes) -> list[bytes]:
    room = _MOST_SEGMENT_BYTES - _ICC_HEADER_BYTES
    pieces = [profile[start : start + room] for start in range(0, len(profile), room)]
    if len(pieces) > 255:
        return []  # they are counted in a byte
    return [
        _segment(0xE2, b"ICC_PROFILE\0" + bytes((number, len(pieces))) + piece)
        for number, piece in enumerate(pieces, 1)
    ]


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
