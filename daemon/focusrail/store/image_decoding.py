"""Originals to pixels. Pixels are BGR; EXIF orientation is applied once, here."""

from __future__ import annotations

import io
import re
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image as PilImage

from focusrail.errors import DamagedImage, NotAnImage
from focusrail.store.image_metadata import read_orientation
from focusrail.store.media_types import is_raw
from focusrail.store.raw_decoding import decode_raw
from focusrail.store.tiff_decoding import decode_tiff

Image: TypeAlias = npt.NDArray[Any]  # (height, width, 3) BGR, uint8 or uint16

_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
    b"RIFF": "WebP",
}
_MOST_STRAY_BYTES = 16  # before a marker; more means that the decoder has lost its place
_STRAY = re.compile(r"(\d+) extraneous bytes before marker")
_LONGEST_PX = 32766  # OpenCV addresses pixels by 16 bits with a sign when it warps


def decode(data: bytes, name: str, *, spare: Image | None = None) -> Image:
    """(height, width, 3) BGR, uint8 or uint16, upright. Raises NotAnImage, DamagedImage, which name the file.

    `spare` is an image that nobody needs any more: its memory may be used again, since fresh memory has to be cleared
    by the system first, which takes a third as long as decoding.
    """
    try:
        image = _decode(data, name, spare)
    except (MemoryError, cv2.error) as error:
        # A few bytes can claim to be a picture of any size: that is one frame's fault, and not the stack's end.
        if isinstance(error, MemoryError) or "Insufficient memory" in str(error):
            raise DamagedImage(
                f"{name} takes more memory than there is: leave it out, or raise stacking.memory_limit_mb"
            ) from error
        raise _damaged(name, str(error.err)) from error
    height, width = image.shape[:2]
    if max(height, width) > _LONGEST_PX:
        raise NotAnImage(f"{name} is {width} x {height} px: sides up to {_LONGEST_PX} px can be warped")
    return image


def _decode(data: bytes, name: str, spare: Image | None) -> Image:
    if not data:
        raise NotAnImage(f"{name} is empty: copy it again from the camera, or leave it out")
    if is_raw(name):
        return decode_raw(data, name)
    kind = next((kind for signature, kind in _SIGNATURES.items() if data.startswith(signature)), None)
    if kind is None or (kind == "WebP" and data[8:12] != b"WEBP"):
        raise NotAnImage(f"{name} is not a JPEG, PNG or TIFF image: remove it from the stack")
    if kind == "JPEG":
        return _decode_jpeg(data, name, spare)
    if (kind == "PNG" and b"IEND" not in data[-64:]) or (kind == "WebP" and len(data) < _riff_bytes(data)):
        raise _damaged(name, "its end is missing")
    if kind == "TIFF":
        image, orientation = decode_tiff(data, name)
    elif kind == "WebP":
        # OpenCV 4 overlooks the orientation of a WebP, OpenCV 5 does not.
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image, orientation = cv2.imdecode(np.frombuffer(data, np.uint8), flags), read_orientation(data)
    else:
        image, orientation = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH), 1
    if image is None:
        raise _damaged(name, "it cannot be decoded")
    if image.dtype not in (np.uint8, np.uint16):
        raise NotAnImage(f"{name} has {image.dtype} pixels: 8 and 16 bit integers are read")
    return _upright(image, orientation)


def _riff_bytes(data: bytes) -> int:
    """How long a RIFF file says it is."""
    return 8 + int.from_bytes(data[4:8], "little")


def _decode_jpeg(data: bytes, name: str, spare: Image | None) -> Image:
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        fits = spare is not None and spare.nbytes == 3 * height * width and spare.flags.c_contiguous
        image = simplejpeg.decode_jpeg(data, colorspace="BGR", buffer=spare if fits else None)
    except ValueError as error:
        # A few stray bytes before a marker are a habit of some cameras and cost no pixel; all else does.
        stray = _STRAY.search(str(error))
        if stray is None or int(stray[1]) > _MOST_STRAY_BYTES:
            raise _damaged(name, str(error)) from error
        image = _decode_with_stray_bytes(data, name)
    return _upright(image, read_orientation(data))


def _decode_with_stray_bytes(data: bytes, name: str) -> Image:
    try:
        image = simplejpeg.decode_jpeg(data, colorspace="BGR", strict=False)
        # Lenient decoding fills what is missing with grey, and only the first complaint is heard: is all of it there?
        with PilImage.open(io.BytesIO(data)) as whole:
            whole.load()
    except (ValueError, OSError, SyntaxError) as error:
        raise _damaged(name, str(error)) from error
    return image


def _damaged(name: str, why: str) -> DamagedImage:
    return DamagedImage(f"{name} is damaged ({why}): copy it again from the camera, or leave it out")


def _upright(image: Image, orientation: int) -> Image:
    """Undo one of the eight EXIF orientations (TIFF 6.0, tag 274)."""
    if orientation in (5, 6, 7, 8):
        image = cv2.transpose(image)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return image if flip is None else cv2.flip(image, flip)
