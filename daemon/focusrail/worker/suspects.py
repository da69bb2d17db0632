"""Frames that were used and yet look wrong: shaken while they were exposed, or something moved in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from focusrail.model.outcome import FrameOutcome
from focusrail.model.selection import frames_text

_FEWEST = 6  # frames; of fewer nobody can tell what is usual
# Sharpness rises and falls from frame to frame as the subject does, by what is usual in a stack. A shaken frame is a
# notch: below both sides by several times that. On simulated stacks in order the deepest notch is 0.6 times the usual
# change, or 5 %; a smear of six pixels makes one of 3.4 to 8 times.
_TIMES_USUAL = 2.0
_LEAST_NOTCH = 0.1  # of the logarithm: 10 %
_TO_SIGMA = 1.4826  # from a median absolute value
# Residuals, and the share of what does not fit the transform, may grow along a stack, so they are compared with those
# nearby; the next frame is registered to this one, and shares its fault. Where thin hairs cover each other, up to 12 %
# do not fit; 13 % do where a ninth of the picture has moved by seven pixels.
_TIMES_RESIDUAL, _LEAST_RESIDUAL_PX = 2.0, 0.5
_TIMES_UNFIT, _LEAST_UNFIT = 3.0, 0.12


def suspects(frames: Sequence[FrameOutcome]) -> dict[int, str]:
    """What stands out, by frame index; `frames` in the order of the stack, whose ends have no neighbours to tell."""
    used = [frame for frame in frames if frame.used]
    found = {frame.index: frame.suspect for frame in used if frame.suspect}  # what registration has seen
    if len(used) < _FEWEST:
        return found
    # Across a gap more has changed: that is not the frame's fault. So it is after frames that show nothing.
    after_gap = {
        at
        for at, (before, frame) in enumerate(pairwise(used), 1)
        if frame.place != before.place + 1 or before.predicted
    }
    for at in _outstanding([f.residual_px for f in used], least=_LEAST_RESIDUAL_PX, times=_TIMES_RESIDUAL):
        if at in after_gap:
            continue
        found[used[at].index] = (
            f"its residual, {used[at].residual_px:.2f} px, is far above that of the frames around it"
        )
    unfit = [1 - f.inliers / f.matches if f.matches else 0.0 for f in used]
    for at in _outstanding(unfit, least=_LEAST_UNFIT, times=_TIMES_UNFIT):
        if at in after_gap:
            continue
        found[used[at].index] = f"{unfit[at]:.0%} of it does not fit the frames around it"
    for at, notch in _notches([frame.sharpness for frame in used]):
        found[used[at].index] = f"it is {1 - math.exp(-notch):.0%} less sharp than the frames around it"
    return dict(sorted(found.items()))


def warning(found: dict[int, str]) -> str:
    """The sentence about all of them."""
    which = frames_text(found)
    if len(found) == 1:
        (reason,) = found.values()
        return f"frame {which} looks shaken, or something moved in it ({reason}): try --without {which}"
    return f"frames {which.replace(',', ', ')} look shaken, or something moved in them: try --without {which}"


def _notches(sharpness: Sequence[float]) -> list[tuple[int, float]]:
    """Places of frames that are less sharp than those on either side, and by how much (natural logarithm)."""
    if min(sharpness) <= 0:
        return []
    logs = [math.log(value) for value in sharpness]
    usual = _TO_SIGMA * median(abs(after - before) for before, after in pairwise(logs))
    least = max(_LEAST_NOTCH, _TIMES_USUAL * usual)
    found = []
    for at in range(1, len(logs) - 1):
        # Two on each side, since a shake may last for two frames.
        sides = max(logs[max(0, at - 2) : at]), max(logs[at + 1 : at + 3])
        if (notch := min(sides) - logs[at]) > least:
            found.append((at, notch))
    return found


def _outstanding(values: Sequence[float], *, least: float, times: float) -> list[int]:
    """Places of frames whose value is far above those around, and not for that of the frame before.

    Only where two frames on either side tell what is usual, beyond those that may share its fault. The first frame
    does not: it fits itself.
    """
    found: list[int] = []
    for at in range(4, len(values) - 3):
        usual = max(median(values[at - 3 : at - 1]), median(values[at + 2 : at + 4]))
        if values[at] > max(least, times * usual) and at - 1 not in found:
            found.append(at)
    return found
