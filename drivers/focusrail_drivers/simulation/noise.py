"""What light and sensor add to a picture: shot noise, read noise, and a lamp that flickers, in colour if it is to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from focusrail_drivers.simulation.lens import Plane

STRIP_ROWS = 64  # noise is drawn strip by strip: a 24 MP frame never has a second copy of itself in float32


@dataclass(frozen=True, slots=True)
class Sensor:
    """Turns a picture into counts; pure in (seed, a frame's `draw`). White fills `full_well_electrons`; 0: no noise."""

    seed: int
    full_well_electrons: float
    read_noise_electrons: float
    flicker: float  # relative standard deviation of the lamp from frame to frame
    colour_flicker: float = 0.0  # the same of each channel of its light, beside that

    def lamp(self, draw: int) -> float:
        """How bright the lamp burns in this frame, about 1."""
        return max(0.0, 1.0 + self.flicker * float(np.random.default_rng((self.seed, 72, draw)).standard_normal()))

    def colours(self, draw: int) -> npt.NDArray[np.float32]:
        """(3,) float32: what the lamp's blue, green and red are in this frame, each about 1."""
        off = np.random.default_rng((self.seed, 74, draw)).standard_normal(3)
        return np.maximum(0, 1 + self.colour_flicker * off).astype(np.float32)

    def counts(
        self, picture: Plane, draw: int, *, bits: int, light: float = 1.0, gain: float = 1.0
    ) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
        """(height, width, 3) float32 of 0..255 to uint8 (`bits` 8) or uint16 (16); `picture` is used up.

        `light` scales what falls on the sensor (exposure time), `gain` what is made of it (ISO); 1: as painted.
        """
        top = 255.0 if bits == 8 else 65535.0
        out: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
        out = np.empty(picture.shape, np.uint8) if bits == 8 else np.empty(picture.shape, np.uint16)
        random = np.random.Generator(np.random.SFC64((self.seed, 73, draw)))
        lamp = np.float32(light * self.lamp(draw)) * self.colours(draw)
        for row in range(0, len(picture), STRIP_ROWS):
            strip = picture[row : row + STRIP_ROWS]
            strip *= lamp
            if self.full_well_electrons > 0:
                # In grey levels: variance = level / (electrons per level) + read noise^2.
                per_level = self.full_well_electrons / 255.0
                deviation = np.maximum(strip, 0)
                deviation *= np.float32(1 / per_level)
                deviation += np.float32((self.read_noise_electrons / per_level) ** 2)
                np.sqrt(deviation, out=deviation)
                deviation *= random.standard_normal(strip.shape, dtype=np.float32)
                strip += deviation
            strip *= np.float32(gain * top / 255.0)
            strip += np.float32(0.5)
            np.clip(strip, 0, top, out=strip)
            out[row : row + STRIP_ROWS] = strip
        return out
