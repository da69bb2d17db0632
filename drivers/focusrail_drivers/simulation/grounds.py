"""What lies under and behind: the slanted petal with its relief, and a garden far away."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from focusrail_drivers.simulation.bodies import premultiplied
from focusrail_drivers.simulation.layer import DEPTH_CELL_PX, Sketch
from focusrail_drivers.simulation.lens import Plane
from focusrail_drivers.simulation.texture import fractal_noise, hexagons, lit, palette
from focusrail_drivers.simulation.view import View

GARDEN = ((6, 22, 28), (10, 52, 46), (32, 98, 62), (112, 156, 74), (226, 206, 120))
PETAL = ((92, 10, 60), (168, 28, 104), (222, 84, 148), (248, 164, 190), (255, 226, 214))
PETAL_TOP_V = -0.06  # about where the petal ends against the background
PETAL_BOTTOM_V = 0.36


def paint_background(view: View, *, key: Sequence[int], depth_mm: float) -> Sketch:
    """A garden with points of light, soft in itself, at one depth."""
    rect = view.rect
    scale = max(1, view.frame_width_px // 800)
    small = (rect.height // scale, rect.width // scale)
    width = view.frame_width_px / scale
    mood = fractal_noise((*key, 1), small, width / 3, gain=0.55, finest_px=width / 160)
    slope = np.linspace(0.75, 0.05, small[0], dtype=np.float32)[:, None]
    colour = palette(0.22 + 0.42 * slope + 0.16 * mood, GARDEN)
    rng = np.random.default_rng((*key, 2))
    lights = np.zeros((3, *small), np.float32)
    for _ in range(70):
        x, y = rng.uniform(0, small[1]), rng.uniform(0, small[0]) * rng.uniform(0.2, 1)
        dot = np.zeros(small, np.uint8)
        cv2.circle(dot, (int(x * 16), int(y * 16)), int(width * rng.uniform(0.008, 0.03) * 16), 255, -1, cv2.LINE_AA, 4)
        warmth = rng.uniform(0, 1)
        tint = np.array((150 - 90 * warmth, 235 - 20 * warmth, 120 + 130 * warmth), np.float32) * rng.uniform(0.15, 0.8)
        lights = np.maximum(lights, dot * np.float32(1 / 255) * tint[:, None, None])
    # As soft as promised, so that only the wider discs need copies.
    softness_px = view.frame_width_px / 700
    lights = np.stack([cv2.GaussianBlur(plane, (0, 0), softness_px / scale) for plane in lights])
    colour = np.maximum(colour, lights)
    large = np.stack([cv2.resize(plane, (rect.width, rect.height), interpolation=cv2.INTER_CUBIC) for plane in colour])
    ones = np.ones((rect.height, rect.width), np.float32)
    depth = np.full((rect.height // DEPTH_CELL_PX, rect.width // DEPTH_CELL_PX), depth_mm, np.float32)
    return Sketch(rect, premultiplied(large, ones), rect, depth, softness_px=softness_px)


def _relief(view: View, key: Sequence[int], shape: tuple[int, int], cell_px: float) -> Plane:
    # The large folds of the petal: the same at cell and pixel resolution.
    return fractal_noise(
        (*key, 3), shape, view.frame_width_px / 4 / cell_px, gain=0.42, finest_px=view.frame_width_px / 40 / cell_px
    )


def paint_petal(view: View, *, key: Sequence[int], near_mm: float, far_mm: float) -> Sketch:
    """A slanted petal: `near_mm` at the bottom of the picture, `far_mm` at its upper edge, with folds and cells."""
    whole = view.rect
    top = int(view.to_px(0, PETAL_TOP_V - 0.09)[1])
    rect = type(whole)(0, max(0, top), whole.x1, whole.y1).aligned(0, whole)
    u, v = view.coordinates(rect)
    shape = (rect.height, rect.width)
    w = view.frame_width_px
    folds = _relief(view, key, shape, 1)
    warp = fractal_noise((*key, 4), shape, w / 12, gain=0.5, finest_px=w / 120)
    slant = np.clip((v - PETAL_TOP_V) / (PETAL_BOTTOM_V - PETAL_TOP_V), 0, 1.3)  # 0 far, 1 near
    # Cells look smaller with distance.
    pitch = 0.0085 * (0.72 + 0.4 * slant)
    off, tone = hexagons(u / pitch + 0.55 * warp, v / pitch * 1.25 + 0.55 * np.roll(warp, w // 9, axis=1))
    cell_px = 0.0085 * w
    grain = fractal_noise((*key, 5), shape, cell_px / 2, gain=0.85)
    dome = np.maximum(0, 1 - (1.55 * off) ** 2)
    bump = dome * np.float32(0.3 * cell_px) + 0.2 * grain + folds * np.float32(0.012 * w)
    flat = np.zeros(shape, np.float32)
    diffuse, gleam = lit(
        (flat, flat - np.float32(0.25), flat + np.float32(0.97)), bump.astype(np.float32), ambient=0.2, shininess=30
    )
    veins = np.exp(-((np.sin((u * 34 * (0.6 + 0.5 * slant) + 0.35 * warp)) / 0.16) ** 2))
    hue = 0.30 + 0.26 * slant + 0.10 * folds + 0.12 * (tone - 0.5) - 0.22 * veins + 0.05 * grain
    colour = palette(hue, PETAL) * (diffuse * (0.6 + 0.4 * dome) * (1 + 0.09 * grain) * 1.2) + 120 * gleam * dome
    edge = fractal_noise((*key, 6), (1, rect.width), w / 5, gain=0.45, finest_px=w / 60)
    alpha = np.clip((v - PETAL_TOP_V - 0.022 * edge - 0.05 * np.abs(u) * 2) * w + 0.5, 0, 1)
    cells_u, cells_v = view.cells(rect)
    cells_slant = np.clip((cells_v - PETAL_TOP_V) / (PETAL_BOTTOM_V - PETAL_TOP_V), 0, 1.2)
    small = (cells_v.shape[0], cells_u.shape[1])
    lumps = _relief(view, key, small, DEPTH_CELL_PX)
    span = far_mm - near_mm
    depth = np.minimum(far_mm - span * cells_slant - 0.05 * span * lumps, far_mm)
    return Sketch(rect, premultiplied(colour, alpha), rect, depth.astype(np.float32))
