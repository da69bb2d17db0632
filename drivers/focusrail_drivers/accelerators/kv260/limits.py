"""What one board has been proven to do: written by the self-test, kept in a file, believed for that overlay only."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from focusrail_drivers.accelerators.kv260 import reference, tiles
from focusrail_drivers.accelerators.kv260.options import ShiftSetting, needed_shifts
from focusrail_drivers.base import DriverError

log = logging.getLogger(__name__)
USUAL_FILE = Path("/var/lib/focusrail-fpga/kv260-limits.json")
_FORMAT = 2
_MOST_BYTES = 1 << 16
_T = TypeVar("_T")


def _tile_height(height_px: int) -> int:
    """0, or one that a tile may have. Raises ValueError."""
    return tiles.TileSize(height_px, tiles.MAX_WIDTH_PX).height_px if height_px else 0


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has characters that cannot be printed")
    return text


def _instant(text: str) -> str:
    datetime.fromisoformat(text)
    return text


_Text = Annotated[str, Field(max_length=1000), AfterValidator(_printable)]  # it is told in messages
_Shift = Annotated[int, Field(ge=min(reference.SHIFTS), le=max(reference.SHIFTS))]
_TileHeight = Annotated[int, AfterValidator(_tile_height)]
_Count = Annotated[int, Field(ge=1, le=1 << 16)]
_Px = Annotated[int, Field(ge=1, lt=1 << 13)]
_Ms = Annotated[float, Field(ge=0, lt=1e9)]
_Instant = Annotated[_Text, AfterValidator(_instant)]


class LimitsUnusable(DriverError):
    """The file of limits is damaged, or of another board."""


class NoLimits(LimitsUnusable):
    """No self-test has been stored."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which overlay was loaded on which device; limits of one say nothing of another."""

    overlay: _Text  # the bitstream's file name
    description_sha256: _Text  # of the .hwh file beside it
    device: _Text  # the class by which pynq drives it
    pynq: _Text  # version; not compared

    @property
    def emulated(self) -> bool:
        """Whether the device is not one of pynq's own, and so no board."""
        return self.device.partition(".")[0] != "pynq"

    def differs_from(self, other: Identity) -> str:
        """In what; empty if in nothing that counts."""
        if self.emulated != other.emulated:
            return "an emulated board" if self.emulated else "a real board"
        if self.overlay != other.overlay:
            return f"the overlay {self.overlay}"
        if self.description_sha256 != other.description_sha256:
            return f"another version of {self.overlay}"
        return "" if self.device == other.device else f"a device of the kind {self.device}"


@dataclass(slots=True)
class Limits:
    """What this board really does. A shift that is neither exact nor wrong was not tried."""

    transports: list[Literal["parked", "one-frame"]] = field(default_factory=list)  # that gave exact scores
    exact_shifts: list[_Shift] = field(default_factory=list)
    wrong_shifts: list[_Shift] = field(default_factory=list)  # again and again
    max_height_px: _TileHeight = 0  # of narrow tiles
    max_width_px: Annotated[int, Field(ge=0, le=tiles.MAX_WIDTH_PX)] = 0
    whole_height_px: _TileHeight = 0  # the highest tile of full width that came back exact: there is memory for it, too
    any_width: bool | None = None  # also widths that are no multiple of 8
    frames_until_new: _Count | None = None  # at most so many frames came after a tile was sent, the tile's own included
    timed_px: tuple[_Px, _Px] | None = None  # (height, width) of the tile that was timed
    ms_per_tile: _Ms | None = None  # of that one, all told
    ms_processor: _Ms | None = None  # of these, packing, copying and unpacking
    ms_without: _Ms | None = None  # what one processor takes to compute the tile's |LoB| itself

    def __str__(self) -> str:
        largest = f"tiles up to 1920 x {self.whole_height_px}" if self.whole_height_px else "no tile of full width"
        transports = " and ".join(self.transports) or "none"
        wrong = f" (wrong: {_in_words(self.wrong_shifts)})" if self.wrong_shifts else ""
        return f"{largest}, transport {transports}, shifts {_in_words(self.exact_shifts)}{wrong}"

    def refusal(self, shift: ShiftSetting) -> str:
        """Why scores at this shift must not be believed; empty if they may, or if nobody knows better.

        For `auto` at any that it may choose.
        """
        wrong = [each for each in needed_shifts(shift) if each in self.wrong_shifts]
        if not wrong:
            return ""
        return (
            f"shift {shift} cannot be used: this board's self-test found shift {wrong[0]} wrong "
            f"(exact are: {_in_words(self.exact_shifts)}); choose another, or run focusrail fpga self-test again"
        )


def _in_words(shifts: list[int]) -> str:
    return ", ".join(map(str, shifts)) or "none"


@dataclass(frozen=True, slots=True)
class Proven:
    """Limits, of what, and when they were found."""

    identity: Identity
    limits: Limits
    tested_at: _Instant  # ISO 8601, UTC

    def dump(self) -> bytes:
        """As it lies in the file."""
        return (json.dumps({"format": _FORMAT, **asdict(self)}, indent=2) + "\n").encode()


@dataclass(frozen=True, slots=True)
class _Head:
    format: int


@cache
def _reader(kind: type[_T]) -> TypeAdapter[_T]:
    return TypeAdapter(kind)


def load(path: Path) -> Proven:
    """What a file of limits says: nothing but what a self-test writes. Raises LimitsUnusable."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES)
        told = _reader(_Head).validate_json(raw, strict=True).format
        if told != _FORMAT:
            raise LimitsUnusable(f"{path} is of another version of focusrail (format {told})")
        proven = _reader(Proven).validate_json(raw, strict=True)
        _check(proven.limits)
        if json.loads(raw) != json.loads(proven.dump()):  # defaults must not stand in for what is missing
            raise ValueError("its keys are not those that a self-test writes")
    except FileNotFoundError:
        raise NoLimits(f"there is no {path}; focusrail fpga self-test makes it") from None
    except OSError as error:
        raise LimitsUnusable(f"{path} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))  # names of our own: unknown keys are passed over by pydantic
        raise LimitsUnusable(f"{path} is damaged ({where}{': ' if where else ''}{first['msg']})") from error
    except ValueError as error:
        raise LimitsUnusable(f"{path} is damaged ({error})") from error
    return proven


def _check(limits: Limits) -> None:
    """Raise ValueError if parts that are right each for itself contradict each other."""
    if both := set(limits.exact_shifts) & set(limits.wrong_shifts):
        raise ValueError(f"shift {min(both)} is exact and wrong")
    if len({each is None for each in (limits.timed_px, limits.ms_per_tile, limits.ms_processor)}) > 1:
        raise ValueError("of the time for a tile, a part is missing")


def proven_for(identity: Identity, path: Path | None) -> Proven | None:
    """What was proven of this board; None if nothing was. A file of no use is a warning, a missing one is not."""
    if path is None:
        return None
    try:
        proven = load(path)
        if difference := proven.identity.differs_from(identity):
            raise LimitsUnusable(f"{path} is of {difference}")
    except NoLimits:
        return None
    except LimitsUnusable as error:
        log.warning("%s: it is ignored; run focusrail fpga self-test again", error)
        return None
    return proven
