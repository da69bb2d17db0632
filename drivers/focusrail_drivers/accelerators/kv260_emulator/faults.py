"""What can go wrong on a board, to be set by tests and demonstrations before it is needed.

A fault is due at a tile or at a frame, counted from its injection. A tile is a frame that differs from the one that
was sent before it: the DMA repeats a parked frame for ever, and a bracket sends one tile twice. Nothing is random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260_emulator import vdma


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Due at the `at_tile`-th new tile, or at the `at_frame`-th frame, from 0; happens `times` times (None: always)."""

    at_tile: int | None = None
    at_frame: int | None = None
    times: int | None = 1


@dataclass(frozen=True, kw_only=True)
class Stall(Fault):
    """The stream stops in the middle of the frame, for no reason that any register shows."""


@dataclass(frozen=True, kw_only=True)
class WrongSize(Fault):
    """A filter counts so many rows and columns more than it was told (negative: fewer)."""

    rows: int = 0
    cols: int = 0


@dataclass(frozen=True, kw_only=True)
class LateFrame(Fault):
    """The frame takes the time of so many frames more than it should."""

    frames: int = 5


@dataclass(frozen=True, kw_only=True)
class DecouplerLeftOn(Fault):
    """The region is cut off. With neither tile nor frame given: the next release of the decoupler has no effect."""

    region: str = "pr_0"


@dataclass(frozen=True, kw_only=True)
class DownloadTimeout(Fault):
    """A bitstream's download fails with TimeoutError: partial ones, or full ones."""

    partial: bool = True


@dataclass(frozen=True, kw_only=True)
class VdmaErrors(Fault):
    """The DMA shows error bits and the frame is lost. A slave or a decode error, or an internal error alone, halts."""

    channel: Literal["mm2s", "s2mm"] = "s2mm"
    bits: int = vdma.SOF_EARLY | vdma.EOL_EARLY | vdma.SOF_LATE | vdma.EOL_LATE

    @property
    def halts(self) -> bool:
        """Whether the channel stands still until it is reset."""
        return bool(self.bits & (vdma.SLAVE_ERROR | vdma.DECODE_ERROR)) or self.bits == vdma.INTERNAL_ERROR


@dataclass(frozen=True, kw_only=True)
class BitFlip(Fault):
    """One bit of the result is wrong: that of byte `byte` in row `row` of what is written to memory."""

    row: int = 4
    byte: int = 12
    bit: Literal[0, 1, 2, 3, 4, 5, 6, 7] = 3


@dataclass(frozen=True, kw_only=True)
class CameraStops(Fault):
    """The camera's `at_frame`-th frame begins and never ends, nor does another: until the DMA is reset (`restart`),
    the sensor is set up anew (`configure`), or `never`.
    """

    at_frame: int | None = 0
    until: Literal["restart", "configure", "never"] = "restart"


@dataclass(frozen=True, kw_only=True)
class CameraWrongSize(Fault):
    """The camera's frame has so many rows and columns more than it was set to (negative: fewer)."""

    at_frame: int | None = 0
    rows: int = 0
    cols: int = 0


@dataclass(frozen=True, kw_only=True)
class CameraSpoilt(Fault):
    """The camera's frame is lost on its way, and the DMA sees that one begins too early."""

    at_frame: int | None = 0


@dataclass(frozen=True, kw_only=True)
class CameraSetupFails(Fault):
    """The sensor does not answer while it is set up; neither tile nor frame matter."""


@dataclass(frozen=True, kw_only=True)
class CameraSetupHangs(Fault):
    """Setting the sensor up never comes back, as a C library on a stuck bus; neither tile nor frame matter."""


_CAMERA = (CameraStops, CameraWrongSize, CameraSpoilt, CameraSetupFails, CameraSetupHangs)
_IN_A_FRAME = (Stall, WrongSize, LateFrame, VdmaErrors, BitFlip)
_BY_NAME: Mapping[str, type[Fault]] = {
    "stall": Stall,
    "wrong_size": WrongSize,
    "late_frame": LateFrame,
    "decoupler_left_on": DecouplerLeftOn,
    "download_timeout": DownloadTimeout,
    "vdma_errors": VdmaErrors,
    "bit_flip": BitFlip,
    "camera_stops": CameraStops,
    "camera_wrong_size": CameraWrongSize,
    "camera_spoilt": CameraSpoilt,
    "camera_setup_fails": CameraSetupFails,
    "camera_setup_hangs": CameraSetupHangs,
}


def parse(text: str) -> list[Fault]:
    """Faults from text, for who starts an emulated board in another process. Raises ValueError.

    Separated by `;`: a name, then its fields, as in `stall at_tile=3 times=none; wrong_size at_tile=5 rows=-1`.
    """
    return [_fault(each.strip()) for each in filter(str.strip, text.split(";"))]


def _fault(text: str) -> Fault:
    name, *given = text.split()
    if name not in _BY_NAME:
        raise ValueError(f"{text!r} is no fault; there are: {', '.join(_BY_NAME)}")
    kinds = get_type_hints(_BY_NAME[name])
    values: dict[str, Any] = {}
    for part in given:
        field_, _, value = part.partition("=")
        if field_ not in kinds:
            raise ValueError(f"{text!r}: {name} has no {field_}, only {', '.join(kinds)}")
        values[field_] = _value(value)
        _check(values[field_], kinds[field_], said=f"{text!r}: {part}")
    fault = _BY_NAME[name](**values)
    if isinstance(fault, _IN_A_FRAME) and fault.at_tile is None and fault.at_frame is None:
        raise ValueError(f"{text!r} would never happen: it needs at_tile or at_frame")
    if isinstance(fault, (WrongSize, CameraWrongSize)) and not (fault.rows or fault.cols):
        raise ValueError(f"{text!r} would change nothing: it needs rows or cols")
    return fault


def _check(value: object, kind: Any, *, said: str) -> None:
    """Raise ValueError if this is no value of an annotated type: a plain one, a union of them, or Literal."""
    allowed = get_args(kind) or (kind,)
    if value in allowed if get_origin(kind) is Literal else type(value) in allowed:
        return
    names = (each.__name__ if isinstance(each, type) else repr(each) for each in allowed)
    raise ValueError(f"{said} is none of {', '.join(names)}".replace("NoneType", "none"))


def _value(text: str) -> Any:
    words: Mapping[str, Any] = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return int(text, 0)
    except ValueError:
        return text


@dataclass
class _Pending:
    fault: Fault
    first_tile: int
    first_frame: int
    left: int | None

    def due(self, tile: int, frame: int) -> bool:
        if self.left == 0:
            return False
        if self.fault.at_frame is not None:
            return frame - self.first_frame >= self.fault.at_frame
        return self.fault.at_tile is not None and tile - self.first_tile >= self.fault.at_tile

    def take(self) -> Fault:
        if self.left is not None:
            self.left -= 1
        return self.fault


@dataclass
class FaultMenu:
    """The faults of one board. `fired` says what has happened, with the numbers of tile and frame."""

    fired: list[tuple[Fault, int, int]] = field(default_factory=list)
    tiles: int = 0  # that were sent so far
    frames: int = 0
    camera_frames: int = 0
    _pending: list[_Pending] = field(default_factory=list)
    _last: npt.NDArray[np.uint8] | None = None

    def inject(self, fault: Fault) -> None:
        """From now on, let `fault` happen when it is due."""
        frames = self.camera_frames if isinstance(fault, _CAMERA) else self.frames
        self._pending.append(_Pending(fault, self.tiles, frames, fault.times))

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self._pending.clear()

    def begin(self, frame: npt.NDArray[np.uint8]) -> list[Fault]:
        """A frame is sent: count it, and take what is due."""
        if self._last is None or not np.array_equal(frame, self._last):
            self._last = frame
            self.tiles += 1
        self.frames += 1
        tile, number = self.tiles - 1, self.frames - 1
        return [
            self._happens(each)
            for each in self._pending
            if not isinstance(each.fault, _CAMERA) and each.due(tile, number)
        ]

    def begin_camera(self) -> list[Fault]:
        """The camera begins a frame: count it, and take what is due."""
        self.camera_frames += 1
        number = self.camera_frames - 1
        return [
            self._happens(each)
            for each in self._pending
            if isinstance(each.fault, (CameraStops, CameraWrongSize, CameraSpoilt)) and each.due(-1, number)
        ]

    def take_camera_setup(self) -> Fault | None:
        """What goes wrong with setting the sensor up now, if anything."""
        for each in self._pending:
            if isinstance(each.fault, (CameraSetupFails, CameraSetupHangs)) and each.left != 0:
                return self._happens(each)
        return None

    def take_release(self, region: str) -> bool:
        """Whether the decoupler that is being released now stays on."""
        for each in self._pending:
            fault = each.fault
            bound = fault.at_tile is not None or fault.at_frame is not None
            if isinstance(fault, DecouplerLeftOn) and fault.region == region and not bound and each.left != 0:
                self._happens(each)
                return True
        return False

    def take_download(self, *, partial: bool) -> bool:
        """Whether the download that is asked for now fails."""
        for each in self._pending:
            if isinstance(each.fault, DownloadTimeout) and each.fault.partial == partial and each.left != 0:
                self._happens(each)
                return True
        return False

    def _happens(self, pending: _Pending) -> Fault:
        self.fired.append((pending.fault, self.tiles - 1, self.frames - 1))
        return pending.take()
