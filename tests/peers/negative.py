"""A camera's raw file of our own making: a DNG with a colour filter array, of a camera whose primaries are sRGB's."""

from __future__ import annotations

import io

import numpy as np
import tifffile

# Linear sRGB from CIE XYZ (D65), which as a DNG's ColorMatrix1 says what this camera sees (IEC 61966-2-1; DNG 1.4).
_TO_SRGB = (3.2404542, -1.5371385, -0.4985314, -0.9692660, 1.8760108, 0.0415560, 0.0556434, -0.2040259, 1.0572252)
_CFA = 32803
_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _SRATIONAL = 1, 2, 3, 4, 5, 10


def negative(
    light: np.ndarray,
    *,
    orientation: int = 1,
    neutral: tuple[float, float, float] = (0.5, 1.0, 0.7),
    make: str = "Maker",
) -> bytes:
    """A DNG of linear light, (height, width, 3) RGB, 0..65535; both sides even.

    `neutral` is what the sensor sees of white: the picture must come back as it was, whatever it is.
    """
    height, width = light.shape[:2]
    red, green, blue = (light[..., channel] * neutral[channel] for channel in range(3))
    mosaic = np.empty((height, width), np.uint16)
    mosaic[0::2, 0::2] = red[0::2, 0::2]
    mosaic[0::2, 1::2] = green[0::2, 1::2]
    mosaic[1::2, 0::2] = green[1::2, 0::2]
    mosaic[1::2, 1::2] = blue[1::2, 1::2]
    tags = [
        (271, _ASCII, 0, make, True),
        (274, _SHORT, 1, orientation, True),
        (33421, _SHORT, 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, _BYTE, 4, (0, 1, 1, 2), True),  # CFAPattern: red, green, green, blue
        (50706, _BYTE, 4, (1, 4, 0, 0), True),  # DNGVersion
        (50707, _BYTE, 4, (1, 1, 0, 0), True),  # DNGBackwardVersion
        (50708, _ASCII, 0, "focusrail test", True),  # UniqueCameraModel
        (50714, _LONG, 1, 0, True),  # BlackLevel
        (50717, _LONG, 1, 65535, True),  # WhiteLevel
        (50721, _SRATIONAL, 9, _rationals(_TO_SRGB), True),  # ColorMatrix1
        (50728, _RATIONAL, 3, _rationals(neutral), True),  # AsShotNeutral
        (50778, _SHORT, 1, 21, True),  # CalibrationIlluminant1: D65
    ]
    out = io.BytesIO()
    tifffile.imwrite(out, mosaic, photometric=_CFA, extratags=tags, metadata=None, software=False)
    return out.getvalue()


def _rationals(values: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(part for value in values for part in (round(value * 10_000), 10_000))
