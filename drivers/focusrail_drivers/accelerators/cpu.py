"""The focus measure on the processor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from focusrail_drivers.base import ScoreScale
from focusrail_drivers.clock import Clock

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class CpuAccelerator:
    """|LoB| of 8-bit luma: 3x3 binomial, then the 4-neighbour Laplacian, times 16, exact."""

    @dataclass(frozen=True, slots=True)
    class Options:
        """Nothing can be set."""

        __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __init__(self, options: Options | None = None, clock: Clock | None = None) -> None:
        """There is nothing to keep."""

    def configure(self) -> ScoreScale:
        return ScoreScale(scale=16.0, saturation=16 * 255, halo_px=2, tile=None)

    def measure(self, luma_tile: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
        # Only now: whoever reads the configuration needs neither numpy nor OpenCV.
        from focusrail_drivers.accelerators import lob  # noqa: PLC0415

        return lob.score(luma_tile)
