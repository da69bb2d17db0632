"""The subject: a petal of glistening cells, faceted and pollen-like bodies on it, bristles before a far garden."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from focusrail_drivers.simulation.bodies import Ellipsoid, paint_body
from focusrail_drivers.simulation.bristles import Bristle, paint_bristles
from focusrail_drivers.simulation.grounds import paint_background, paint_petal
from focusrail_drivers.simulation.layer import Sketch
from focusrail_drivers.simulation.view import View

VIOLET = ((24, 8, 52), (40, 48, 160), (20, 150, 170), (120, 220, 120), (250, 190, 90), (250, 120, 150))
POLLEN = ((96, 44, 8), (214, 126, 18), (250, 190, 48), (255, 232, 150))
PETAL_HAIR = (232, 214, 228)
FILAMENT = (206, 222, 140)
THORN = (196, 92, 48)


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """What is in front of the lens. Depths are carriage positions in mm."""

    seed: int
    near_mm: float
    far_mm: float
    background_mm: float  # depth of the far background
    subject: Literal["petal", "hairs"] = "petal"

    def at(self, part: float) -> float:
        """The depth `part` of the way from near (0) to far (1)."""
        return self.near_mm + part * (self.far_mm - self.near_mm)


def sketches(options: SceneOptions, view: View) -> Iterator[Sketch]:
    """Paint the scene, far to near, one thing at a time, so that only one is in memory unprepared."""
    rng = np.random.default_rng((options.seed, 1))
    seed = options.seed
    yield paint_background(view, key=(seed, 10), depth_mm=options.background_mm)
    deep = options.far_mm - options.near_mm
    behind = _fan(
        rng, count=17, root=(-0.06, 0.1), length=(0.28, 0.5), spread=(-2.5, -0.5), width=0.0062, colour=FILAMENT
    )
    yield paint_bristles(view, behind, depth=lambda u, _: options.at(0.93) + 0.1 * deep * u)
    yield paint_petal(view, key=(seed, 20), near_mm=options.at(0.2), far_mm=options.at(1.0))
    for place in sorted(_grains(rng), key=lambda place: place[1]):
        u, v, radius = place
        # A grain stands on the petal, whose depth falls from its far edge to the bottom of the picture.
        on_petal = 0.22 + 0.78 * float(np.clip((0.36 - v) / 0.42, 0, 1))
        front = options.at(max(0.02, on_petal - 0.16))
        grain = Ellipsoid(u, v, radius, radius * 0.94, float(rng.uniform(0, 3.1)), front, options.at(on_petal))
        yield paint_body(
            view, grain, key=(seed, 30, round(1000 + u * 1000)), colours=POLLEN, pitch=radius / 5.2, bump=1.6
        )
    globe = Ellipsoid(0.13, -0.045, 0.19, 0.155, -0.35, options.at(0.12), options.at(0.62))
    yield paint_body(view, globe, key=(seed, 40), colours=VIOLET, pitch=0.0115, bump=1.0)
    # The hairs stand a little off the globe, and follow its shape.
    yield paint_bristles(view, _hairs(rng, globe), depth=lambda u, v: globe.depth(u, v) - 0.015 * deep, opacity=0.55)
    before = _fan(rng, count=6, root=(-0.5, 0.4), length=(0.5, 0.95), spread=(-1.3, -0.42), width=0.0085, colour=THORN)
    yield paint_bristles(view, before, depth=lambda u, _: options.at(0.2) + 0.25 * deep * u)


def _fan(
    rng: np.random.Generator, *, count: int, root: tuple[float, float], length: tuple[float, float],
    spread: tuple[float, float], width: float, colour: tuple[int, int, int],
) -> list[Bristle]:  # fmt: skip
    bristles = []
    for angle in np.linspace(*spread, count) + rng.uniform(-0.06, 0.06, count):
        reach = rng.uniform(*length)
        bend = rng.uniform(-0.1, 0.34)
        start = (root[0] + rng.uniform(-0.05, 0.05), root[1] + rng.uniform(-0.03, 0.03))
        middle = (start[0] + 0.55 * reach * math.cos(angle), start[1] + 0.55 * reach * math.sin(angle))
        tip = (start[0] + reach * math.cos(angle + bend), start[1] + reach * math.sin(angle + bend))
        shade = rng.uniform(0.75, 1.15)
        tint = tuple(min(255, round(part * shade)) for part in colour)
        bristles.append(Bristle(start, middle, tip, width * rng.uniform(0.7, 1.2), (tint[0], tint[1], tint[2])))
    return bristles


def _hairs(rng: np.random.Generator, body: Ellipsoid) -> list[Bristle]:
    # Thin, pale and low in contrast: what stacking software finds hardest.
    hairs = []
    for angle, out in zip(rng.uniform(0, 2 * math.pi, 70), np.sqrt(rng.uniform(0.1, 1.0, 70)), strict=True):
        across, up = body.radius_a * out * math.cos(angle), body.radius_b * out * math.sin(angle)
        turn = body.turn_rad
        start = (
            body.u + across * math.cos(turn) - up * math.sin(turn),
            body.v + across * math.sin(turn) + up * math.cos(turn),
        )
        away = math.atan2(start[1] - body.v, start[0] - body.u) + rng.uniform(-0.4, 0.4)
        reach = rng.uniform(0.025, 0.06)
        tip = (start[0] + reach * math.cos(away), start[1] + reach * math.sin(away))
        middle = ((start[0] + tip[0]) / 2 + rng.uniform(-0.004, 0.004), (start[1] + tip[1]) / 2)
        hairs.append(Bristle(start, middle, tip, 0.0016, PETAL_HAIR))
    return hairs


def _grains(rng: np.random.Generator) -> list[tuple[float, float, float]]:
    # (u, v, radius): scattered, not touching.
    grains: list[tuple[float, float, float]] = []
    for _ in range(400):
        u, v, radius = float(rng.uniform(-0.46, 0.46)), float(rng.uniform(0.03, 0.31)), float(rng.uniform(0.02, 0.042))
        apart = all(math.hypot(u - other[0], v - other[1]) > radius + other[2] for other in grains)
        clear_of_globe = math.hypot((u - 0.13) / 1.1, v + 0.045) > 0.2 + radius
        if apart and clear_of_globe and len(grains) < 11:
            grains.append((u, v, radius))
    return grains
