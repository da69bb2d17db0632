"""Kinds of picture files, by their names."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import PurePath

MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
}
RAW_MEDIA_TYPES = {
    ".arw": "image/x-sony-arw",
    ".cr2": "image/x-canon-cr2",
    ".cr3": "image/x-canon-cr3",
    ".crw": "image/x-canon-crw",
    ".dng": "image/x-adobe-dng",
    ".nef": "image/x-nikon-nef",
    ".nrw": "image/x-nikon-nrw",
    ".orf": "image/x-olympus-orf",
    ".pef": "image/x-pentax-pef",
    ".raf": "image/x-fuji-raf",
    ".rw2": "image/x-panasonic-rw2",
}
_SUFFIXES = {
    "image/jpeg": "jpg",
    "image/tiff": "tif",
    "image/png": "png",
    **{media_type: suffix.removeprefix(".") for suffix, media_type in RAW_MEDIA_TYPES.items()},
}
HOW_TO_READ_RAW = "`pip install 'focusrail[raw]'` reads raw files"


def is_raw(name: str) -> bool:
    """Whether a file is a raw one by its name: inside, most look like a TIFF."""
    return PurePath(name).suffix.casefold() in RAW_MEDIA_TYPES


def can_read_raw() -> bool:
    """Whether the extra `raw` is installed."""
    return find_spec("rawpy") is not None


def media_type(name: str) -> str:
    """The media type of a file whose name has one of the suffixes above."""
    return (MEDIA_TYPES | RAW_MEDIA_TYPES)[PurePath(name).suffix.casefold()]


def suffix_of(media_type: str) -> str:
    """The file name suffix of a media type, without the dot."""
    return _SUFFIXES.get(media_type) or media_type.rpartition("/")[2].removeprefix("x-")
