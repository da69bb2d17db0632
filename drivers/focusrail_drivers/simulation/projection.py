"""Where the camera looks from: its pose at each carriage position, and whether things shift against each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers.simulation.layer import Layer, Rect
from focusrail_drivers.simulation.lens import Plane

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pose:
    """How a frame is scaled, turned and shifted against the view; a function of position and frame index only."""

    seed: int
    middle_mm: float  # the carriage position where frame and view agree, jitter apart
    breathing_per_mm: float  # relative change of magnification
    drift_px_per_mm: tuple[float, float]
    rotation_deg_per_mm: float
    jitter_px: float  # standard deviation, of each frame, in x and y

    def transform(
        self, position_mm: float, frame_index: int, *, centre_px: tuple[float, float], shift_px: tuple[float, float]
    ) -> Matrix:
        """(3, 3) similarity from view pixels to frame pixels, integer coordinates at pixel centres.

        `shift_px` is what vibration adds. Scale and rotation keep `centre_px` in place.
        """
        off_mm = position_mm - self.middle_mm
        scale = math.exp(self.breathing_per_mm * off_mm)
        angle = math.radians(self.rotation_deg_per_mm * off_mm)
        jitter = np.random.default_rng((self.seed, 71, frame_index)).standard_normal(2) * self.jitter_px
        x, y = (self.drift_px_per_mm[axis] * off_mm + shift_px[axis] + float(jitter[axis]) for axis in (0, 1))
        cos, sin = scale * math.cos(angle), scale * math.sin(angle)
        cx, cy = centre_px
        return np.array(
            [[cos, -sin, cx - cos * cx + sin * cy + x], [sin, cos, cy - sin * cx - cos * cy + y], [0, 0, 1]]
        )


@dataclass(frozen=True, slots=True)
class OneView:
    """All frames see the scene from one place: what differs between them is exactly a similarity."""

    def scale(self, focus_mm: float) -> float:
        """Nothing but the pose scales."""
        return 1.0

    def seen(self, layer: Layer, tile: Rect, *, focus_mm: float, circle_px_per_mm: float) -> Plane | None:
        """(4, height, width) premultiplied: the layer within the tile."""
        return layer.defocused(tile, layer.depth_over(tile), focus_mm=focus_mm, circle_px_per_mm=circle_px_per_mm)


@dataclass(frozen=True, slots=True)
class Parallax:
    """The entrance pupil travels with the carriage: near things grow faster than far ones, and uncover what is behind.

    A point of depth d, seen with the carriage at z, is magnified by D / (D + d - z) against the plane in focus, D the
    distance of that plane from the entrance pupil.
    """

    distance_mm: float
    middle_mm: float  # the carriage position from which the layers are painted
    centre_px: tuple[float, float]  # of the view

    def scale(self, focus_mm: float) -> float:
        """How much larger a point in focus at `focus_mm` is drawn than in the view."""
        return (self.distance_mm + focus_mm - self.middle_mm) / self.distance_mm

    def _magnification(self, depth_mm: Plane, focus_mm: float) -> Plane:
        # The far background can come no nearer than the pupil: the floor keeps a carriage far off its range finite.
        near = np.maximum(self.distance_mm + depth_mm - np.float32(focus_mm), np.float32(0.1 * self.distance_mm))
        return (self.distance_mm + depth_mm - np.float32(self.middle_mm)) / near

    def seen(self, layer: Layer, tile: Rect, *, focus_mm: float, circle_px_per_mm: float) -> Plane | None:
        """(4, height, width) premultiplied: the layer within the tile, as seen from where the carriage stands."""
        cx, cy = self.centre_px
        extremes = self._magnification(np.array([layer.depth_mm.min(), layer.depth_mm.max()], np.float32), focus_mm)
        xs = [cx + (x - cx) / float(m) for x in (tile.x0, tile.x1) for m in extremes]
        ys = [cy + (y - cy) / float(m) for y in (tile.y0, tile.y1) for m in extremes]
        source = Rect(math.floor(min(xs)), math.floor(min(ys)), math.ceil(max(xs)), math.ceil(max(ys)))
        source = source.aligned(3, Rect(-(10**6) // 32 * 32, -(10**6) // 32 * 32, 10**6 // 32 * 32, 10**6 // 32 * 32))
        depth = layer.depth_over(source)
        planes = layer.defocused(source, depth, focus_mm=focus_mm, circle_px_per_mm=circle_px_per_mm)
        if planes is None:
            return None
        right = np.arange(tile.x0, tile.x1, dtype=np.float32)[None, :] - np.float32(cx)
        down = np.arange(tile.y0, tile.y1, dtype=np.float32)[:, None] - np.float32(cy)
        magnification = self._magnification(
            np.full((tile.height, tile.width), layer.depth_mm.mean(), np.float32), focus_mm
        )
        for _ in range(3):
            # Which point of the layer lands here? Its magnification depends on its own depth: iterate.
            map_x = right / magnification + np.float32(cx - source.x0)
            map_y = down / magnification + np.float32(cy - source.y0)
            at = cv2.remap(depth, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            magnification = self._magnification(np.asarray(at, dtype=np.float32), focus_mm)
        out = np.empty((4, tile.height, tile.width), np.float32)
        for plane, target in zip(planes, out, strict=True):
            target[:] = cv2.remap(plane, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        # Cubic interpolation overshoots next to a hard edge; more than opaque or less than nothing is neither.
        np.clip(out, 0, 255, out=out)
        return out
