"""Bristles, filaments and hairs: thin tapering curves with hard edges, lying on a sheet of depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from focusrail_drivers.simulation.bodies import premultiplied
from focusrail_drivers.simulation.layer import Sketch
from focusrail_drivers.simulation.lens import Plane
from focusrail_drivers.simulation.rect import Rect
from focusrail_drivers.simulation.texture import value_noise
from focusrail_drivers.simulation.view import View

SHIFT = 4  # cv2 draws at 1/16 px
STRIPES = 7  # shades across a bristle


@dataclass(frozen=True, slots=True)
class Bristle:
    """A quadratic curve from root to tip, in scene coordinates; `width` at the root, tapering to a third."""

    root: tuple[float, float]
    middle: tuple[float, float]
    tip: tuple[float, float]
    width: float
    colour: tuple[int, int, int]  # red, green, blue


def paint_bristles(
    view: View, bristles: Sequence[Bristle], *, depth: Callable[[Plane, Plane], Plane], opacity: float = 1.0
) -> Sketch:
    """Bristles on a sheet of depth: `depth` gives it in mm at scene coordinates (u, v), of shapes (1, n) and (m, 1)."""
    courses = [_course(view, bristle) for bristle in bristles]
    rect = _around(courses, view)
    origin = np.array([rect.x0, rect.y0])
    colour = np.zeros((rect.height, rect.width, 3), np.uint8)
    alpha = np.zeros((rect.height, rect.width), np.uint8)
    for bristle, (line, side, half) in zip(bristles, courses, strict=True):
        middle_line = line - origin
        # A bristle is a small cylinder: from the shaded side to the lit one, each stripe paints over part of the last.
        # Colour reaches a pixel beyond the outline, so that the outline's soft pixel has the bristle's own colour.
        for stripe in np.linspace(-1, 1, STRIPES):
            shade = 0.3 + 0.85 * max(0.0, 1 - (stripe - 0.3) ** 2) + 0.5 * max(0.0, 1 - abs(stripe - 0.33) * 4)
            tint = [min(255.0, part * shade) for part in bristle.colour[::-1]]
            lit_edge = middle_line + side * (half + 1.5)[:, None]
            shaded_edge = middle_line + side * (half * stripe - (1.5 if stripe == -1 else 0.0))[:, None]
            _fill(colour, np.concatenate([lit_edge, shaded_edge[::-1]]), tint, cv2.LINE_8)
        outline = np.concatenate([middle_line + side * half[:, None], (middle_line - side * half[:, None])[::-1]])
        _fill(alpha, outline, [255.0], cv2.LINE_AA)
    grain = value_noise((len(bristles), 5), alpha.shape, 3.0) * np.float32(0.07) + 1
    planes = np.moveaxis(colour, 2, 0).astype(np.float32) * grain
    u, v = view.cells(rect)
    sheet = np.array(np.broadcast_to(depth(u, v), (v.shape[0], u.shape[1])), np.float32)
    return Sketch(rect, premultiplied(planes, alpha * np.float32(opacity / 255)), rect, sheet)


def _course(view: View, bristle: Bristle) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], ...]:
    # Points along the curve in px, unit normals, half widths in px.
    along = np.linspace(0, 1, 48)[:, None]
    p0, p1, p2 = (np.array(view.to_px(*point)) for point in (bristle.root, bristle.middle, bristle.tip))
    points = (1 - along) ** 2 * p0 + 2 * along * (1 - along) * p1 + along**2 * p2
    tangent = np.gradient(points, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    half = 0.5 * bristle.width * view.frame_width_px * (1 - 0.67 * along[:, 0])
    return points, normal, np.maximum(half, 0.35)


def _around(courses: Sequence[tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], ...]], view: View) -> Rect:
    points = np.concatenate([line for line, _, _ in courses])
    reach = max(float(half.max()) for _, _, half in courses) + 2
    low, high = points.min(axis=0), points.max(axis=0)
    return Rect(int(low[0]), int(low[1]), int(high[0]) + 1, int(high[1]) + 1).aligned(reach, view.rect)


def _fill(
    canvas: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], outline: object, colour: list[float], line: int
) -> None:
    fixed = np.rint(np.asarray(outline) * 2**SHIFT).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], colour, lineType=line, shift=SHIFT)
