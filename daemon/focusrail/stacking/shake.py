"""Was a frame shaken? A shake smears a picture along one direction, and everywhere along the same one.

Defocus blurs alike in all directions, and what comes into focus elsewhere differs from place to place: on simulated and
real stacks what is measured here stays below 0.1 between neighbours, and a smear of half a per cent of the frame's
width brings it to 0.3.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.stacking.arrays import Luma, Plane

_TILES = 5  # a side
_LEAST_TILES = 4
_SIGMAS = (1.0, 2.5)  # px: the band that is looked at
_LEAST_ENERGY = 8.0  # squared grey levels: below, it is noise whose directions are compared
_LEAST_SHARE = 0.03  # of the strongest tile's energy
_TURNED = 0.3  # change of the log ratio of energies across and along, in four fifths of the tiles
_WEAKER = -0.2  # change of the log of the energy


def directions(luma: Luma) -> npt.NDArray[np.float64]:
    """(25, 4): mean square differences across, down and along both diagonals, in tiles of a reduced 8-bit luma."""
    plane = luma.astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(plane, (0, 0), sigma) for sigma in _SIGMAS)
    band = np.subtract(fine, coarse, out=fine)
    height, width = band.shape
    rows = []
    for i in range(_TILES):
        for j in range(_TILES):
            tile = band[
                i * height // _TILES : (i + 1) * height // _TILES, j * width // _TILES : (j + 1) * width // _TILES
            ]
            rows.append(_energies(tile) if min(tile.shape) > 2 else (0.0, 0.0, 0.0, 0.0))
    return np.array(rows)


def _energies(tile: Plane) -> tuple[float, ...]:
    pairs = (
        (tile[:, 2:], tile[:, :-2]),
        (tile[2:], tile[:-2]),
        (tile[2:, 2:], tile[:-2, :-2]),
        (tile[2:, :-2], tile[:-2, 2:]),
    )
    return tuple(cv2.norm(a, b, cv2.NORM_L2SQR) / tile.size for a, b in pairs)


def shaken(before: npt.NDArray[np.float64], now: npt.NDArray[np.float64]) -> bool:
    """Whether a frame is smeared against the one before; each as `directions` gives it."""
    energy = np.minimum(before.sum(axis=1), now.sum(axis=1))
    usable = energy > max(_LEAST_SHARE * float(energy.max()), _LEAST_ENERGY)
    if np.count_nonzero(usable) < _LEAST_TILES:
        return False
    a, b = np.log(before[usable] + 0.01), np.log(now[usable] + 0.01)
    turned = (b - a)[:, ::2] - (b - a)[:, 1::2]
    everywhere = max(float(np.percentile(turned, 20, axis=0).max()), float(-np.percentile(turned, 80, axis=0).min()))
    return everywhere > _TURNED and float(np.median((b - a).mean(axis=1))) < _WEAKER
