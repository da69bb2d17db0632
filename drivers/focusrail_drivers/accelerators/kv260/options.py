"""What the configuration says of the KV260's arithmetic: one setting for the board and for its exact double."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260 import reference

ShiftSetting = int | Literal["auto", "bracket"]


def check_shift(shift: ShiftSetting) -> None:
    """Raise ValueError if this is not a shift."""
    if shift not in {"auto", "bracket", *reference.SHIFTS} or isinstance(shift, bool):
        raise ValueError(f"shift {shift!r} is none of auto, bracket, {', '.join(map(str, reference.SHIFTS))}")


def settle_shift(shift: ShiftSetting, probe: npt.NDArray[np.uint8] | None) -> reference.Shift:
    """What a shoot is measured with: `auto` looks at a probe (height, width) of luma; without one it is the bracket."""
    if shift != "auto":
        return shift
    return "bracket" if probe is None else reference.suitable_shift(probe)


def needed_shifts(shift: ShiftSetting) -> tuple[int, ...]:
    """The filter's shifts that this may come to: of `auto`, all that it may choose."""
    if shift == "auto":
        chosen = {each for choice in reference.SUITABLE_SHIFTS for each in needed_shifts(choice)}
        return tuple(sorted(chosen))
    return (shift,) if isinstance(shift, int) else reference.BRACKET_SHIFTS


def in_words(shift: reference.Shift) -> str:
    """A settled shift as a report calls it."""
    return f"shift {shift}" if isinstance(shift, int) else shift
