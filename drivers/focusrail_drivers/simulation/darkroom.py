"""Where the simulated camera's pictures are made: scene and lens to pixels, pixels to a file."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from focusrail_drivers.base import CaptureFailed, Truth
from focusrail_drivers.simulation.noise import Sensor
from focusrail_drivers.simulation.scene import SceneOptions
from focusrail_drivers.simulation.stage import StageOptions, stage_for

if TYPE_CHECKING:
    from focusrail_drivers.cameras.simulated import SimulatedCamera


def stage_options(options: SimulatedCamera.Options) -> StageOptions:
    """What of a camera's options decides what falls on its sensor."""
    o = options
    return StageOptions(
        scene=SceneOptions(o.seed, o.near_mm, o.far_mm, o.background_mm, o.subject),
        width_px=o.width_px,
        height_px=o.height_px,
        field_mm=o.field_mm,
        numerical_aperture=o.numerical_aperture,
        breathing_per_mm=o.breathing_per_mm,
        drift_um_per_mm=(o.drift_x_um_per_mm, o.drift_y_um_per_mm),
        rotation_deg_per_mm=o.rotation_deg_per_mm,
        jitter_um=o.jitter_um,
        projection=o.projection,
        working_distance_mm=o.working_distance_mm,
    )


class Darkroom:
    """One camera's stage and sensor. Making one paints the scene, unless another camera has the same: seconds."""

    def __init__(self, options: SimulatedCamera.Options, *, model: str) -> None:
        """`model` is the camera's name in the files."""
        self._options, self._model = options, model
        o = options
        self.sensor = Sensor(o.seed, o.full_well_electrons, o.read_noise_electrons, o.flicker, o.colour_flicker)
        self.stage = stage_for(stage_options(o))

    def truth(self) -> Truth:
        """The scene as it is, on the frames' pixel size."""
        return replace(self.stage.truth(), one_view=self._options.projection == "similarity")

    def developed(
        self,
        picture: npt.NDArray[np.floating[Any]],
        draw: int,
        *,
        dark: bool = False,
        taken_at: datetime,
        exposure_s: float,
        iso: float,
    ) -> bytes:
        """The file that sensor and camera make of a picture, (height, width, 3) of 0..255, which is used up.

        `draw` is what its noise is drawn by; `dark`: the shutter stayed closed.
        """
        options = self._options
        light = 0.0 if dark else exposure_s / options.exposure_s
        counts = self.sensor.counts(picture, draw, bits=options.bit_depth, light=light, gain=iso / 100)
        suffix, parameters = {
            "jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, options.jpeg_quality]),
            "png": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]),
            "tiff": (".tiff", [cv2.IMWRITE_TIFF_COMPRESSION, 1]),
        }[options.file_format]
        done, buffer = cv2.imencode(suffix, counts, parameters)
        if not done:
            raise CaptureFailed(f"OpenCV could not encode a {options.file_format} of {counts.shape}")
        data = buffer.tobytes()
        return with_exif(data, self._model, taken_at, exposure_s, iso) if options.file_format == "jpeg" else data


def with_exif(jpeg: bytes, model: str, taken_at: datetime, exposure_s: float, iso: float) -> bytes:
    """The JPEG with an EXIF segment right after its start marker; the picture's own bytes stay as they are."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "focusrail"
    exif[ExifTags.Base.Model] = model
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.DateTimeOriginal] = taken_at.strftime("%Y:%m:%d %H:%M:%S")
    details[ExifTags.Base.SubsecTimeOriginal] = f"{taken_at.microsecond // 1000:03d}"
    details[ExifTags.Base.ExposureTime] = exposure_s
    details[ExifTags.Base.ISOSpeedRatings] = round(iso)
    segment = exif.tobytes()
    return jpeg[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + jpeg[2:]
