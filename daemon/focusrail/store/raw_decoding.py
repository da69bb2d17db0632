"""A camera's raw files to pixels, by LibRaw, where the extra `raw` is installed."""

from __future__ import annotations

import io
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.errors import DamagedImage, NotAnImage
from focusrail.store.media_types import HOW_TO_READ_RAW

Image: TypeAlias = npt.NDArray[Any]  # (height, width, 3) BGR, uint16

_SRGB = (2.4, 12.92)  # power and slope at the toe of the transfer curve (IEC 61966-2-1)


def decode_raw(data: bytes, name: str) -> Image:
    """(height, width, 3) BGR uint16, sRGB, upright, in the camera's white balance. Raises NotAnImage, DamagedImage.

    Nothing is adapted to the single frame, neither brightness nor what counts as white: frames stay comparable.
    """
    try:
        import rawpy  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise NotAnImage(f"{name} is a raw file: {HOW_TO_READ_RAW}, or let the camera save JPEG, too") from error
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            image = raw.postprocess(
                use_camera_wb=True,
                no_auto_bright=True,
                adjust_maximum_thr=0.0,
                output_bps=16,
                output_color=rawpy.ColorSpace.sRGB,
                gamma=_SRGB,
            )
    except rawpy.LibRawUnsufficientMemoryError as error:
        raise MemoryError from error
    except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
        why = error.args[0].decode("ascii", "replace") if error.args and isinstance(error.args[0], bytes) else error
        if isinstance(error, rawpy.LibRawFileUnsupportedError):
            raise NotAnImage(f"{name} is no raw file that LibRaw reads: remove it from the stack") from error
        raise DamagedImage(f"{name} is damaged ({why}): copy it again from the camera, or leave it out") from error
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint16:
        raise NotAnImage(f"{name} has {image.shape} {image.dtype} pixels: raw files in colour are read")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR, image))
