"""The rail's own geometry: scale, turn and shift over the carriage's position, learnt from registered frames."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from focusrail.stacking.arrays import Transform

_LEAST_FRAMES = 4
_REMEMBERED = 12  # nearest in order: optics are a straight line only over a part of a long stack


class Geometry:
    """Straight lines over the position: the log of the magnification, the angle, and where the centre goes."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, npt.NDArray[np.float64]]] = []

    def learn(self, position: float, transform: Transform, size: tuple[int, int]) -> None:
        """Remember where a frame of (width, height) at `position` was laid."""
        self._seen = [*self._seen, (position, _parameters(transform, size))][-_REMEMBERED:]

    def predict(self, position: float, size: tuple[int, int]) -> Transform | None:
        """Where a frame at `position` is to be expected; None before four frames at two positions are known."""
        if len(self._seen) < _LEAST_FRAMES:
            return None
        positions = np.array([p for p, _ in self._seen])
        spread = float(np.ptp(positions))
        if spread == 0 or not positions.min() - spread <= position <= positions.max() + spread:
            return None
        rows = np.column_stack([np.ones_like(positions), positions - position])
        values = np.linalg.lstsq(rows, np.stack([v for _, v in self._seen]), rcond=None)[0][0]
        return _transform(values, size)


def _parameters(transform: Transform, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """(log scale, angle, x and y of the centre's image) of the similarity nearest to a transform at the centre."""
    centre = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2, 1.0])
    there = transform @ centre
    a = (transform[0, 0] + transform[1, 1]) / 2
    b = (transform[1, 0] - transform[0, 1]) / 2
    return np.array([np.log(np.hypot(a, b)), np.arctan2(b, a), there[0] / there[2], there[1] / there[2]])


def _transform(values: npt.NDArray[np.float64], size: tuple[int, int]) -> Transform:
    scale, angle, x, y = float(np.exp(values[0])), float(values[1]), float(values[2]), float(values[3])
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    cx, cy = (size[0] - 1) / 2, (size[1] - 1) / 2
    return np.array([[a, -b, x - a * cx + b * cy], [b, a, y - b * cx - a * cy], [0, 0, 1]])
