"""Rounded bodies: ellipsoids with a skin of facets, painted with the light and depth of their shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from focusrail_drivers.simulation.layer import Sketch
from focusrail_drivers.simulation.lens import Plane
from focusrail_drivers.simulation.texture import fractal_noise, hexagons, lit, palette
from focusrail_drivers.simulation.view import View


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """Outline in scene coordinates; depth from its foremost point to its limb, in mm."""

    u: float
    v: float
    radius_a: float
    radius_b: float
    turn_rad: float
    front_mm: float
    limb_mm: float

    def local(self, u: Plane, v: Plane) -> tuple[Plane, Plane]:
        """Coordinates in which the outline is the unit circle."""
        cos, sin = math.cos(self.turn_rad), math.sin(self.turn_rad)
        across, down = u - np.float32(self.u), v - np.float32(self.v)
        return (across * cos + down * sin) / self.radius_a, (down * cos - across * sin) / self.radius_b

    def depth(self, u: Plane, v: Plane) -> Plane:
        """Depth in mm at scene coordinates; outside the outline that of the limb."""
        a, b = self.local(u, v)
        bulge = np.sqrt(np.maximum(0, 1 - a * a - b * b))
        return np.asarray(self.limb_mm + (self.front_mm - self.limb_mm) * bulge, dtype=np.float32)


def paint_body(
    view: View,
    body: Ellipsoid,
    *,
    key: Sequence[int],
    colours: Sequence[tuple[int, int, int]],
    pitch: float,
    bump: float,
) -> Sketch:
    """A body with facets `pitch` scene units wide, raised by `bump`, coloured along `colours` from limb to front."""
    rect = view.rect_around(body.u, body.v, max(body.radius_a, body.radius_b))
    if rect is None:
        raise ValueError(f"body at ({body.u:g}, {body.v:g}) lies outside the view")
    a, b = body.local(*view.coordinates(rect))
    square = np.minimum(a * a + b * b, np.float32(0.9995))
    front = np.sqrt(1 - square)
    radius = np.sqrt(square)
    # Facets are spaced evenly over the surface, so they crowd towards the limb.
    stretch = np.arcsin(radius) / np.maximum(radius, np.float32(1e-3)) * np.float32(body.radius_a / pitch)
    off, tone = hexagons(a * stretch, b * stretch)
    facet_px = pitch * view.frame_width_px
    grain = fractal_noise((*key, 1), a.shape, facet_px / 2, gain=0.8)
    dome = np.maximum(0, 1 - (1.75 * off) ** 2)
    relief = (dome * np.float32(0.32 * bump * facet_px) + grain * np.float32(0.16 * bump)).astype(np.float32)
    cos, sin = math.cos(body.turn_rad), math.sin(body.turn_rad)
    normal = (a * cos - b * sin, a * sin + b * cos, front)
    diffuse, gleam = lit(normal, relief * front, ambient=0.24, shininess=22)
    sheen = fractal_noise((*key, 2), a.shape, 0.5 * body.radius_a * view.frame_width_px, finest_px=facet_px)
    hue = 0.12 + 0.75 * front + 0.1 * sheen + 0.14 * (tone - 0.5)
    colour = palette(hue, colours) * (diffuse * (0.62 + 0.38 * dome) * (1 + 0.1 * grain)) + 150 * gleam * (
        0.3 + 0.7 * dome
    )
    colour += (1 - front) ** 3 * np.array((70, 64, 46), np.float32)[:, None, None]  # light from behind, around the limb
    # The outline is hard: it fades over one pixel.
    distance_px = (1 - np.sqrt(a * a + b * b)) * np.float32(min(body.radius_a, body.radius_b) * view.frame_width_px)
    alpha = np.clip(distance_px + 0.5, 0, 1)
    return Sketch(rect, premultiplied(colour, alpha), rect, body.depth(*view.cells(rect)))


def premultiplied(colour: Plane, alpha: Plane) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """(3, height, width) colours 0..255 and alpha 0..1 to (height, width, 4) uint8, colours multiplied by alpha."""
    out = np.empty((*alpha.shape, 4), np.uint8)
    for channel in range(3):
        out[:, :, channel] = np.rint(np.clip(colour[channel], 0, 255) * alpha)
    out[:, :, 3] = np.rint(alpha * 255)
    return out
