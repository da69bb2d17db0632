"""All frames registered before the first is fused: where the reference is not the first, or leads nowhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from focusrail.errors import FrameError, TooFewFrames
from focusrail.model.frame import FrameRecord
from focusrail.model.method import Registration
from focusrail.model.selection import outwards
from focusrail.stacking.arrays import Image
from focusrail.stacking.features import Found
from focusrail.stacking.registration import Registrar, Seen, reduce, see

# Where to begin, as parts of the stack. Its ends may lie far out of focus, its middle hardly ever does; the others are
# tried where the middle fits few: then it is of something else.
_STARTS = (0.5, 0.25, 0.75)


@dataclass(slots=True)
class Survey:
    """What became of the frames."""

    found: dict[int, Found] = field(default_factory=dict)  # by index: transforms to one of the frames
    unfit: dict[int, str] = field(default_factory=dict)  # by index: why it could not be registered
    shape: tuple[int, ...] = ()  # of the frames; those of another size are in neither

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), px."""
        return self.shape[1], self.shape[0]


def survey(
    records: Sequence[FrameRecord],
    settings: Registration,
    *,
    look: Callable[[FrameRecord], Image],
    seen: Callable[[FrameRecord], None],
) -> Survey:
    """Register frames (in index order) outwards from the middle. Raises TooFewFrames where none can be read.

    `look` reads a frame or raises FrameError; `seen` hears of each that has been dealt with.
    """
    best = Survey()
    for part in _STARTS:
        one = _outwards(records, part, settings, look=look, seen=seen)
        if not best.shape or len(one.found) > len(best.found):
            best = one
        if 2 * len(best.found) >= len(records):
            break
    if not best.found:
        raise TooFewFrames("none of the frames can be read")
    return best


def position_of(record: FrameRecord) -> float:
    """In mm; where no positions are known, frames are taken to be evenly spaced."""
    return float(record.index) if record.position_mm is None else record.position_mm


def _outwards(
    records: Sequence[FrameRecord],
    part: float,
    settings: Registration,
    *,
    look: Callable[[FrameRecord], Image],
    seen: Callable[[FrameRecord], None],
) -> Survey:
    made = Survey()
    first: tuple[Seen, float] | None = None
    for away in outwards(records, part):
        registrar = Registrar(settings)
        if first is not None:
            registrar.add(*first)
        for record in away:
            try:
                frame = look(record)
                if frame.shape == (made.shape or frame.shape):  # others are named when they are to be fused
                    made.shape = frame.shape
                    view, position = see(reduce(frame, settings)[1], settings), position_of(record)
                    made.found[record.index] = registrar.add(view, position)
                    first = first or (view, position)
            except FrameError as error:
                made.unfit[record.index] = str(error)
            seen(record)
    return made
