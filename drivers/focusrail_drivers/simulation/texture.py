"""Procedural patterns: noise of many scales, cells, and the light that falls on a relief."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.floating[Any]]
FINEST_CELL_PX = 2.6  # finer detail would alias when a frame is rotated or scaled by a fraction of a pixel


def value_noise(key: Sequence[int], shape: tuple[int, ...], cell_px: float) -> Plane:
    """Smooth noise, mean 0 and deviation about 0.7, one random value a cell of `cell_px`; pure in its arguments."""
    height, width = shape
    rows, columns = math.ceil(height / cell_px) + 3, math.ceil(width / cell_px) + 3
    grid = np.random.default_rng(tuple(key)).standard_normal((rows, columns), dtype=np.float32)
    size = (round(columns * cell_px), round(rows * cell_px))
    return np.asarray(cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC)[:height, :width], dtype=np.float32)


def fractal_noise(
    key: Sequence[int],
    shape: tuple[int, ...],
    coarsest_px: float,
    *,
    gain: float = 0.5,
    finest_px: float = FINEST_CELL_PX,
) -> Plane:
    """Noise of every scale from `coarsest_px` down to `finest_px`, each octave `gain` times weaker; unit deviation.

    The coarse octaves are the same at every resolution of a scene; a finer resolution adds octaves.
    """
    total = np.zeros(shape, np.float32)
    weight, cell, octave, power = 1.0, coarsest_px, 0, 0.0
    while cell >= finest_px:
        total += weight * value_noise((*key, octave), shape, cell)
        power += (0.7 * weight) ** 2
        weight, cell, octave = weight * gain, cell / 2, octave + 1
    return total / np.float32(math.sqrt(power) if power else 1.0)


def hexagons(a: Plane, b: Plane) -> tuple[Plane, Plane]:
    """A honeycomb of unit pitch over (a, b): (distance from the cell's centre, random tone 0..1 of the cell)."""
    tall = np.float32(math.sqrt(3.0))
    rows0, rows1 = np.round(b / tall), np.round(b / tall - 0.5)
    columns0, columns1 = np.round(a), np.round(a - 0.5)
    square0 = (a - columns0) ** 2 + (b - rows0 * tall) ** 2
    square1 = (a - columns1 - 0.5) ** 2 + (b - (rows1 + 0.5) * tall) ** 2
    first = square0 < square1
    column = np.where(first, columns0, columns1 + 0.5)
    row = np.where(first, rows0, rows1 + 0.5)
    tone = np.sin(column * 127.1 + row * 311.7) * 437.5453
    return np.sqrt(np.where(first, square0, square1)), tone - np.floor(tone)


def lit(normal: tuple[Plane, Plane, Plane], bump: Plane, *, ambient: float, shininess: float) -> tuple[Plane, Plane]:
    """(diffuse, specular) light from the upper left on a surface of unit normals roughened by `bump` (height in px)."""
    slope_x = cv2.Sobel(bump, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    slope_y = cv2.Sobel(bump, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    x, y, z = normal[0] - slope_x, normal[1] - slope_y, normal[2]
    length = np.sqrt(x * x + y * y + z * z) + np.float32(1e-6)
    light = np.array((-0.45, -0.62, 0.64), np.float32)
    towards = np.maximum(0, (x * light[0] + y * light[1] + z * light[2]) / length)
    half = (light + np.array((0, 0, 1), np.float32)) / np.linalg.norm(light + np.array((0, 0, 1), np.float32))
    gleam = np.maximum(0, (x * half[0] + y * half[1] + z * half[2]) / length) ** np.float32(shininess)
    return (ambient + (1 - ambient) * towards).astype(np.float32), gleam.astype(np.float32)


def palette(position: Plane, colours: Sequence[tuple[int, int, int]]) -> npt.NDArray[np.float32]:
    """Colours (3, height, width), blue first, blended along a list of (red, green, blue) at `position` 0..1."""
    at = np.clip(position, 0, 1) * (len(colours) - 1)
    stops = np.arange(len(colours))
    out = np.empty((3, *position.shape), np.float32)  # filled one by one: interp works in float64
    for plane, channel in zip(out, (2, 1, 0), strict=True):
        plane[:] = np.interp(at, stops, [colour[channel] for colour in colours])
    return out
