"""A camera that serves a folder of real photographs as if they were being shot along the rail."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from focusrail_drivers.base import (
    CaptureFailed,
    ConnectionLost,
    DeviceNotFound,
    Exposure,
    Photograph,
    Rail,
    SettingRefused,
)

if TYPE_CHECKING:
    from focusrail_drivers.clock import Clock

MEDIA_TYPES = {
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".tif": "image/tiff", ".tiff": "image/tiff", ".png": "image/png",
}  # fmt: skip


class ReplayCamera:
    """Every exposure is the photograph nearest to where the carriage stands. Implements `Camera`."""

    @dataclass(frozen=True, slots=True)
    class Options:
        """The photographs, in natural order of their names (IMG_9 before IMG_10), spread evenly over the range."""

        __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

        folder: Path
        from_mm: float = 10.0  # carriage position of the first photograph
        to_mm: float = 14.0  # and of the last one; may be the smaller of the two
        order: Literal["forward", "reverse"] = "forward"
        exposure_s: float = 0.02
        transfer_s: float = 0.2

        def __post_init__(self) -> None:
            if str(self.folder) in ("", "."):
                raise ValueError("folder: name the folder that holds the photographs")
            for name in ("from_mm", "to_mm"):
                if not math.isfinite(getattr(self, name)):
                    raise ValueError(f"{name}: {getattr(self, name)} is not a position")
            for name in ("exposure_s", "transfer_s"):
                if not 0 <= getattr(self, name) < math.inf:
                    raise ValueError(f"{name}: {getattr(self, name)} is negative")

    def __init__(self, options: Options, clock: Clock, rail: Rail) -> None:
        self._options = options
        self._clock = clock
        self._rail = rail
        self._photographs: tuple[Path, ...] = ()

    def open(self) -> str:
        """List the folder. Raises DeviceNotFound if it is missing or holds no JPEG, TIFF or PNG."""
        folder = self._options.folder.expanduser()
        if not folder.is_dir():
            raise DeviceNotFound(f"{folder}: no such folder of photographs to replay")
        found = [path for path in folder.iterdir() if path.suffix.lower() in MEDIA_TYPES and path.is_file()]
        if not found:
            raise DeviceNotFound(f"{folder}: holds no photograph to replay ({', '.join(MEDIA_TYPES)})")
        found.sort(key=lambda path: natural(path.name), reverse=self._options.order == "reverse")
        self._photographs = tuple(found)
        return f"replay of {len(found)} photographs in {folder}"

    def close(self) -> None:
        """Forget the list; opening again reads the folder anew."""
        self._photographs = ()

    def configure(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        """There is nothing to set on a photograph that has been taken. Raises SettingRefused for any setting."""
        if settings:
            raise SettingRefused(f"a replayed photograph has no setting {next(iter(settings))!r}")
        return {}

    def expose(self, frame_index: int) -> Exposure:
        """Choose the photograph nearest to the carriage. Raises CaptureFailed if the rail does not know where it is."""
        self._require_open()
        position_mm = self._rail.status().position_mm
        if position_mm is None:
            raise CaptureFailed(
                f"frame {frame_index}: the rail does not know where it is; home it to replay photographs"
            )
        self._clock.wait(self._options.exposure_s)
        return Exposure(frame_index, self._clock.utc(), self._nearest(position_mm))

    def deliver(self, exposure: Exposure) -> tuple[Photograph, ...]:
        """The file's bytes, unaltered. Raises CaptureFailed if it can no longer be read."""
        self._require_open()
        path = exposure.token
        if not isinstance(path, Path):
            raise CaptureFailed(f"frame {exposure.frame_index} was not exposed by a replay camera")
        self._clock.wait(self._options.transfer_s)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CaptureFailed(f"{path}: cannot be replayed: {error.strerror}") from error
        return (Photograph(data, MEDIA_TYPES[path.suffix.lower()], {"replayed": path.name}),)

    def _require_open(self) -> None:
        if not self._photographs:
            raise ConnectionLost("the replay camera is not open")

    def _nearest(self, position_mm: float) -> Path:
        span_mm = self._options.to_mm - self._options.from_mm
        part = (position_mm - self._options.from_mm) / span_mm if span_mm else 0.0
        last = len(self._photographs) - 1
        return self._photographs[round(min(max(part, 0.0), 1.0) * last)]


def natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A key that sorts numbers in names by their value; equal ones by the plain name."""
    parts = re.findall(r"\d+|\D+", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], name
