"""A subject made to be hard: pale hairs of every depth crossing strong texture, and bodies that hide one another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from focusrail_drivers.simulation.bodies import Ellipsoid, paint_body
from focusrail_drivers.simulation.bristles import Bristle, paint_bristles
from focusrail_drivers.simulation.grounds import paint_background
from focusrail_drivers.simulation.layer import Sketch
from focusrail_drivers.simulation.lens import Plane
from focusrail_drivers.simulation.scene import FILAMENT, PETAL_HAIR, POLLEN, THORN, VIOLET, SceneOptions
from focusrail_drivers.simulation.view import View

MOSS = ((10, 26, 12), (44, 84, 30), (104, 140, 62), (188, 196, 120), (238, 232, 190))
# Bodies in front of the wall: (u, v, radius, part of the depth at which the front and the limb stand).
GLOBES = ((-0.27, -0.1, 0.15, 0.42, 0.62), (0.29, 0.12, 0.17, 0.22, 0.5), (-0.06, 0.2, 0.09, 0.06, 0.2))
SHEETS = ((0.72, 0.16), (0.5, -0.2), (0.3, 0.2), (0.12, -0.1))  # hairs: depth at the middle, and its slope across u


def hairs(options: SceneOptions, view: View) -> Iterator[Sketch]:
    """Paint the scene, far to near: a wall that fills the picture, then globes and sheets of hairs in turn."""
    rng = np.random.default_rng((options.seed, 2))
    seed = options.seed
    yield paint_background(view, key=(seed, 110), depth_mm=options.background_mm)
    wall = Ellipsoid(0.02, -0.03, 0.95, 0.8, 0.2, options.at(0.8), options.at(1.15))
    yield paint_body(view, wall, key=(seed, 120), colours=MOSS, pitch=0.0125, bump=1.7)
    things = [
        (options.at(limb), _globe(options, number), colours)
        for (number, (*_, limb)), colours in zip(enumerate(GLOBES), (VIOLET, POLLEN, VIOLET), strict=True)
    ]
    for part, slope in SHEETS:
        depth_mm = options.at(part)
        while things and things[0][0] >= depth_mm:
            _, globe, colours = things.pop(0)
            yield paint_body(
                view, globe, key=(seed, 130, round(globe.u * 1000) + 1000), colours=colours, pitch=0.0105, bump=1.5
            )
        tint = PETAL_HAIR if part > 0.4 else FILAMENT
        yield paint_bristles(
            view, _scattered(rng, count=34, colour=tint), depth=_sheet(options, part, slope), opacity=0.7
        )
    for _, globe, colours in things:
        yield paint_body(
            view, globe, key=(seed, 130, round(globe.u * 1000) + 1000), colours=colours, pitch=0.0105, bump=1.5
        )
    yield paint_bristles(view, _thorns(rng), depth=_sheet(options, 0.06, 0.06))


def _globe(options: SceneOptions, number: int) -> Ellipsoid:
    u, v, radius, front, limb = GLOBES[number]
    return Ellipsoid(u, v, radius, radius * 0.88, 0.5 * number, options.at(front), options.at(limb))


def _sheet(options: SceneOptions, part: float, slope: float) -> Callable[[Plane, Plane], Plane]:
    return lambda u, _: np.asarray(options.at(part) + (options.far_mm - options.near_mm) * slope * u, np.float32)


def _scattered(rng: np.random.Generator, *, count: int, colour: tuple[int, int, int]) -> list[Bristle]:
    found = []
    for _ in range(count):
        u, v, angle = rng.uniform(-0.5, 0.5), rng.uniform(-0.34, 0.34), rng.uniform(0, 2 * math.pi)
        reach, bend = rng.uniform(0.08, 0.3), rng.uniform(-0.05, 0.05)
        tip = (u + reach * math.cos(angle), v + reach * math.sin(angle))
        middle = ((u + tip[0]) / 2 - bend * math.sin(angle), (v + tip[1]) / 2 + bend * math.cos(angle))
        shade = rng.uniform(0.5, 0.85)
        tint = (round(colour[0] * shade), round(colour[1] * shade), round(colour[2] * shade))
        found.append(Bristle((u, v), middle, tip, rng.uniform(0.0012, 0.0026), tint))
    return found


def _thorns(rng: np.random.Generator) -> list[Bristle]:
    # Opaque and broad: what lies behind is hidden, and veiled around them.
    found = []
    for root_u in (-0.42, -0.16, 0.12, 0.4):
        tip = (root_u + rng.uniform(-0.12, 0.12), rng.uniform(-0.15, 0.1))
        middle = ((root_u + tip[0]) / 2 + rng.uniform(-0.06, 0.06), (0.4 + tip[1]) / 2)
        found.append(Bristle((root_u, 0.4), middle, tip, rng.uniform(0.009, 0.016), THORN))
    return found
