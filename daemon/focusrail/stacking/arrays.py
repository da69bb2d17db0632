"""The array types that the engine speaks in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[Any]  # (height, width, 3) BGR, uint8 or uint16
Luma: TypeAlias = npt.NDArray[Any]  # (height, width), uint8 or uint16
Plane: TypeAlias = npt.NDArray[Any]  # (height, width), whatever the docstring says
Allocate: TypeAlias = Callable[[tuple[int, ...], npt.DTypeLike], Plane]  # a plane of zeros, wherever it may lie
Transform: TypeAlias = npt.NDArray[np.float64]  # (3, 3), frame pixels to reference pixels, centres at integers
Gain: TypeAlias = tuple[float, float, float]  # what blue, green and red are multiplied with
Points: TypeAlias = npt.NDArray[np.float32]  # (n, 2) x, y
Tile: TypeAlias = npt.NDArray[np.uint16]  # (3, rows, width) blue, green, red of a stripe of the canvas; 65535 is white
