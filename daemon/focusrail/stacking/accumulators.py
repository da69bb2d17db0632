"""Which accumulator a fusion method has; of one that takes two passes there is none (resynthesis.py)."""

from __future__ import annotations

import numpy as np

from focusrail.model.method import Method
from focusrail.stacking.arrays import Allocate
from focusrail.stacking.bands import BandsAccumulator
from focusrail.stacking.fusion import Accumulator, LobAccumulator, SoftAccumulator
from focusrail.stacking.pyramid import PyramidAccumulator
from focusrail_drivers.base import Accelerator


def accumulator(
    height: int,
    width: int,
    method: Method,
    dtype: np.dtype[np.generic],
    *,
    accelerator: Accelerator,
    allocate: Allocate = np.zeros,
) -> Accumulator:
    """The accumulator of a fusion method for a canvas of (height, width), its planes got from `allocate`."""
    if method.fusion == "lob":
        return LobAccumulator(height, width, method, dtype, allocate)
    if method.fusion == "soft":
        return SoftAccumulator(height, width, dtype, accelerator, allocate)
    if method.fusion == "pyramid":
        return PyramidAccumulator(height, width, dtype, accelerator, allocate)
    assert not method.two_passes
    return BandsAccumulator(height, width, method, dtype, accelerator=accelerator, allocate=allocate)
