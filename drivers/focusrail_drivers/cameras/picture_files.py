"""Picture files as cameras make them: media type by name, and whether one came over whole."""

from __future__ import annotations

from pathlib import PurePosixPath

from focusrail_drivers.base import CaptureFailed

_MEDIA_TYPES = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "jpe": "image/jpeg",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "png": "image/png",
    "heic": "image/heic",
    "heif": "image/heif",
    "hif": "image/heif",
    "nef": "image/x-nikon-nef",
    "nrw": "image/x-nikon-nrw",
    "crw": "image/x-canon-crw",
    "cr2": "image/x-canon-cr2",
    "cr3": "image/x-canon-cr3",
    "arw": "image/x-sony-arw",
    "orf": "image/x-olympus-orf",
    "rw2": "image/x-panasonic-rw2",
    "raf": "image/x-fuji-raf",
    "pef": "image/x-pentax-pef",
    "dng": "image/x-adobe-dng",
}
# In this order a frame's files are delivered: what can be stacked at once comes before its raw companion.
_STACKABLE = ("image/jpeg", "image/tiff", "image/png")

_TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"II\x1a\0")
_RAF_MAGIC = b"FUJIFILMCCD-RAW"


def media_type(name: str) -> str:
    """The media type by a file's extension; `image/x-EXTENSION` for one we have never heard of."""
    extension = PurePosixPath(name).suffix.lstrip(".").lower()
    return _MEDIA_TYPES.get(extension, f"image/x-{extension or 'unknown'}")


def stackable_first(name: str) -> tuple[int, str]:
    """A sort key: JPEG, TIFF and PNG before raw formats."""
    kind = media_type(name)
    return (_STACKABLE.index(kind) if kind in _STACKABLE else len(_STACKABLE), name)


def check_whole(name: str, data: bytes) -> None:
    """Raise CaptureFailed if `data` cannot be all of the picture file `name`.

    A JPEG must have its end marker. Of raw formats, which know no end, only the beginning is looked at.
    """
    if not data:
        raise CaptureFailed(f"{name} came over empty; the frame must be made again")
    kind = media_type(name)
    if kind == "image/jpeg" and not _is_whole_jpeg(data):
        raise CaptureFailed(f"{name} is cut off: {len(data)} bytes without a JPEG's start and end markers")
    if kind == "image/png" and not (data.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND" in data[-16:]):
        raise CaptureFailed(f"{name} is cut off: {len(data)} bytes without a PNG's start and end")
    if kind in _MEDIA_TYPES.values() and kind not in ("image/jpeg", "image/png") and not _begins_like_raw(data):
        raise CaptureFailed(f"{name} does not begin like a picture: {data[:16]!r}")


def _begins_like_raw(data: bytes) -> bool:
    return data.startswith((*_TIFF_MAGICS, _RAF_MAGIC)) or data[4:8] == b"ftyp"


def _is_whole_jpeg(data: bytes) -> bool:
    """Whether an end marker follows the picture's scan.

    Walks the segments to the first scan, because a thumbnail in the EXIF segment has an end marker of its own. Inside
    a scan FF D9 can only be the end marker (ITU T.81, B.1.1.5). Cameras may append previews or padding after it.
    """
    if not data.startswith(b"\xff\xd8"):
        return False
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker == 0xDA:
            return data.find(b"\xff\xd9", at) >= 0
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False
