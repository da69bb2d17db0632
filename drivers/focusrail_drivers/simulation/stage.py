"""Scene, lens, pose and sensor put together for one camera: frames on demand, and the truth about them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from weakref import WeakValueDictionary

import cv2
import numpy as np

from focusrail_drivers.base import Truth
from focusrail_drivers.simulation.hairs import hairs
from focusrail_drivers.simulation.layer import layer_from
from focusrail_drivers.simulation.lens import Lens, Plane
from focusrail_drivers.simulation.moment import Moment
from focusrail_drivers.simulation.projection import Matrix, OneView, Parallax, Pose
from focusrail_drivers.simulation.renderer import Renderer
from focusrail_drivers.simulation.scene import SceneOptions, sketches
from focusrail_drivers.simulation.view import View

STILL_PX = 0.1  # movement during an exposure that no picture shows
# How far beyond the scene the carriage may go before a frame's border shows mirrored view; and how near a background
# must be to count as part of the scene.
MARGIN_MM = 0.25
NEAR_BACKGROUND_MM = 1.5


@dataclass(frozen=True, slots=True)
class StageOptions:
    """Everything a noise-free frame depends on, besides the carriage and its `draw`: what chance is drawn by."""

    scene: SceneOptions
    width_px: int
    height_px: int
    field_mm: float  # width of the field in the plane in focus
    numerical_aperture: float
    breathing_per_mm: float
    drift_um_per_mm: tuple[float, float]
    rotation_deg_per_mm: float
    jitter_um: float
    projection: Literal["similarity", "perspective"]
    working_distance_mm: float  # perspective: from the entrance pupil to the plane in focus


class Stage:
    """A scene in front of a lens. Making one paints and blurs the scene (seconds); after that it never changes."""

    def __init__(self, options: StageOptions) -> None:
        self.options = options
        scene = options.scene
        self.lens = Lens(options.numerical_aperture, options.width_px / options.field_mm)
        middle_mm = 0.5 * (scene.near_mm + scene.far_mm)
        px_per_um = self.lens.px_per_mm / 1000
        perspective = options.projection == "perspective"
        self.pose = Pose(
            scene.seed,
            middle_mm,
            0.0 if perspective else options.breathing_per_mm,
            (options.drift_um_per_mm[0] * px_per_um, options.drift_um_per_mm[1] * px_per_um),
            options.rotation_deg_per_mm,
            options.jitter_um * px_per_um,
        )
        self._centre_px = ((options.width_px - 1) / 2, (options.height_px - 1) / 2)
        self.view = View(options.width_px, options.height_px, self._margin_px(middle_mm))
        whole = self.view.rect
        x0, y0 = self.view.frame_origin_px
        self.projection: OneView | Parallax = OneView()
        if perspective:
            centre = (x0 + self._centre_px[0], y0 + self._centre_px[1])
            self.projection = Parallax(options.working_distance_mm, middle_mm, centre)
        # The largest disc wanted: the near end in focus, seen at the background, or the far end in focus, the near end.
        largest = self.lens.circle_radius_px(
            max(scene.background_mm - scene.near_mm, scene.far_mm - scene.near_mm) + 0.5
        )
        paint = hairs if scene.subject == "hairs" else sketches
        layers = tuple(layer_from(sketch, whole, largest_radius_px=largest) for sketch in paint(scene, self.view))
        self.renderer = Renderer(layers, whole, self.lens, self.projection)

    def transform(self, moments: Sequence[Moment], draw: int) -> Matrix:
        """(3, 3) from view pixels (those of `truth`) to frame pixels, at the mean of the moments.

        Of the perspective projection it is exact for what is in focus; what is not, is displaced by parallax.
        """
        mean = _mean(moments)
        return np.asarray(self._pose(mean, draw) @ self._growth(mean.position_mm), dtype=np.float64)

    def frame(self, moments: Sequence[Moment], draw: int) -> Plane:
        """(height, width, 3) float32 of 0..255, blue first: what falls on the sensor, averaged over the moments."""
        positions = [moment.position_mm for moment in moments]
        lateral = np.array([moment.lateral_mm for moment in moments]) * self.lens.px_per_mm
        reach_px = float(np.ptp(lateral, axis=0).max())
        mean_mm = _mean(moments).position_mm
        refocus_px = self.lens.circle_radius_px(max(positions) - min(positions))
        if reach_px < STILL_PX and refocus_px < STILL_PX:
            return self._warped(self.renderer.picture(mean_mm), self._pose(_mean(moments), draw))
        total = np.zeros((self.options.height_px, self.options.width_px, 3), np.float32)
        picture = None if refocus_px >= 5 * STILL_PX else self.renderer.picture(mean_mm)
        for moment in moments:
            seen = picture if picture is not None else self.renderer.picture(moment.position_mm)
            total += self._warped(seen, self._pose(moment, draw))
        total *= np.float32(1 / len(moments))
        return total

    def truth(self) -> Truth:
        """The scene as it is, on the frame's pixel size."""
        image, depth_mm = self.renderer.sharp()
        x0, y0 = self.view.frame_origin_px
        rows, columns = slice(y0, y0 + self.options.height_px), slice(x0, x0 + self.options.width_px)
        return Truth(np.ascontiguousarray(image[rows, columns]), np.ascontiguousarray(depth_mm[rows, columns]))

    def sharpest(self, moments: Sequence[Moment], draw: int, *, from_mm: float, to_mm: float) -> Truth:
        """The scene on this frame's pixels; what lies outside `from_mm` to `to_mm` blurred as from the nearer end."""
        image, depth_mm = self.renderer.sharp(from_mm=from_mm, to_mm=to_mm)
        pose = self._pose(_mean(moments), draw)
        seen = np.rint(np.clip(self._warped(image.astype(np.float32), pose), 0, 255)).astype(np.uint8)
        return Truth(seen, self._warped(depth_mm, pose, cv2.INTER_NEAREST).astype(np.float32))

    def _pose(self, moment: Moment, draw: int) -> Matrix:
        shift = (moment.lateral_mm[0] * self.lens.px_per_mm, moment.lateral_mm[1] * self.lens.px_per_mm)
        return self.pose.transform(moment.position_mm, draw, centre_px=self._centre_px, shift_px=shift)

    def _growth(self, position_mm: float) -> Matrix:
        scale = self.projection.scale(position_mm)
        cx, cy = self._centre_px
        return np.array([[scale, 0, cx * (1 - scale)], [0, scale, cy * (1 - scale)], [0, 0, 1]])

    def _warped(self, picture: Plane, pose: Matrix, interpolation: int = cv2.INTER_LANCZOS4) -> Plane:
        x0, y0 = self.view.frame_origin_px
        to_frame = pose @ np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]], np.float64)
        size = (self.options.width_px, self.options.height_px)
        return np.asarray(
            cv2.warpAffine(picture, to_frame[:2], size, flags=interpolation, borderMode=cv2.BORDER_REFLECT_101),
            dtype=np.float32,
        )

    def _margin_px(self, middle_mm: float) -> int:
        # The view must contain what every frame's corners show, from the scene's near end to its far end.
        options = self.options
        right, bottom = options.width_px - 1, options.height_px - 1
        corners = np.array([[0, right, 0, right], [0, 0, bottom, bottom], [1, 1, 1, 1]], np.float64)
        scene = options.scene
        near_background = scene.background_mm - scene.far_mm < NEAR_BACKGROUND_MM
        ends_mm = (scene.near_mm - MARGIN_MM, (scene.background_mm if near_background else scene.far_mm) + MARGIN_MM)
        beyond = 0.0
        for end_mm in ends_mm:
            off_mm = abs(end_mm - middle_mm)
            at = (np.linalg.inv(self._pose(Moment(end_mm), 0)) @ corners)[:2]
            if options.projection == "perspective":
                at += (at - at.mean(axis=1, keepdims=True)) * off_mm / (options.working_distance_mm - off_mm)
            beyond = max(beyond, -at.min(), at[0].max() - right, at[1].max() - bottom)
        return int(beyond + 5 * self.pose.jitter_px + 0.02 * self.lens.px_per_mm) + 6


def _mean(moments: Sequence[Moment]) -> Moment:
    lateral = np.mean([moment.lateral_mm for moment in moments], axis=0)
    return Moment(float(np.mean([moment.position_mm for moment in moments])), (float(lateral[0]), float(lateral[1])))


_stages: WeakValueDictionary[StageOptions, Stage] = WeakValueDictionary()
_stages_lock = threading.Lock()


def stage_for(options: StageOptions) -> Stage:
    """The stage for these options, shared by all cameras that look at the same one, and kept as long as any does."""
    with _stages_lock:
        stage = _stages.get(options)
        if stage is None:
            stage = Stage(options)
            _stages[options] = stage
        return stage
