"""What the engine and the stacking process say to each other: one JSON object a line, nothing pickled.

The process that owns the rail reads these events as text of known shape; whatever a hostile image does to the stacking
process, it can say no more than this.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from focusrail.model.acceleration import Acceleration
from focusrail.model.frame import FrameRecord
from focusrail.model.method import Method
from focusrail.model.outputs import Outputs
from focusrail.model.recipe import Recipe

# --- engine to stacking process ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begin:
    """Start a stack. `survey` lists all frames, in its order, when they are to be registered before one is fused."""

    shoot_id: str
    name: str
    specimen_id: str | None
    source: str
    created_at: datetime
    version: int
    method: Method
    scratch: Path  # an existing empty folder; everything is written there
    depth_unit: Literal["mm", "frames"]
    live: Path | None = None  # where the live composite goes
    live_depth: Path | None = None  # where the depth so far goes, beside it
    live_every: int = 5  # frames
    depth_ends: tuple[float, float] | None = None  # between which positions the frames are going to lie
    thumbnails: Path | None = None  # a folder for small pictures of the frames, for whoever looks on
    truth: Path | None = None  # the folder with a simulated scene's truth
    um_per_px: float | None = None
    threads: int | None = None  # None: as many as there are processors
    debug: bool = False
    far_is_high: bool = True  # larger positions are farther from the camera; of a folder's frames this is a guess
    recipe: Recipe | None = None
    survey: tuple[FrameRecord, ...] = ()
    unwanted: tuple[FrameRecord, ...] = ()  # left out because it was asked for; they are not handed over
    again: bool = False  # whoever gives the frames can give them again: a start that leads nowhere is refused
    frames: int = 0  # that will be handed over, as far as is known
    outputs: Outputs = Outputs()  # noqa: RUF009 - frozen, so it can be shared
    acceleration: Acceleration = field(default_factory=Acceleration)
    order: tuple[int, ...] = ()  # indices of all frames that were planned, as they follow in the stack; none: by number
    kind: Literal["begin"] = "begin"


@dataclass(frozen=True, slots=True)
class Frame:
    """Stack one more frame; they come in the order of the stack."""

    record: FrameRecord
    unusable: str = ""  # why it is to be left out unseen
    kind: Literal["frame"] = "frame"


@dataclass(frozen=True, slots=True)
class Finish:
    """No more frames: write the results."""

    warnings: tuple[str, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)
    kind: Literal["finish"] = "finish"


# --- stacking process to engine ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A frame has been registered beforehand."""

    index: int
    kind: Literal["surveyed"] = "surveyed"


@dataclass(frozen=True, slots=True)
class Fused:
    """A frame is in the composite."""

    index: int
    inliers: int
    took_s: float
    kind: Literal["fused"] = "fused"


@dataclass(frozen=True, slots=True)
class LookedAgain:
    """A method of two passes has seen one more frame again."""

    done: int
    total: int
    kind: Literal["looked_again"] = "looked_again"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A frame could not be used."""

    index: int
    error: str  # class name, see focusrail.errors
    message: str
    kind: Literal["left_out"] = "left_out"


@dataclass(frozen=True, slots=True)
class Live:
    """The live composite has been renewed."""

    frames: int
    path: Path
    kind: Literal["live"] = "live"


@dataclass(frozen=True, slots=True)
class Room:
    """Pictures besides the results are going to take so much of the disk."""

    needed_bytes: int
    free_bytes: int
    kind: Literal["room"] = "room"


@dataclass(frozen=True, slots=True)
class Memory:
    """The stack is going to take so much memory; the planes that have no room in what is usable lie in a file."""

    needed_bytes: int
    usable_bytes: int
    in_file_bytes: int
    kind: Literal["memory"] = "memory"


@dataclass(frozen=True, slots=True)
class Measures:
    """What measures focus from now on; `lost` says why it is no longer what it was."""

    by: str
    lost: str = ""
    kind: Literal["measures"] = "measures"


@dataclass(frozen=True, slots=True)
class Saved:
    """One more of those pictures is written."""

    done: int
    total: int
    kind: Literal["saved"] = "saved"


@dataclass(frozen=True, slots=True)
class Finished:
    """The scratch folder is complete, up to making it durable."""

    size_px: tuple[int, int]
    frames_used: int
    warnings: tuple[str, ...]
    took_s: float
    peak_memory_bytes: int
    measured_by: str = ""
    psnr_db: float | None = None
    ssim: float | None = None
    kind: Literal["finished"] = "finished"


@dataclass(frozen=True, slots=True)
class Failed:
    """The stack cannot be made."""

    error: str
    message: str
    kind: Literal["failed"] = "failed"


Command = Annotated[Begin | Frame | Finish, Field(discriminator="kind")]
_Event = Measures | Surveyed | Fused | LookedAgain | LeftOut | Live | Room | Memory | Saved | Finished | Failed
Event = Annotated[_Event, Field(discriminator="kind")]
_COMMAND: TypeAdapter[Begin | Frame | Finish] = TypeAdapter(Command)
_EVENT: TypeAdapter[_Event] = TypeAdapter(Event)


def encode(message: object) -> bytes:
    """One line."""
    return TypeAdapter(type(message)).dump_json(message) + b"\n"


def decode_command(line: bytes) -> Begin | Frame | Finish:
    """A command from its line. Raises ValueError."""
    return _COMMAND.validate_json(line)


def decode_event(line: bytes) -> _Event:
    """An event from its line. Raises ValueError."""
    return _EVENT.validate_json(line)
