"""Everything focusrail can refuse or fail at, and the one table that gives each its exit code and HTTP status.

A message is one sentence for the person at the rig: which file or value, the numbers, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from focusrail_drivers.base import DriverError, Halted, NotOffered, OutOfTravel, PositionUnknown, SettingRefused


class FocusrailError(Exception):
    """Something focusrail cannot do, said in one sentence."""


class InvalidValue(FocusrailError, ValueError):
    """A value that cannot be: `field` names it. The configuration loader adds file and line."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class ConfigError(FocusrailError):
    """The configuration or a recipe is wrong: one `file:line: key: what is wrong` a line."""


class RecipeRefused(FocusrailError):
    """The recipe is well-formed and this rig cannot do it, e.g. a position outside the travel."""


class PreflightFailed(FocusrailError):
    """The rig is not ready; nothing has moved but homing."""


class IllegalTransition(FocusrailError):
    """A shoot cannot go from its state to the one asked for."""


class UnknownShoot(FocusrailError):
    """No such shoot in the journal."""


class ShootInUse(FocusrailError):
    """Another process is working on this shoot."""


class RigBusy(FocusrailError):
    """Something else is going on at the rig, or what was to be stopped is not."""


class KeyReused(FocusrailError):
    """A shoot was begun with that idempotency key, and for another recipe."""


class UnknownRecipe(FocusrailError):
    """No saved recipe has that name."""


class UnknownFrame(FocusrailError):
    """The stack has no frame of that number."""


class NoFrames(FocusrailError):
    """There is nothing to stack."""


class TooFewFrames(FocusrailError):
    """A stack needs two frames that can be used."""


class BadStart(TooFewFrames):
    """Most frames fit none of those that a stack began with: they are of something else, or far out of focus."""


class UnreadableFolder(FocusrailError):
    """The folder of photographs does not exist or may not be read."""


class FrameError(FocusrailError):
    """A frame that cannot be used; it is left out and the rest is stacked."""


class NotAnImage(FrameError):
    """The file's content is no image that we read."""


class DamagedImage(FrameError):
    """The image is truncated or corrupt."""


class FrameSizeDiffers(FrameError):
    """The frame's size differs from the first frame's."""


class NotRegistered(FrameError):
    """Too little of the frame matches its neighbours."""


class OriginalChanged(FrameError):
    """An original is missing, or is no longer what was stored: its hash differs."""


class OriginalsLetGo(FocusrailError):
    """The originals of that shoot were let go, as the configuration asks for; its results are there."""


class StoreNotWritable(FocusrailError):
    """The spool, the journal or the outbound folder cannot be written."""


class DiskFull(FocusrailError):
    """No space left. What was stored before is whole."""


class NotEnoughMemory(FocusrailError):
    """Neither memory nor disk has room for what a stack accumulates. Nothing of it has been fused yet."""


class WorkerLost(FocusrailError):
    """The stacking process ended again and again; the originals are safe in the spool."""


class AcceleratorFailed(FocusrailError):
    """What measures focus is lost, and nothing may, or can, take its place; the originals are safe in the spool."""


class ServiceLost(FocusrailError):
    """The service that was asked has ended, or does not answer."""


class NoService(FocusrailError):
    """No service runs where one is needed, or this user may not use it."""


class Unhealthy(FocusrailError):
    """Something is wrong with machine, rig or installation."""


class ShootAborted(FocusrailError):
    """A person ended the shoot; the frames stored so far are safe."""


# class -> (exit code, HTTP status). Looked up along the class's ancestry, so that a subclass without a line of its own
# gets its parent's. 78 is EX_CONFIG: systemd must not restart on it. 130 is what a shell reports for Ctrl-C.
_OUTCOMES: dict[type[BaseException], tuple[int, int]] = {
    ConfigError: (78, 422),
    InvalidValue: (78, 422),
    NoFrames: (10, 422),
    TooFewFrames: (11, 422),
    BadStart: (11, 422),
    FrameSizeDiffers: (12, 422),
    DamagedImage: (13, 422),
    NotAnImage: (14, 422),
    UnreadableFolder: (15, 404),
    StoreNotWritable: (16, 500),
    DiskFull: (17, 507),
    NotRegistered: (18, 422),
    OriginalChanged: (19, 409),
    FrameError: (20, 422),
    RecipeRefused: (21, 422),
    PreflightFailed: (22, 409),
    UnknownShoot: (23, 404),
    ShootInUse: (24, 409),
    IllegalTransition: (25, 409),
    WorkerLost: (26, 500),
    UnknownFrame: (27, 422),
    NotEnoughMemory: (28, 507),
    AcceleratorFailed: (29, 502),
    RigBusy: (31, 409),
    UnknownRecipe: (32, 404),
    ServiceLost: (33, 503),
    NoService: (34, 503),
    Unhealthy: (35, 500),
    OriginalsLetGo: (36, 410),
    KeyReused: (40, 422),
    OutOfTravel: (21, 422),
    PositionUnknown: (22, 409),
    SettingRefused: (30, 422),
    NotOffered: (30, 501),
    DriverError: (30, 502),
    Halted: (130, 409),
    ShootAborted: (130, 409),
    FocusrailError: (1, 500),
}
UNEXPECTED = 70  # EX_SOFTWARE: a bug of ours


def _outcome(kind: type[BaseException]) -> tuple[int, int]:
    return next((_OUTCOMES[ancestor] for ancestor in kind.__mro__ if ancestor in _OUTCOMES), (UNEXPECTED, 500))


def exit_code(error: BaseException) -> int:
    """The process exit code for an error."""
    return _outcome(type(error))[0]


def http_status(error: BaseException) -> int:
    """The HTTP status for an error."""
    return _outcome(type(error))[1]


def by_name(name: str, message: str) -> FocusrailError:
    """The error of class `name`, rebuilt from what another process reported; FocusrailError when unknown."""
    error = reported(name, message)
    return error if isinstance(error, FocusrailError) else FocusrailError(message)


def reported(name: str, message: str) -> FocusrailError | DriverError:
    """The same, for devices' errors, too."""
    kind = next((kind for kind in (*_kinds(FocusrailError), *_kinds(DriverError)) if kind.__name__ == name), None)
    if kind is None:
        return FocusrailError(message)
    if issubclass(kind, InvalidValue):
        field, _, said = message.partition(": ")
        return InvalidValue(field, said) if said else FocusrailError(message)
    error: FocusrailError | DriverError = kind(message)
    return error


def name_of(error: BaseException) -> str:
    """What another process knows it by: its class, or the nearest above it that is not a driver's own."""
    ours = (FocusrailError.__module__, DriverError.__module__)
    return next((kind.__name__ for kind in type(error).__mro__ if kind.__module__ in ours), type(error).__name__)


def _kinds(base: type[Exception]) -> Iterator[type[Any]]:
    yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)
