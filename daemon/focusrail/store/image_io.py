"""Reading originals and writing results. Pixels are BGR; EXIF orientation is applied once, on reading."""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
import tifffile
from PIL import Image as PilImage
from PIL import UnidentifiedImageError

from focusrail.errors import DamagedImage, NotAnImage

Image: TypeAlias = npt.NDArray[Any]  # (height, width, 3) BGR, uint8 or uint16
Plane: TypeAlias = npt.NDArray[Any]  # (height, width)

_ORIENTATION, _SOFTWARE, _DESCRIPTION = 0x0112, 0x0131, 0x010E
_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
}
# Of a TIFF's own tags only these describe the picture; the others say where in that file its pixels are.
_DESCRIPTIVE = {0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x8298, 0x8769, 0x8825}
_MOST_EXIF_BYTES = 65533 - 6  # what a JPEG's segment holds
_MOST_STRAY_BYTES = 16  # before a marker; more means that the decoder has lost its place
_STRAY = re.compile(r"(\d+) extraneous bytes before marker")
# Pillow only reads metadata here, and may do so whatever the picture's size.
PilImage.MAX_IMAGE_PIXELS = None
# What Pillow raises over damaged metadata, as far as it has been seen.
_DAMAGED_METADATA = (
    UnidentifiedImageError, OSError, ValueError, SyntaxError, KeyError, TypeError, struct.error, OverflowError,
    EOFError, IndexError, AttributeError, ZeroDivisionError, RecursionError,
)  # fmt: skip
_CAMERA_IFD, _EXIF_WIDTH, _EXIF_HEIGHT = 0x8769, 0xA002, 0xA003
JPEG_QUALITY = 95
_LONGEST_PX = 32766  # OpenCV addresses pixels by 16 bits with a sign when it warps


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is carried over from an original to the results."""

    exif: bytes = b""  # as Pillow serialises it, orientation reset
    icc_profile: bytes = b""


def decode(data: bytes, name: str) -> Image:
    """(height, width, 3) BGR, uint8 or uint16, upright. Raises NotAnImage, DamagedImage, which name the file."""
    try:
        image = _decode(data, name)
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


def _decode(data: bytes, name: str) -> Image:
    if not data:
        raise NotAnImage(f"{name} is empty: copy it again from the camera, or leave it out")
    kind = next((kind for signature, kind in _SIGNATURES.items() if data.startswith(signature)), None)
    if kind is None:
        raise NotAnImage(f"{name} is not a JPEG, PNG or TIFF image: remove it from the stack")
    if kind == "JPEG":
        return _decode_jpeg(data, name)
    if kind == "PNG" and b"IEND" not in data[-64:]:
        raise _damaged(name, "its end is missing")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    pixels = image.dtype if image is not None else _tiff_dtype(data) if kind == "TIFF" else None
    if pixels is not None and pixels not in (np.uint8, np.uint16):
        raise NotAnImage(f"{name} has {pixels} pixels: 8 and 16 bit integers are read")
    if image is None:
        raise _damaged(name, "it cannot be decoded")
    return image


def _tiff_dtype(data: bytes) -> np.dtype[Any] | None:
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            return file.pages[0].dtype
    except (tifffile.TiffFileError, *_DAMAGED_METADATA):
        return None


def _decode_jpeg(data: bytes, name: str) -> Image:
    try:
        image = simplejpeg.decode_jpeg(data, colorspace="BGR")
    except ValueError as error:
        # A few stray bytes before a marker are a habit of some cameras and cost no pixel; all else does.
        stray = _STRAY.search(str(error))
        if stray is None or int(stray[1]) > _MOST_STRAY_BYTES:
            raise _damaged(name, str(error)) from error
        image = _decode_with_stray_bytes(data, name)
    return _upright(image, _orientation(data))


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


@contextmanager
def _quietly() -> Iterator[None]:
    """Pillow warns of damaged metadata, in words that help nobody at the rig."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _orientation(data: bytes) -> int:
    try:
        with _quietly(), PilImage.open(io.BytesIO(data)) as image:
            return int(image.getexif().get(_ORIENTATION, 1))
    except _DAMAGED_METADATA:
        return 1  # damaged metadata do not make a picture unusable


def _upright(image: Image, orientation: int) -> Image:
    """Undo one of the eight EXIF orientations (TIFF 6.0, tag 274)."""
    if orientation in (5, 6, 7, 8):
        image = cv2.transpose(image)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return image if flip is None else cv2.flip(image, flip)


def read_metadata(data: bytes) -> Metadata:
    """EXIF and colour profile of an original; empty where there are none or they are damaged."""
    try:
        with _quietly(), PilImage.open(io.BytesIO(data)) as image:
            exif, icc_profile = image.getexif(), image.info.get("icc_profile", b"")
            exif.pop(_ORIENTATION, None)
            if image.format == "TIFF":
                for tag in set(exif) - _DESCRIPTIVE:
                    del exif[tag]
            exif.get_ifd(0x8769)  # the camera's own settings: Pillow writes back only what it has read
            # Results are in colour: the profile of a grey original does not fit them.
            fits = isinstance(icc_profile, bytes) and icc_profile[16:20] == b"RGB "
            return Metadata(exif.tobytes() if len(exif) else b"", icc_profile if fits else b"")
    except _DAMAGED_METADATA:
        return Metadata()


def encode_jpeg(image: Image, metadata: Metadata, *, description: str, quality: int = JPEG_QUALITY) -> bytes:
    """A JPEG of an 8-bit image, or of a 16-bit one rounded to 8, with metadata carried over."""
    if image.dtype != np.uint8:
        image = cv2.convertScaleAbs(image, alpha=1 / 257)
    exif = PilImage.Exif()
    if metadata.exif:
        exif.load(metadata.exif)
        camera = exif.get_ifd(_CAMERA_IFD)
        if camera:  # the size that it tells is the result's, not the original's
            camera[_EXIF_WIDTH], camera[_EXIF_HEIGHT] = image.shape[1], image.shape[0]
    exif[_SOFTWARE], exif[_DESCRIPTION] = "focusrail", description.encode("ascii", "replace").decode()
    if len(exif.tobytes()) > _MOST_EXIF_BYTES:  # makers' notes, mostly: a result without them is better than none
        exif = PilImage.Exif()
        exif[_SOFTWARE] = "focusrail"
    out = io.BytesIO()
    PilImage.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).save(
        out, "JPEG", quality=quality, subsampling="4:4:4", exif=exif.tobytes(), icc_profile=metadata.icc_profile or None
    )
    return out.getvalue()


def write_tiff(
    path: Path, pixels: Image | Plane, metadata: Metadata, *, description: str, um_per_px: float | None = None
) -> None:
    """A TIFF (BigTIFF above 4 GiB) of a colour image or a plane of any type, with the lateral scale as resolution."""
    rgb = pixels.ndim == 3
    options: dict[str, object] = {}
    if metadata.icc_profile and rgb:
        options["iccprofile"] = metadata.icc_profile
    if um_per_px:
        per_cm = 10_000 / um_per_px
        options |= {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(
        path,
        cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if rgb else np.ascontiguousarray(pixels),
        photometric="rgb" if rgb else "minisblack",
        description=description.encode("ascii", "replace").decode(),
        software="focusrail",
        metadata=None,
        bigtiff=pixels.nbytes > 4_000_000_000,
        **options,  # type: ignore[arg-type]  # tifffile's own names
    )


def write_png(path: Path, pixels: Image | Plane) -> None:
    """A PNG, 8 or 16 bit, of a colour image or a plane."""
    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError(f"OpenCV cannot encode {pixels.dtype} {pixels.shape} as PNG")
    path.write_bytes(data)
