"""Results to files: JPEG, TIFF and PNG. Pixels are BGR; what is written is worked on in stripes, to spare memory."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
import tifffile
from PIL import Image as PilImage
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from focusrail.store.image_metadata import CAMERA_IFD, DAMAGED_METADATA, GPS_IFD, Metadata, jpeg_segments, result_exif

Image: TypeAlias = npt.NDArray[Any]  # (height, width, 3) BGR, uint8 or uint16
Plane: TypeAlias = npt.NDArray[Any]  # (height, width)

JPEG_QUALITY = 95
_STRIPE_ROWS = 256
_INTEROP_IFD = 0xA005  # a place in the original, which tells nothing in a TIFF
_LONG, _ASCII = 4, 2  # TIFF's types
_NOBODYS = {CAMERA_IFD: 65000, GPS_IFD: 65001}  # private tags, until the folders are there
_CARRIED = (0x010F, 0x0110, 0x0132, 0x013B, 0x8298)  # maker, model, time, artist and copyright: all text


def encode_jpeg(
    image: Image, metadata: Metadata | None = None, *, description: str = "", quality: int = JPEG_QUALITY
) -> bytes:
    """A JPEG of an 8-bit image, or of a 16-bit one rounded to 8; with metadata carried over, where some are given."""
    if image.dtype != np.uint8:
        image = cv2.convertScaleAbs(image, alpha=1 / 257)
    data: bytes = simplejpeg.encode_jpeg(image, quality=quality, colorspace="BGR", colorsubsampling="444")
    if metadata is None:
        return data
    height, width = image.shape[:2]
    exif = result_exif(metadata, description=description, width_px=width, height_px=height)
    body = 2
    if data[2:4] == b"\xff\xe0":  # the segment that makes it JFIF stays the first
        body += 2 + int(struct.unpack_from(">H", data, 4)[0])
    view = memoryview(data)
    return b"".join((view[:body], jpeg_segments(exif, metadata.icc_profile), view[body:]))


def write_tiff(
    path: Path, pixels: Image | Plane, metadata: Metadata, *, description: str, um_per_px: float | None = None
) -> None:
    """A TIFF (BigTIFF above 4 GiB) of a colour image or a plane of any type, with the lateral scale as resolution.

    A colour image carries the original's EXIF and colour profile; a BigTIFF the profile alone.
    """
    rgb = pixels.ndim == 3
    bigtiff = pixels.nbytes > 4_000_000_000
    options: dict[str, object] = {
        "shape": pixels.shape, "dtype": pixels.dtype, "rowsperstrip": _STRIPE_ROWS, "byteorder": "<",
    }  # fmt: skip
    folders: dict[int, ImageFileDirectory_v2] = {}
    if rgb:
        exif = result_exif(metadata, description=description, width_px=pixels.shape[1], height_px=pixels.shape[0])
        folders = {} if bigtiff else _folders(exif)
        options["extratags"] = _extra_tags(exif) + [(_NOBODYS[tag], _LONG, 1, 0, True) for tag in folders]
        if metadata.icc_profile:
            options["iccprofile"] = metadata.icc_profile
    if um_per_px:
        per_cm = 10_000 / um_per_px
        options |= {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(
        path,
        _stripes(pixels),
        photometric="rgb" if rgb else "minisblack",
        description=description.encode("ascii", "replace").decode(),
        software="focusrail",
        metadata=None,
        bigtiff=bigtiff,
        **options,  # type: ignore[arg-type]  # tifffile's own names
    )
    if folders:
        _append_folders(path, folders)


def _stripes(pixels: Image | Plane) -> Iterator[Image | Plane]:
    for top in range(0, len(pixels), _STRIPE_ROWS):
        rows = pixels[top : top + _STRIPE_ROWS]
        yield cv2.cvtColor(rows, cv2.COLOR_BGR2RGB) if rows.ndim == 3 else np.ascontiguousarray(rows)


def _extra_tags(exif: PilImage.Exif) -> list[tuple[int, int, int, object, bool]]:
    return [
        (tag, _ASCII, 0, text.encode("ascii", "replace").decode().rstrip("\0"), True)
        for tag in _CARRIED
        if isinstance(text := exif.get(tag), str)
    ]


def _folders(exif: PilImage.Exif) -> dict[int, ImageFileDirectory_v2]:
    """The camera's and the GPS's own tags, as directories of a TIFF; without those that are damaged."""
    folders = {}
    for tag in (CAMERA_IFD, GPS_IFD):
        try:
            values = {inner: value for inner, value in exif.get_ifd(tag).items() if inner != _INTEROP_IFD}
            folder = ImageFileDirectory_v2(prefix=b"II")
            for inner, value in values.items():
                folder[inner] = value
            folder.tobytes(8)
        except DAMAGED_METADATA:
            continue
        if values:
            folders[tag] = folder
    return folders


def _append_folders(path: Path, folders: dict[int, ImageFileDirectory_v2]) -> None:
    """Put directories at the end of a file, and tell their places in its first one (TIFF 6.0, section 2).

    tifffile writes neither them nor the tags that lead to them, so it has been given tags of nobody's instead.
    """
    with path.open("r+b") as out:
        out.seek(4)
        (first,) = struct.unpack("<I", out.read(4))
        out.seek(first)
        (count,) = struct.unpack("<H", out.read(2))
        entries = {entry[0]: entry for entry in struct.iter_unpack("<HHII", out.read(12 * count))}
        for tag, folder in folders.items():
            end = (out.seek(0, 2) + 1) & ~1  # directories lie at even places
            out.seek(end)
            out.write(folder.tobytes(end))
            del entries[_NOBODYS[tag]]
            entries[tag] = (tag, _LONG, 1, end)
        out.seek(first + 2)
        out.write(b"".join(struct.pack("<HHII", *entries[tag]) for tag in sorted(entries)))


def write_png(path: Path, pixels: Image | Plane) -> None:
    """A PNG, 8 or 16 bit, of a colour image or a plane."""
    done, data = cv2.imencode(
        ".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    )
    if not done:
        raise ValueError(f"OpenCV cannot encode {pixels.dtype} {pixels.shape} as PNG")
    path.write_bytes(data)


def write_index(path: Path, index: Plane) -> None:
    """A grey PNG of a plane of numbers, uint8 or uint16, in less than half of the time that libpng takes for one.

    (W3C, Portable Network Graphics, third edition.) Each row is what it adds to the one above, by which areas of one
    number become zeros; libpng would try five ways for every row, and the checksum of the bytes before they shrink.
    """
    height, width = index.shape
    size = index.dtype.itemsize
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    above = np.zeros((1, size * width), np.uint8)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.write(_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * size, 0, 0, 0, 0)))
        for top in range(0, height, _STRIPE_ROWS):
            rows = index[top : top + _STRIPE_ROWS].astype(f">u{size}").view(np.uint8)
            coded = np.full((len(rows), 1 + size * width), 2, np.uint8)  # 2: the filter "up"
            np.subtract(rows, np.concatenate((above, rows[:-1])), out=coded[:, 1:])
            above = rows[-1:]
            last = top + _STRIPE_ROWS >= height
            file.write(_chunk(b"IDAT", packer.compress(coded.data) + (packer.flush() if last else b"")))
        file.write(_chunk(b"IEND", b""))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
