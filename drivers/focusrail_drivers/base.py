"""What a device must do to be driven by focusrail: the protocols, the values they exchange and the errors they raise.

Drivers are blocking and small. Each device has one owner thread, which makes every call but `halt` and `status`.
Software limits, backlash take-up and settling are not a driver's business: the carriage does them, above every rail.
A driver class has a frozen dataclass `Options` (its own section of the configuration), and is made as
`Driver(options, clock)`; a camera also gets the rail: `Driver(options, clock, rail)`. Making one touches no hardware.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


# --- errors -----------------------------------------------------------------------------------------------------------


class DriverError(Exception):
    """A device could not do what it was asked. The message carries the numbers and says what to do."""


class DeviceNotFound(DriverError):
    """No such device: not plugged in, switched off, or the wrong port."""


class DeviceInUse(DriverError):
    """Another program holds the device."""


class ConnectionLost(DriverError):
    """The device was there and is gone: cable, power or reset."""


class DeviceTimeout(DriverError):
    """The device did not answer, or did not finish, within its deadline."""


class ProtocolError(DriverError):
    """The device answered something that its protocol does not allow here."""


class PositionUnknown(DriverError):
    """The rail does not know where it is. Nothing may move before it has been homed."""


class OutOfTravel(DriverError):
    """The position asked for lies outside the travel. Nothing has moved."""


class Halted(DriverError):
    """`halt()` ended the move. `position_mm` is where the rail says it stands, None if it cannot know."""

    def __init__(self, message: str, position_mm: float | None = None) -> None:
        super().__init__(message)
        self.position_mm = position_mm


class SettingRefused(DriverError):
    """A setting was written and did not stick: what is read back differs."""


class NotOffered(DriverError):
    """This device cannot do that at all. Nothing is wrong with it."""


class CaptureFailed(DriverError):
    """The camera made no picture, or did not deliver it. The frame may be tried again."""


class CameraStorageFull(DriverError):
    """The camera's card or memory has no room for another picture."""


class AcceleratorLost(DriverError):
    """The accelerator failed too often and is given up. What it was to measure can be measured elsewhere."""


# --- rails ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Travel:
    """The closed interval [min_mm, max_mm] that a carriage may use, in millimetres from home."""

    min_mm: float
    max_mm: float

    def __post_init__(self) -> None:
        if not self.min_mm < self.max_mm:  # also refuses NaN
            raise ValueError(f"travel from {self.min_mm} to {self.max_mm} mm is empty")

    def __contains__(self, position_mm: float) -> bool:
        return self.min_mm <= position_mm <= self.max_mm

    def __str__(self) -> str:
        return f"{self.min_mm:g} to {self.max_mm:g} mm"


@dataclass(frozen=True, slots=True)
class RailStatus:
    """A frozen look at a rail."""

    position_mm: float | None  # None: unknown, home first
    moving: bool
    detail: str = ""  # what the controller says of itself, for people


class Rail(Protocol):
    """A carriage on one axis. Positions are absolute, in millimetres from home; away from home is positive.

    A rail whose `home` finds nothing, but declares the present place to be home, has an attribute `finds_home` that is
    False: it is never homed but on a person's word.
    """

    @property
    def travel(self) -> Travel:
        """How far the mechanics reach. The configuration may narrow it, never widen it."""

    @property
    def resolution_mm(self) -> float:
        """The smallest commanded step (one microstep), in mm."""

    def open(self) -> str:
        """Connect, and return one line that names the device. Moves nothing. Raises DeviceNotFound, DeviceInUse."""

    def close(self) -> None:
        """Let go of the device. Never raises; closing twice is fine."""

    def home(self) -> float:
        """Find the home switch; return the position then (mm). Blocking, with the driver's own deadline."""

    def move_to(self, position_mm: float) -> float:
        """Go to `position_mm`, wait until standing, return the position reached (mm) as the controller knows it.

        Raises PositionUnknown before homing or after a reset, OutOfTravel (nothing moved), Halted, DeviceTimeout.
        """

    def halt(self) -> None:
        """Stop now. Safe from any thread, any number of times, also when nothing moves or nothing is open."""

    def status(self) -> RailStatus:
        """Where the rail is. Safe from any thread; never moves anything."""


@runtime_checkable
class KeepsPosition(Protocol):
    """A rail whose controller may have kept its count since it was last used."""

    def believe(self, position_mm: float) -> bool:
        """Right after `open`: take up where the rail was left, unless anything speaks against it; say whether it did.

        `position_mm` is where it was let go of in good order. A controller that was reset, or counts otherwise, makes
        it False, and the position stays unknown.
        """


@runtime_checkable
class KeepsCount(Protocol):
    """A rail that proves by its controller's own coordinates that it still stands where it was left."""

    @property
    def zero_mm(self) -> float | None:
        """Where position 0 lies in the controller's coordinates; None while that is unknown."""

    def confirm(self, position_mm: float, zero_mm: float) -> bool:
        """Right after `open`: whether the rail is where it was let go of in good order, and may be believed.

        If the controller counts otherwise, the position is unknown from now on.
        """


@runtime_checkable
class TrueCarriage(Protocol):
    """A simulated rail: it also knows where the carriage really is, backlash and vibration included."""

    def true_position_mm(self) -> float:
        """Where the carriage's mechanics stand now, vibration included (mm from home)."""


# --- cameras ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exposure:
    """An exposure that has ended; its pictures are still to be delivered."""

    frame_index: int
    ended_at: datetime  # UTC
    token: object = None  # the driver's own, opaque to everybody else


@dataclass(frozen=True, slots=True)
class Photograph:
    """One file as the camera delivered it, byte for byte. A camera that has no file encodes losslessly itself."""

    data: bytes
    media_type: str  # image/jpeg, image/tiff, image/png, or image/x-... for a raw format
    settings: Mapping[str, str] = field(default_factory=dict)  # as read back: exposure time, aperture, ISO


class Camera(Protocol):
    """Makes one frame at a time. Exposing and delivering are apart: the rail moves while data are transferred."""

    def open(self) -> str:
        """Connect, and return one line that names the camera. Raises DeviceNotFound, DeviceInUse."""

    def close(self) -> None:
        """Let go of the camera. Never raises; closing twice is fine."""

    def configure(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Write settings by the camera's own names, read them back, return them. Raises SettingRefused.

        With none to be written, what is returned are those that say how the next picture is made.
        """

    def expose(self, frame_index: int) -> Exposure:
        """Make frame `frame_index`; return when the exposure has ended and the rail may move. Raises CaptureFailed."""

    def deliver(self, exposure: Exposure) -> tuple[Photograph, ...]:
        """Fetch the pictures of an exposure: at least one, first the one to be stacked (then its raw companion)."""


@runtime_checkable
class Previews(Protocol):
    """A camera that shows what it sees without making a frame."""

    def preview(self) -> Photograph:
        """What it sees now, as a JPEG of whatever size it gives; called in the camera's thread like all else.

        No frame is disturbed by it. It ends within a deadline of its own, a few seconds, because a shoot may have to
        wait for it. Raises NotOffered, CaptureFailed, DeviceTimeout, ConnectionLost.
        """


@dataclass(frozen=True, slots=True)
class Truth:
    """What a simulated scene really is, so that a result can be judged. All planes share the view's pixel grid."""

    all_in_focus: npt.NDArray[np.uint8]  # (height, width, 3) BGR, everything sharp, without noise or flicker
    depth_mm: npt.NDArray[np.float32]  # (height, width): the carriage position at which each pixel is in focus
    one_view: bool = True  # False: the viewpoint moves, and no single picture is the truth for all frames


@runtime_checkable
class TruthfulCamera(Protocol):
    """A camera that knows what it photographs. Only a simulated one does."""

    def truth(self) -> Truth:
        """The scene as it is."""

    def true_transform(self, exposure: Exposure) -> npt.NDArray[np.float64]:
        """(3, 3) homography from the view's pixels (those of `Truth`) to the pixels of this exposure's frame."""


# --- buttons ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Contact:
    """A button's contact has closed or opened; it may bounce."""

    pressed: bool
    at_s: float  # when it happened, by the monotonic clock: whoever reads it late still knows how long it was held


class Button(Protocol):
    """One contact that a person closes by hand or foot."""

    def open(self) -> str:
        """Connect, and return one line that names it. Raises DeviceNotFound, DeviceInUse."""

    def close(self) -> None:
        """Let go of it. Never raises; closing twice is fine."""

    def wait(self, timeout_s: float) -> Contact | None:
        """The next change of the contact, in the order in which they happened; None: there was none for so long.

        Raises ConnectionLost when the button is gone.
        """


# --- accelerators -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """How an accelerator's scores are to be read."""

    scale: float  # score = scale * |LoB| in grey levels of 0..255
    saturation: int  # scores stop at this value
    halo_px: int  # rows and columns at the tile's edge that are computed from padding
    tile: tuple[int, int] | None  # (height, width) the hardware wants; None: any


class Accelerator(Protocol):
    """Computes the focus measure: |Laplacian of the blurred image| with the 3x3 binomial and 4-neighbour Laplacian."""

    def configure(self) -> ScoreScale:
        """Make ready; say how to read the scores."""

    def measure(self, luma_tile: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
        """(height, width) uint8 luma to the scores of |LoB|, same shape, uint16; borders by REFLECT_101."""


@runtime_checkable
class OnDevice(Protocol):
    """An accelerator that is a device of its own: it is opened before a shoot and closed after it."""

    def open(self) -> str:
        """Load and connect what it runs on, and return one line that names it. Raises DriverError."""

    def close(self) -> None:
        """Bring the device to rest and let go of it. Never raises; closing twice is fine."""


@runtime_checkable
class AdaptsToPicture(Protocol):
    """An accelerator with a limited range of scores, which it fits to what it will measure."""

    def probe(self, luma_tile: npt.NDArray[np.uint8]) -> str:
        """Choose the range by a (height, width) of luma; before `configure`, for the scale changes with it.

        Returns what was chosen, in words for the report.
        """


@runtime_checkable
class HasDouble(Protocol):
    """An accelerator that can be lost while it works, and whose scores something else can compute, to the bit."""

    def double(self) -> Accelerator:
        """One on the processor that goes on where this one stopped: it measures as was settled by `probe`."""
