"""Frames chosen by their numbers, as a person writes them: 12,40-43; and the order in which some are looked at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from focusrail.errors import InvalidValue, UnknownFrame
from focusrail.model.recipe import LARGEST_STACK

T = TypeVar("T")
_PART = re.compile(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?")


def parse_frames(field: str, text: str) -> frozenset[int]:
    """The numbers (0-based) that a text like `12,40-43` means, both ends included. Raises InvalidValue."""
    chosen: set[int] = set()
    for part in text.split(","):
        found = _PART.fullmatch(part)
        if found is None:
            raise InvalidValue(field, f"takes frame numbers like 12,40-43, not {text!r}")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise InvalidValue(field, f"the range {part.strip()} ends before it begins")
        if last >= LARGEST_STACK:  # checked here, since a range is written out in full
            raise InvalidValue(field, f"there is no frame {last}: a stack has at most {LARGEST_STACK}")
        chosen.update(range(first, last + 1))
    return frozenset(chosen)


def frames_text(indices: Iterable[int]) -> str:
    """The shortest text that `parse_frames` turns into these numbers: 12,40-43."""
    runs: list[list[int]] = []
    for index in sorted(set(indices)):
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def check_known(wanted: Iterable[int], known: Iterable[int]) -> None:
    """Refuse numbers of frames that are not there. Raises UnknownFrame."""
    there = frozenset(known)
    unknown = frozenset(wanted) - there
    if unknown:
        which = "is no frame" if len(unknown) == 1 else "are no frames"
        raise UnknownFrame(f"there {which} {frames_text(unknown)} to leave out: the stack has {frames_text(there)}")


def outwards(items: Sequence[T], part: float = 0.5) -> tuple[Sequence[T], Sequence[T]]:
    """From a place, told as a part of the whole, on to the end; and from there back to the beginning."""
    start = round(part * (len(items) - 1))
    return items[start:], items[:start][::-1]
