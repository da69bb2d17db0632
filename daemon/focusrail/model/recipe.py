"""The recipe: what the user asks for. Nothing in it depends on a particular rig."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from focusrail.errors import InvalidValue
from focusrail.model.checks import finite, not_negative, positive
from focusrail.model.method import Method
from focusrail.model.outputs import Outputs

LARGEST_STACK = 65535  # frames: the index plane has 16 bits
# Neither what parts folders, nor control characters, among them those that turn the direction of writing.
_UNFIT = r"/\\\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_NAME = re.compile(f"[^{_UNFIT}]{{1,100}}")


def name_from(text: str) -> str:
    """A name that a shoot can have, from what a folder is called."""
    return re.sub(f"[{_UNFIT}]", "_", text) or "stack"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A stack to be shot: from where to where, in which steps, how.

    The end is `to_mm`, or `depth_mm` beyond `from_mm` (negative: towards home). The frames are counted by `frames`, or
    follow from `step_mm`: then they are spread evenly with at most that step, or, with `keep_step`, are exactly that
    far apart and the last may lie up to one step beyond the end.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    from_mm: float
    to_mm: float | None = None
    depth_mm: float | None = None
    frames: int | None = None
    step_mm: float | None = None
    keep_step: bool = False
    specimen_id: str | None = None
    settle_s: float | None = None  # None: the rig's
    camera_settings: Mapping[str, str] = field(default_factory=dict)  # by the camera's own names
    method: Method = field(default_factory=Method)
    outputs: Outputs = field(default_factory=Outputs)

    def __post_init__(self) -> None:
        for text in ("name", "specimen_id"):
            value = getattr(self, text)
            if value is not None and (not _NAME.fullmatch(value) or value.strip(". ") == ""):
                raise InvalidValue(text, "must be 1 to 100 characters without / or \\ or control characters")
        finite("from_mm", self.from_mm)
        finite("to_mm", self.to_mm)
        finite("depth_mm", self.depth_mm)
        if (self.to_mm is None) == (self.depth_mm is None):
            raise InvalidValue("to_mm", "give either to_mm or depth_mm")
        if (self.frames is None) == (self.step_mm is None):
            raise InvalidValue("frames", "give either frames or step_mm")
        if self.frames is not None and not 2 <= self.frames <= LARGEST_STACK:
            raise InvalidValue("frames", f"must be from 2 to {LARGEST_STACK}, not {self.frames}")
        self.outputs.check_with(self.method)
        positive("step_mm", self.step_mm)
        not_negative("settle_s", self.settle_s)
        if self.end_mm == self.from_mm:
            raise InvalidValue("depth_mm" if self.to_mm is None else "to_mm", "the depth of the stack must not be 0")

    @property
    def end_mm(self) -> float:
        """Where the stack ends (mm from home)."""
        return self.to_mm if self.to_mm is not None else self.from_mm + (self.depth_mm or 0.0)
