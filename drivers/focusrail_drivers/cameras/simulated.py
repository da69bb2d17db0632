"""A camera that photographs a procedural scene from where the simulated carriage really stands."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable
from weakref import WeakKeyDictionary

from focusrail_drivers.base import (
    CaptureFailed,
    ConnectionLost,
    DeviceTimeout,
    Exposure,
    Photograph,
    Rail,
    SettingRefused,
    TrueCarriage,
    Truth,
)
from focusrail_drivers.simulation.kept import KeptWhileUsed
from focusrail_drivers.simulation.moment import Moment

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from focusrail_drivers.clock import Clock
    from focusrail_drivers.simulation.darkroom import Darkroom
    from focusrail_drivers.simulation.viewfinder import Viewfinder

MODEL = "focusrail simulated camera"
SMALLEST_MP, LARGEST_MP = 0.05, 26.0
PREVIEW_PX = 800  # width at most: painted afresh some ten times a second
SCENE_KEPT_S = 300.0  # after the last look at it: it takes some hundred bytes a pixel


_TO_FAIL: WeakKeyDictionary[Clock, dict[str, dict[str, Counter[int]]]] = WeakKeyDictionary()
_FAULTS = ("capture_fails_at", "connection_lost_at", "truncated_at", "hangs_at", "stuck_at")  # by frame


@runtime_checkable
class ShakyCarriage(Protocol):
    """A simulated rail that also swings across its axis."""

    def lateral_mm(self) -> tuple[float, float]:
        """(x, y): how far the carriage is off its line now."""


@dataclass(frozen=True, slots=True)
class _Token:
    moments: tuple[Moment, ...]
    exposure_s: float
    iso: float
    draw: int


class SimulatedCamera:
    """Implements `Camera`, `Previews` and `TruthfulCamera`. The scene is painted at the first picture: seconds."""

    @dataclass(frozen=True, slots=True)
    class Options:
        """Scene, optics, sensor and faults. Frame indices in a fault fail once for each time they are named."""

        __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

        seed: int = 1
        subject: Literal["petal", "hairs"] = "petal"  # hairs: thin, pale, crossing strong texture at other depths
        width_px: int = 1728
        height_px: int = 1152
        # the scene, as carriage positions at which things are in focus
        near_mm: float = 10.0
        far_mm: float = 14.0
        background_mm: float = 14.6
        # optics
        field_mm: float = 8.0  # width of the field
        numerical_aperture: float = 0.055  # in the subject; a step of about 0.00055 / NA^2 mm loses nothing
        projection: Literal["similarity", "perspective"] = "similarity"
        working_distance_mm: float = 40.0  # perspective: entrance pupil to the plane in focus
        breathing_per_mm: float = 0.02  # similarity: relative change of magnification
        drift_x_um_per_mm: float = 6.0  # the rail is not quite parallel to the optical axis
        drift_y_um_per_mm: float = -4.0
        rotation_deg_per_mm: float = 0.02
        jitter_um: float = 0.4  # of every frame
        # sensor
        exposure_s: float = 0.02  # with this, ISO 100 and the lamp at its mean, the picture is as bright as the scene
        full_well_electrons: float = 20000.0  # 0: no noise at all
        read_noise_electrons: float = 5.0
        flicker: float = 0.02  # relative standard deviation of the lamp
        colour_flicker: float = 0.0  # of each of its colours, beside that
        # delivery
        transfer_s: float = 0.2
        file_format: Literal["jpeg", "png", "tiff"] = "jpeg"
        bit_depth: Literal[8, 16] = 8
        jpeg_quality: int = 95
        # faults
        capture_fails_at: tuple[int, ...] = ()  # expose() raises CaptureFailed
        connection_lost_at: tuple[int, ...] = ()  # expose() raises ConnectionLost, and so does all until reopened
        truncated_at: tuple[int, ...] = ()  # half of the file is delivered
        dark_at: tuple[int, ...] = ()  # the shutter stays closed
        hangs_at: tuple[int, ...] = ()  # deliver() is stuck for `hang_s`, then raises DeviceTimeout
        hang_s: float = 60.0
        stuck_at: tuple[int, ...] = ()  # expose() never returns, as a library that hangs
        preview_lost_at: tuple[int, ...] = ()  # this preview, counted from 0, raises ConnectionLost, as above

        def __post_init__(self) -> None:
            if (
                not SMALLEST_MP <= self.width_px * self.height_px / 1e6 <= LARGEST_MP
                or min(self.width_px, self.height_px) < 64
            ):
                raise ValueError(
                    f"width_px: {self.width_px} x {self.height_px} px is not {SMALLEST_MP} to {LARGEST_MP} MP"
                )
            if not self.near_mm < self.far_mm:
                raise ValueError(f"far_mm: {self.far_mm} is not beyond near_mm {self.near_mm}")
            if not self.far_mm <= self.background_mm < math.inf:
                raise ValueError(f"background_mm: {self.background_mm} is not beyond far_mm {self.far_mm}")
            for name in ("field_mm", "exposure_s", "working_distance_mm"):
                if not 0 < getattr(self, name) < math.inf:
                    raise ValueError(f"{name}: {getattr(self, name)} is not positive")
            if not 0 < self.numerical_aperture < 1:
                raise ValueError(f"numerical_aperture: {self.numerical_aperture} is not between 0 and 1")
            if self.projection == "perspective" and self.working_distance_mm <= self.far_mm - self.near_mm:
                raise ValueError(f"working_distance_mm: {self.working_distance_mm} is less than the scene is deep")
            for name in (
                "seed", "jitter_um", "full_well_electrons", "read_noise_electrons", "flicker", "colour_flicker",
                "transfer_s", "hang_s",
            ):  # fmt: skip
                if not 0 <= getattr(self, name) < math.inf:
                    raise ValueError(f"{name}: {getattr(self, name)} is negative")
            if abs(self.breathing_per_mm) * (self.far_mm - self.near_mm) > 0.5:
                raise ValueError(
                    f"breathing_per_mm: {self.breathing_per_mm} changes the magnification by more than half"
                )
            if self.file_format == "jpeg" and self.bit_depth == 16:
                raise ValueError("bit_depth: a JPEG has 8 bits; choose file_format png or tiff for 16")
            if not 1 <= self.jpeg_quality <= 100:
                raise ValueError(f"jpeg_quality: {self.jpeg_quality} is not between 1 and 100")

    def __init__(self, options: Options, clock: Clock, rail: Rail) -> None:
        self._options = options
        self._clock = clock
        self._rail = rail
        self._kept_darkroom = KeptWhileUsed(lambda: _darkroom(options), for_s=SCENE_KEPT_S)
        self._kept_viewfinder = KeptWhileUsed(lambda: _viewfinder(options), for_s=SCENE_KEPT_S)
        self._open = False
        self._closed = threading.Event()  # ends a hanging delivery
        self._exposure_s = options.exposure_s
        self._iso = 100.0
        # What has happened once does not happen again because the camera is opened anew.
        happening = _TO_FAIL.setdefault(clock, {})
        self._to_fail = happening.setdefault(
            repr(options), {name: Counter(getattr(options, name)) for name in (*_FAULTS, "preview_lost_at")}
        )
        self._previews = 0

    # --- the contract -------------------------------------------------------------------------------------------------

    def open(self) -> str:
        """Connect. The scene is not painted yet."""
        self._closed.clear()
        self._open = True
        return f"{MODEL}, {self._options.width_px} x {self._options.height_px} px, {self._options.projection}"

    def close(self) -> None:
        """Let go; a delivery that hangs ends."""
        self._open = False
        self._closed.set()
        self._kept_darkroom.let_go()
        self._kept_viewfinder.let_go()

    def configure(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Set `exposure_s` or `iso`; return both as they are then. Raises SettingRefused, and then nothing changed."""
        self._require_open()
        wanted = {"exposure_s": self._exposure_s, "iso": self._iso}
        for name, text in settings.items():
            if name not in wanted:
                raise SettingRefused(f"no setting {name!r}; there are: {', '.join(sorted(wanted))}")
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if not 0 < value < math.inf:
                raise SettingRefused(f"{name}: {text!r} is not a positive number")
            wanted[name] = value
        self._exposure_s, self._iso = wanted["exposure_s"], wanted["iso"]
        return self._settings(self._exposure_s, self._iso)

    def expose(self, frame_index: int) -> Exposure:
        """Expose for `exposure_s` on the clock, watching where the carriage really is meanwhile.

        Raises CaptureFailed and ConnectionLost where the options ask for it.
        """
        self._require_open()
        if self._strikes("connection_lost_at", frame_index):
            self._open = False
            raise ConnectionLost(f"the camera went away at frame {frame_index}; open it again")
        if self._strikes("capture_fails_at", frame_index):
            raise CaptureFailed(f"the camera made no picture of frame {frame_index}")
        if self._strikes("stuck_at", frame_index):
            threading.Event().wait()
        # Short exposures need few looks: a swing of the column takes some 30 ms.
        looks = min(12, max(3, math.ceil(self._exposure_s / 0.004)))
        moments = [self._look()]
        for _ in range(looks - 1):
            self._clock.wait(self._exposure_s / (looks - 1))
            moments.append(self._look())
        token = _Token(tuple(moments), self._exposure_s, self._iso, self._draw(moments[0]))
        return Exposure(frame_index, self._clock.utc(), token)

    def deliver(self, exposure: Exposure) -> tuple[Photograph, ...]:
        """Wait out the transfer, then paint, develop and encode the frame. Raises DeviceTimeout, ConnectionLost."""
        self._require_open()
        options, index, token = self._options, exposure.frame_index, _token(exposure)
        if self._strikes("hangs_at", index):
            self._clock.wait(options.hang_s, until=self._closed)
            raise DeviceTimeout(f"frame {index} was not delivered within {options.hang_s:g} s")
        self._clock.wait(options.transfer_s)
        data = self.developed(exposure, self.picture(exposure))
        if self._strikes("truncated_at", index):
            data = data[: len(data) // 2]
        return (Photograph(data, f"image/{options.file_format}", self._settings(token.exposure_s, token.iso)),)

    def preview(self) -> Photograph:
        """What falls on the sensor now, binned to 800 px. Raises ConnectionLost, CaptureFailed."""
        self._require_open()
        number, self._previews = self._previews, self._previews + 1
        if self._strikes("preview_lost_at", number):
            self._open = False
            raise ConnectionLost("the camera went away while it was looked through; open it again")
        data = self._kept_viewfinder.get().picture(self._look(), number, exposure_s=self._exposure_s, iso=self._iso)
        return Photograph(data, "image/jpeg", self._settings(self._exposure_s, self._iso))

    # --- the truth ----------------------------------------------------------------------------------------------------

    def truth(self) -> Truth:
        """The scene as it is, on the frames' pixel size."""
        return self._darkroom.truth()

    def true_transform(self, exposure: Exposure) -> npt.NDArray[np.float64]:
        """(3, 3) from the truth's pixels to this frame's. With `perspective`, exact for what is in focus."""
        return self._darkroom.stage.transform(_token(exposure).moments, _token(exposure).draw)

    def picture(self, exposure: Exposure) -> npt.NDArray[np.floating[Any]]:
        """(height, width, 3) float32 of 0..255, blue first: what falls on the sensor, without noise and flicker."""
        return self._darkroom.stage.frame(_token(exposure).moments, _token(exposure).draw)

    def developed(self, exposure: Exposure, picture: npt.NDArray[np.floating[Any]]) -> bytes:
        """The file that sensor and camera make of a `picture` of this exposure; the picture is used up."""
        token = _token(exposure)
        return self._darkroom.developed(
            picture, token.draw,
            dark=exposure.frame_index in self._options.dark_at, taken_at=exposure.ended_at,
            exposure_s=token.exposure_s, iso=token.iso,
        )  # fmt: skip

    def lamp(self, exposure: Exposure) -> float:
        """How bright the lamp burnt during this exposure, about 1."""
        return self._darkroom.sensor.lamp(_token(exposure).draw)

    def sharpest(self, exposure: Exposure, *, from_mm: float, to_mm: float) -> Truth:
        """The truth on the pixels of this exposure's frame, of all that frames from `from_mm` to `to_mm` can show.

        What lies beyond is as blurred as from the nearer end, since no frame shows it sharper.
        """
        moments, draw = _token(exposure).moments, _token(exposure).draw
        return self._darkroom.stage.sharpest(moments, draw, from_mm=from_mm, to_mm=to_mm)

    # --- inside -------------------------------------------------------------------------------------------------------

    @property
    def _darkroom(self) -> Darkroom:
        return self._kept_darkroom.get()

    def _require_open(self) -> None:
        if not self._open:
            raise ConnectionLost("the simulated camera is not open")

    def _strikes(self, fault: str, frame_index: int) -> bool:
        left = self._to_fail[fault]
        if left[frame_index] == 0:
            return False
        left[frame_index] -= 1
        return True

    def _look(self) -> Moment:
        lateral_mm = self._rail.lateral_mm() if isinstance(self._rail, ShakyCarriage) else (0.0, 0.0)
        if isinstance(self._rail, TrueCarriage):
            return Moment(self._rail.true_position_mm(), lateral_mm)
        position_mm = self._rail.status().position_mm
        if position_mm is None:
            raise CaptureFailed("the rail does not know where it is, so the simulated camera cannot know what it sees")
        return Moment(position_mm, lateral_mm)

    def _draw(self, moment: Moment) -> int:
        """What noise, flicker and jitter are drawn by: where the controller believes the carriage to stand.

        Not by the frame's index: frames that are added to a stack afterwards have other indices than if it had been
        shot in one go. In hundredths of a nanometre, so that no whole step of a rail lies where rounding may go astray.
        """
        position_mm = self._rail.status().position_mm
        return round((moment.position_mm if position_mm is None else position_mm) * 1e8) % (1 << 63)

    def _settings(self, exposure_s: float, iso: float) -> dict[str, str]:
        return {"exposure_s": f"{exposure_s:g}", "iso": f"{iso:g}"}


def _token(exposure: Exposure) -> _Token:
    if not isinstance(exposure.token, _Token):
        raise CaptureFailed(f"frame {exposure.frame_index} was not exposed by a simulated camera")
    return exposure.token


# Imported only when a picture is wanted: painting needs numpy and OpenCV; whoever reads the configuration, neither.


def _darkroom(options: SimulatedCamera.Options) -> Darkroom:
    from focusrail_drivers.simulation.darkroom import Darkroom  # noqa: PLC0415

    return Darkroom(options, model=MODEL)


def _viewfinder(options: SimulatedCamera.Options) -> Viewfinder:
    from focusrail_drivers.simulation.viewfinder import Viewfinder  # noqa: PLC0415

    return Viewfinder(options, width_px=PREVIEW_PX)
