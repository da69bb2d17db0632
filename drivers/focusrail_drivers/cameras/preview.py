"""Pictures of cameras that have no files, as JPEG to be looked at."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers.base import CaptureFailed

WIDTH_PX = 1280  # at most: enough to focus by, and little to send
_QUALITY = 85


def jpeg(frame: npt.NDArray[np.generic], camera: str) -> bytes:
    """A frame (height, width) or (height, width, 3) BGR, uint8 or uint16, reduced to 1280 px of width at most.

    Raises CaptureFailed, naming the camera, if it is no such picture.
    """
    try:
        height_px, width_px = frame.shape[:2]
        if width_px > WIDTH_PX:
            size_px = (WIDTH_PX, max(1, round(height_px * WIDTH_PX / width_px)))
            frame = cv2.resize(frame, size_px, interpolation=cv2.INTER_AREA)
        if frame.dtype == np.uint16:
            frame = cv2.convertScaleAbs(frame, alpha=1 / 257)
        done, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    except cv2.error:
        done = False
    if not done:
        raise CaptureFailed(f"{camera}: a picture of shape {frame.shape} {frame.dtype} cannot be made a JPEG")
    return data.tobytes()
