"""What a stack leaves besides its results, for those who go on working on it. No pixel of the results depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from focusrail.errors import InvalidValue
from focusrail.model.method import Method


@dataclass(frozen=True, slots=True)
class Outputs:
    """A mesh of the result, and pictures in exactly the geometry of result.tif: off unless asked for."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    aligned: bool = False  # every frame as it was fused
    slab_frames: int = 0  # frames of a slab, a depth interval fused on its own; 0: no slabs
    slab_overlap: int = 0  # of which the slab before has as many as well
    mesh: bool = False  # surface.glb, the result as a textured mesh

    def __post_init__(self) -> None:
        if self.slab_frames < 0 or self.slab_frames == 1:
            raise InvalidValue("slab_frames", f"must be 2 or more, not {self.slab_frames}")
        # More than half, and three slabs would be under way at a time: memory is promised to hold two.
        if not 0 <= self.slab_overlap <= self.slab_frames // 2:
            raise InvalidValue(
                "slab_overlap",
                f"must be from 0 to half of the slab's {self.slab_frames} frames, not {self.slab_overlap}",
            )

    def check_with(self, method: Method) -> None:
        """Refuse what a method cannot make. Raises InvalidValue."""
        if self.slab_frames and method.two_passes:
            raise InvalidValue(
                "slab_frames", f"cannot be made by {method.fusion}, which takes two passes: slabs are fused in one"
            )

    def needed_bytes(self, frames: int, pixels: int) -> int:
        """The room on the disk that these pictures of so many frames take, before they are cut."""
        slabs = (
            -(-frames // (self.slab_frames - self.slab_overlap)) + 1 if self.slab_frames else 0
        )  # one while it is cut
        return 6 * pixels * (slabs + (frames if self.aligned else 0))
