"""What one board has been proven to do: written by the self-test, kept in a file, believed for that overlay only."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.accelerators.kv260.options import ShiftSetting, needed_shifts
from focusrail_drivers.base import DriverError

log = logging.getLogger(__name__)
USUAL_FILE = Path("/var/lib/focusrail-fpga/kv260-limits.json")
_FORMAT = 1


class LimitsUnusable(DriverError):
    """The file of limits is damaged, or of another board."""


class NoLimits(LimitsUnusable):
    """No self-test has been stored."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which overlay was loaded on which device; limits of one say nothing of another."""

    overlay: str  # the bitstream's file name
    description_sha256: str  # of the .hwh file beside it
    device: str  # the class by which pynq drives it
    pynq: str  # version; not compared

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
    """What this board really does, as far as it was reached."""

    transports: list[str] = field(default_factory=list)  # that gave exact scores
    exact_shifts: list[int] = field(default_factory=list)
    max_height_px: int = 0  # of narrow tiles
    max_width_px: int = 0
    whole_height_px: int = 0  # the highest tile of full width that came back exact: there is memory for it, too
    any_width: bool | None = None  # also widths that are no multiple of 8
    frames_until_new: int | None = None  # at most so many frames came after a tile was sent, the tile's own included
    timed_px: tuple[int, int] | None = None  # (height, width) of the tile that was timed
    ms_per_tile: float | None = None  # of that one, all told
    ms_processor: float | None = None  # of these, packing, copying and unpacking
    ms_without: float | None = None  # what one processor takes to compute the tile's |LoB| itself

    def __str__(self) -> str:
        shifts = ", ".join(map(str, self.exact_shifts)) or "none"
        transports = " and ".join(self.transports) or "none"
        return f"tiles up to 1920 x {self.whole_height_px}, transport {transports}, shifts {shifts}"

    def refusal(self, shift: ShiftSetting) -> str:
        """Why scores at this shift must not be believed, for `auto` at any that it may choose; empty if they may."""
        wrong = [each for each in needed_shifts(shift) if each not in self.exact_shifts]
        if not wrong:
            return ""
        exact = ", ".join(map(str, self.exact_shifts)) or "none"
        return (
            f"shift {shift} cannot be used: this board's self-test did not find shift {wrong[0]} exact "
            f"(exact are: {exact}); choose another, or run focusrail fpga self-test again"
        )


@dataclass(frozen=True, slots=True)
class Proven:
    """Limits, of what, and when they were found."""

    identity: Identity
    limits: Limits
    tested_at: str  # ISO 8601, UTC

    def dump(self) -> bytes:
        """As it lies in the file."""
        return (json.dumps({"format": _FORMAT, **asdict(self)}, indent=2) + "\n").encode()


def load(path: Path) -> Proven:
    """What a file of limits says. Raises LimitsUnusable."""
    try:
        told = json.loads(path.read_bytes())
        if told["format"] != _FORMAT:
            raise LimitsUnusable(f"{path} is of another version of focusrail (format {told['format']})")
        limits = {each.name: told["limits"][each.name] for each in fields(Limits)}
        timed = limits["timed_px"]
        limits["timed_px"] = None if timed is None else (int(timed[0]), int(timed[1]))
        _check(limits)
        identity = Identity(**{each.name: str(told["identity"][each.name]) for each in fields(Identity)})
        return Proven(identity, Limits(**limits), str(told["tested_at"]))
    except FileNotFoundError:
        raise NoLimits(f"there is no {path}; focusrail fpga self-test makes it") from None
    except OSError as error:
        raise LimitsUnusable(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, LookupError) as error:
        raise LimitsUnusable(f"{path} is damaged ({type(error).__name__}: {error})") from error


def _check(limits: dict[str, Any]) -> None:
    """Raise ValueError or TypeError if this is not what a self-test writes."""
    for name in ("max_height_px", "max_width_px", "whole_height_px"):
        if not 0 <= int(limits[name]) <= 1 << 13:
            raise ValueError(f"{name} is {limits[name]}")
    for name in ("ms_per_tile", "ms_processor", "ms_without"):
        if limits[name] is not None and not 0 <= float(limits[name]) < 1e9:
            raise ValueError(f"{name} is {limits[name]}")
    if not set(limits["exact_shifts"]) <= set(reference.SHIFTS):
        raise ValueError(f"exact_shifts are {limits['exact_shifts']}")
    if not set(limits["transports"]) <= {"parked", "one-frame"}:
        raise ValueError(f"transports are {limits['transports']}")


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
