"""TIFF to pixels: by OpenCV (libtiff) what it reads rightly, by tifffile what it does not."""

from __future__ import annotations

import io
import logging
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image as PilImage

from focusrail.errors import DamagedImage, NotAnImage
from focusrail.store.image_metadata import DAMAGED_METADATA, ORIENTATION, quietly

Pixels: TypeAlias = npt.NDArray[Any]  # (height, width, samples), uint8 or uint16

# What tifffile has to say of a damaged file is in our own sentences.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)
_DAMAGED_TIFF = (tifffile.TiffFileError, zlib.error, lzma.LZMAError, RuntimeError, *DAMAGED_METADATA)
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2  # photometric interpretations


def decode_tiff(data: bytes, name: str) -> tuple[Pixels | None, int]:
    """The pixels of the first page, (height, width, 3) BGR, and the orientation in which they are still to be turned.

    None where there are none to be had. Raises NotAnImage, DamagedImage, cv2.error.
    """
    with _first_page(data) as page:
        if page is not None and page.dtype is not None:
            if page.dtype.kind in "iufc" and page.dtype not in (np.uint8, np.uint16):
                raise NotAnImage(f"{name} has {page.dtype} pixels: 8 and 16 bit integers are read")
            try:
                if _misread_by_opencv(page):
                    return _pixels(page, data, name), int(page.tags.valueof(ORIENTATION, 1))
            except _DAMAGED_TIFF as error:
                raise _damaged(name, str(error)) from error
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH), 1


@contextmanager
def _first_page(data: bytes) -> Iterator[tifffile.TiffPage | None]:
    """None where tifffile makes nothing of it: perhaps libtiff does, or says what is wrong."""
    with io.BytesIO(data) as stream:  # closed, since a file and its pages hold each other, and `data`, for a while
        try:
            file = tifffile.TiffFile(stream)
            page = file.pages.first
        except _DAMAGED_TIFF:
            yield None
            return
        yield page if isinstance(page, tifffile.TiffPage) else None


def _misread_by_opencv(page: tifffile.TiffPage) -> bool:
    """Whether OpenCV (4.11 to 5.1) would return other pixels than there are.

    It multiplies 8-bit colours by their transparency, cannot read tiles that stand out beyond the picture and does not
    miss planes that are missing; it takes the planes of 16 bits for pixels, does not invert 16 bits, and makes 8 bits
    of 16 when they are grey and transparent.
    """
    if page.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB) or page.bitspersample not in (8, 16):
        return False
    if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1:
        return True
    transparent = len(page.extrasamples) > 0
    if page.bitspersample == 8:
        stand_out = page.is_tiled and (page.imagewidth % page.tilewidth or page.imagelength % page.tilelength)
        return bool(transparent or stand_out)
    return page.photometric == _WHITE_IS_ZERO or (transparent and page.photometric == _BLACK_IS_ZERO)


def _pixels(page: tifffile.TiffPage, data: bytes, name: str) -> Pixels:
    offsets, counts = page.dataoffsets, page.databytecounts
    whole = len(offsets) == len(counts) and all(0 < n <= len(data) - at for at, n in zip(offsets, counts, strict=True))
    if not (offsets and whole):
        raise _damaged(name, "pixels are missing")
    samples = _samples(page, data, name)
    if samples.dtype not in (np.uint8, np.uint16) or samples.shape[2] < (3 if page.photometric == _RGB else 1):
        raise _damaged(name, "it contradicts itself")
    if page.photometric == _RGB:
        return np.ascontiguousarray(samples[..., 2::-1])
    grey = samples[..., :1]
    if page.photometric == _WHITE_IS_ZERO:
        grey = np.iinfo(grey.dtype).max - grey
    return np.repeat(grey, 3, axis=2)


def _samples(page: tifffile.TiffPage, data: bytes, name: str) -> Pixels:
    """(height, width, samples), as they are stored."""
    try:
        samples: Pixels = np.asarray(page.asarray(maxworkers=1))
    except (ValueError, ImportError) as error:
        # LZW and the like, which tifffile leaves to another package and Pillow can do for 8 bits.
        if "imagecodecs" not in str(error):
            raise
        if page.bitspersample != 8 or page.photometric == _WHITE_IS_ZERO:
            how = tifffile.COMPRESSION(page.compression).name
            raise NotAnImage(
                f"{name} is a TIFF of planes or of inverted grey, compressed by {how}: save it without compression"
            ) from error
        with quietly(), PilImage.open(io.BytesIO(data)) as image:
            samples = np.array(image)
    if page.axes.startswith("S") and samples.shape[0] == page.samplesperpixel:
        samples = np.moveaxis(samples, 0, -1)
    return samples.reshape(page.imagelength, page.imagewidth, -1)


def _damaged(name: str, why: str) -> DamagedImage:
    return DamagedImage(f"{name} is damaged ({why}): copy it again from the camera, or leave it out")
