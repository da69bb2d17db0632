"""Where the camera looks from: its pose at each carriage position, and whether things shift against each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers.simulation.layer import Layer
from focusrail_drivers.simulation.lens import Plane
from focusrail_drivers.simulation.rect import Rect

EVERYWHERE = Rect(-(2**20), -(2**20), 2**20, 2**20)  # what lies outside a layer is empty, and its depth goes on
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pose:
    """How a frame is scaled, turned and shifted against the view; a function of position and its `draw` only."""

    seed: int
    middle_mm: float  # the carriage position where frame and view agree, jitter apart
    breathing_per_mm: float  # relative change of magnification
    drift_px_per_mm: tuple[float, float]
    rotation_deg_per_mm: float
    jitter_px: float  # standard deviation, of each frame, in x and y

    def transform(
        self, position_mm: float, draw: int, *, centre_px: tuple[float, float], shift_px: tuple[float, float]
    ) -> Matrix:
        """(3, 3) similarity from view pixels to frame pixels, integer coordinates at pixel centres.

        `shift_px` is what vibration adds. Scale and rotation keep `centre_px` in place.
        """
        off_mm = position_mm - self.middle_mm
        scale = math.exp(self.breathing_per_mm * off_mm)
        angle = math.radians(self.rotation_deg_per_mm * off_mm)
        jitter = np.random.default_rng((self.seed, 71, draw)).standard_normal(2) * self.jitter_px
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
        """(4, height, width) premultiplied: the layer within the tile, or None where it is not."""
        if not layer.shows(tile, focus_mm=focus_mm, circle_px_per_mm=circle_px_per_mm):
            return None
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

    def seen(self, layer: Layer, tile: Rect, *, focus_mm: float, circle_px_per_mm: float) -> Plane | None:
        """(4, height, width) premultiplied: the layer within the tile from where the carriage stands, or None."""
        cx, cy = self.centre_px
        ends = self._shrinking(np.array(layer.depth_range_mm, np.float32), focus_mm)
        xs = [cx + (x - cx) * float(end) for x in (tile.x0, tile.x1) for end in ends]
        ys = [cy + (y - cy) * float(end) for y in (tile.y0, tile.y1) for end in ends]
        source = Rect(math.floor(min(xs)), math.floor(min(ys)), math.ceil(max(xs)), math.ceil(max(ys)))
        source = source.aligned(3, EVERYWHERE)
        if not layer.shows(source, focus_mm=focus_mm, circle_px_per_mm=circle_px_per_mm):
            return None
        depth = layer.depth_over(source)
        planes = layer.defocused(source, depth, focus_mm=focus_mm, circle_px_per_mm=circle_px_per_mm)
        if planes is None:
            return None
        right = np.arange(tile.x0, tile.x1, dtype=np.float32)[None, :] - np.float32(cx)
        down = np.arange(tile.y0, tile.y1, dtype=np.float32)[:, None] - np.float32(cy)
        shrinking = self._shrinking(depth, focus_mm)
        here = np.full((tile.height, tile.width), shrinking.mean(), np.float32)
        steps = 0 if ends[0] == ends[1] else 2
        for step in range(steps + 1):
            # Which point of the layer lands here? How far it moves depends on its own depth: iterate.
            map_x = right * here + np.float32(cx - source.x0)
            map_y = down * here + np.float32(cy - source.y0)
            if step < steps:
                moved = cv2.remap(shrinking, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                here = np.asarray(moved, np.float32)
        packed = cv2.remap(cv2.merge(list(planes)), map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        out = np.ascontiguousarray(np.moveaxis(np.asarray(packed, dtype=np.float32), 2, 0))
        # Cubic interpolation overshoots next to a hard edge; more than opaque or less than nothing is neither.
        np.maximum(out, 0, out=out)
        return np.minimum(out, np.float32(255), out=out)

    def _shrinking(self, depth_mm: Plane, focus_mm: float) -> Plane:
        # View pixels for each pixel of the picture, about the centre: the inverse of the magnification.
        # The pupil never comes closer than a tenth of its distance: that keeps a carriage far off its range finite.
        near = np.maximum(depth_mm + np.float32(self.distance_mm - focus_mm), np.float32(0.1 * self.distance_mm))
        return np.asarray(near / (depth_mm + np.float32(self.distance_mm - self.middle_mm)), dtype=np.float32)
