"""What GRBL 1.1 and grblHAL say, and what it means. Pure parsing: no I/O, no clock.

Source: gnea/grbl doc/markdown/interface.md, settings.md and doc/csv. Everything is parsed leniently, because grblHAL
adds states, fields and some sixty settings, and because the line may be noisy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Axis = Literal["X", "Y", "Z"]
AXES: tuple[Axis, ...] = ("X", "Y", "Z")

# Realtime bytes: picked out of the stream at once, never queued, never answered with ok.
STATUS_QUERY = b"?"
FEED_HOLD = b"!"
SOFT_RESET = b"\x18"
FULL_REPORT = b"\x87"  # grblHAL: a status with every field; gnea GRBL swallows it
FEED_OVERRIDE_100 = b"\x90"

SYNC = "G4 P0.01"  # answered only when the planner is empty and the axis stands; P must be more than 0

SOFT_LIMIT_ALARM = 2  # refused before any step: the position is kept
SILENT_ALARMS = frozenset({1, 2, 10})  # the controller waits for 0x18 and answers nothing else, not even `?`

ALARMS: Mapping[int, str] = {
    1: "a limit switch was hit",
    2: "the target is beyond the controller's soft limits",
    3: "it was reset while moving",
    6: "homing was stopped by a reset",
    7: "homing was stopped by the safety door",
    8: "the home switch stayed pressed after the pull-off (raise $27)",
    9: "the home switch was not found (check the switch, $5, $23 and $130 to $132)",
    10: "the second motor's home switch was not found, or the emergency stop is pressed",
    11: "it wants to be homed first",
}

ERRORS: Mapping[int, str] = {
    1: "expected a letter",
    2: "bad number",
    3: "unknown $ command",
    5: "homing is off",
    8: "not idle",
    9: "locked by an alarm",
    10: "soft limits need homing",
    11: "line too long",
    15: "jog target beyond the travel",
    20: "unsupported command",
    22: "no feed rate",
    33: "bad target",
}


@dataclass(frozen=True, slots=True)
class Ok:
    """A line was accepted. Not more: a move may not even have begun."""


@dataclass(frozen=True, slots=True)
class Refused:
    """`error:N`: a line was not accepted and did nothing."""

    code: int | None
    text: str

    def __str__(self) -> str:
        meaning = ERRORS.get(self.code, "") if self.code is not None else ""
        return f"{self.text} ({meaning})" if meaning else self.text


@dataclass(frozen=True, slots=True)
class Alarm:
    """`ALARM:N`: motion was ended, the controller is locked."""

    code: int

    def __str__(self) -> str:
        return f"ALARM:{self.code} ({ALARMS.get(self.code, 'see the manual of the controller')})"


@dataclass(frozen=True, slots=True)
class Banner:
    """The controller has just started, or was just reset."""

    text: str


@dataclass(frozen=True, slots=True)
class Status:
    """`<State|...>`. Positions in mm, by axis; which of the three are there depends on $10 and on the turn."""

    state: str  # Idle, Run, Hold, Jog, Alarm, Door, Check, Home, Sleep, Tool
    substate: str = ""
    machine_mm: tuple[float, ...] | None = None
    work_mm: tuple[float, ...] | None = None
    work_offset_mm: tuple[float, ...] | None = None
    homed: bool | None = None  # grblHAL only

    @property
    def standing_in_hold(self) -> bool:
        """A feed hold that has come to rest; Hold:1 still decelerates."""
        return self.state == "Hold" and self.substate in ("", "0")

    @property
    def moving(self) -> bool:
        return self.state in ("Run", "Jog", "Home") or (self.state == "Hold" and not self.standing_in_hold)


@dataclass(frozen=True, slots=True)
class Information:
    """Any other line: settings, messages, build information."""

    text: str


Message = Ok | Refused | Alarm | Banner | Status | Information

_BANNER = re.compile(r"grbl(hal)?\s+v?\d", re.IGNORECASE)
_NUMBERED = re.compile(r"(alarm|error)\s*:\s*(\d+)?", re.IGNORECASE)


def parse(line: str) -> Message:
    """One line, without its end, to what it means. Never raises: what is not understood is Information."""
    if line == "ok":
        return Ok()
    if line.startswith("<"):
        return _status(line) or Information(line)
    if (numbered := _NUMBERED.match(line)) is not None:
        kind, digits = numbered.groups()
        code = int(digits) if digits else None
        if kind.lower() == "error":
            return Refused(code, line)
        if code is not None:
            return Alarm(code)
    # Searched, not matched: the banner follows a reset, which is when noise comes in front of it.
    if not line.startswith("[") and _BANNER.search(line):
        return Banner(line)
    return Information(line)


def _status(line: str) -> Status | None:
    """A status report, None for one that was cut or garbled."""
    if not line.endswith(">"):
        return None
    head, *fields = line[1:-1].split("|")
    state, _, substate = head.partition(":")
    if not state.isalpha():
        return None
    values = dict(field.partition(":")[::2] for field in fields)
    try:
        return Status(
            state=state,
            substate=substate,
            machine_mm=_coordinates(values.get("MPos")),
            work_mm=_coordinates(values.get("WPos")),
            work_offset_mm=_coordinates(values.get("WCO")),
            homed=values["H"].startswith("1") if "H" in values else None,
        )
    except ValueError:
        return None


def _coordinates(text: str | None) -> tuple[float, ...] | None:
    return None if text is None else tuple(float(part) for part in text.split(","))


@dataclass(frozen=True, slots=True)
class Settings:
    """What `$$` says of one axis. Missing settings fall back to what is harmless."""

    steps_per_mm: float
    max_feed_mm_min: float
    acceleration_mm_s2: float
    travel_mm: float  # $130 to $132: homing searches 1.5 times this, soft limits end at it
    all_travels_mm: float  # of the three axes together: `$H` may home them one after the other
    homing_enabled: bool
    homes_to_negative: bool
    soft_limits: bool
    motor_stays_on: bool
    reports_inches: bool
    homing_feed_mm_min: float
    homing_seek_mm_min: float
    homing_debounce_s: float
    homing_pull_off_mm: float
    origin_at_switch: bool  # grblHAL: home is machine zero; gnea GRBL has this as a build option

    @property
    def resolution_mm(self) -> float:
        return 1.0 / self.steps_per_mm


_SETTING = re.compile(r"\$(\d+)\s*=\s*([-+]?[\d.]+)")


def parse_settings(lines: list[str], axis: Axis) -> Settings:
    """The answer to `$$`. Raises ValueError if it lacks what cannot be guessed: steps per mm of the axis."""
    values: dict[int, float] = {}
    for line in lines:
        if (match := _SETTING.match(line)) is not None:
            try:
                values[int(match[1])] = float(match[2])
            except ValueError:
                continue  # garbled: as good as missing
    number = AXES.index(axis)
    steps_per_mm = values.get(100 + number, 0.0)
    if not steps_per_mm > 0:
        raise ValueError(f"${100 + number} (steps/mm of axis {axis}) is missing or zero")
    homing = int(values.get(22, 0))  # gnea GRBL: 0 or 1; grblHAL: bits, of which the first switches homing on
    return Settings(
        steps_per_mm=steps_per_mm,
        max_feed_mm_min=values.get(110 + number, 0.0) or float("inf"),
        acceleration_mm_s2=values.get(120 + number, 0.0) or 10.0,
        travel_mm=abs(values.get(130 + number, 0.0)),
        all_travels_mm=sum(abs(values.get(130 + each, 0.0)) for each in range(3)),
        homing_enabled=bool(homing & 1),
        homes_to_negative=bool(int(values.get(23, 0)) >> number & 1),
        soft_limits=values.get(20, 0) != 0,
        motor_stays_on=values.get(1, 255) >= 255 or bool(int(values.get(37, 0)) >> number & 1),
        reports_inches=values.get(13, 0) != 0,
        homing_feed_mm_min=values.get(24, 0.0) or 25.0,
        homing_seek_mm_min=values.get(25, 0.0) or 100.0,
        homing_debounce_s=values.get(26, 250.0) / 1000,
        homing_pull_off_mm=values.get(27, 1.0),
        origin_at_switch=bool(homing & 8),
    )


def parse_build_info(lines: list[str], banner: str | None) -> tuple[str, bool]:
    """The answer to `$I` as (name and version, whether homing sets the origin at the switch)."""
    version, firmware, options = "", "GRBL", ""
    for line in lines:
        key, _, value = line.strip("[]").partition(":")
        if key == "VER":
            version = value.partition(":")[0]
        elif key == "FIRMWARE":
            firmware = value
        elif key == "OPT":
            options = value.partition(",")[0]
    if not version:
        return (banner or "GRBL").partition("[")[0].strip(), "Z" in options
    return f"{firmware} {'.'.join(version.split('.')[:2])}", "Z" in options
