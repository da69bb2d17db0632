"""What is sent and answered, as JSON. Lengths are in mm, times in s, moments in ISO 8601 UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from focusrail.model.recipe import LARGEST_STACK
from focusrail.model.shoot import State

Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)  # true is no millimetre


class _Told(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ShootWish(_Sent):
    """A shoot to be begun: a recipe, or the name of a saved one."""

    recipe: dict[str, Any] | None = Field(None, description="a recipe's keys, as in its file")
    saved: str | None = Field(None, description="the name of a saved recipe")


class StackWish(_Sent):
    """How the frames of a shoot are to be stacked; what is not said is as it was."""

    method: dict[str, Any] | None = Field(None, description="a recipe's method, in place of the shoot's")
    outputs: dict[str, Any] | None = Field(None, description="a recipe's outputs, in place of its own")
    without: str = Field("", max_length=2000, description="numbers of frames to leave out, like 12,40-43")
    out: str | None = Field(None, max_length=4000, description="the folder that the results become; local only")
    debug: bool = Field(False, description="save every stage, too")


class ExtendWish(_Sent):
    """How many frames a published shoot is to have more on either side: near to the camera, and far from it."""

    near: int = Field(0, ge=0, lt=LARGEST_STACK)
    far: int = Field(0, ge=0, lt=LARGEST_STACK)


class FolderWish(StackWish):
    """A folder of photographs to be stacked. Paths are the machine's, and absolute."""

    folder: str = Field(max_length=4000)
    step_mm: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    aligned: bool | None = Field(None, description="they lie on each other already; null: where a stack left them so")


class Position(_Sent):
    """Where to."""

    position_mm: Finite


class Distance(_Sent):
    """How far; negative is towards home."""

    distance_mm: Finite


class CameraSettings(_Sent):
    """Settings of the camera, by its own names, as it writes them."""

    settings: dict[Annotated[str, Field(max_length=100)], Annotated[str, Field(max_length=200)]] = Field(max_length=100)


class Text(_Sent):
    """A YAML file's text."""

    yaml: str = Field(max_length=80_000)  # as JSON has them, each of twelve bytes at most, they fit into a body


class Begun(_Told):
    """A shoot or stack that has begun."""

    shoot_id: str


class ProgressTold(_Told):
    """How far the shoot or stack that is going on has come."""

    shoot_id: str
    name: str
    state: str
    frames: int
    stored: int
    fused: int
    left_out: int
    elapsed_s: float
    remaining_s: float | None


class StatusTold(_Told):
    """What is going on, and how the rig is."""

    doing: str
    progress: ProgressTold | None
    rig: str
    trouble: str = Field(description="why the rig is not open")
    store_trouble: str = Field(description="what is wrong with the journal; empty: nothing that has been seen")
    position_mm: float | None
    moving: bool
    travel_mm: tuple[float, float] | None
    last_event: int


class RailTold(BaseModel):
    """Where the rail is; null: home it first."""

    name: str
    position_mm: float | None
    moving: bool
    detail: str
    min_mm: float
    max_mm: float
    resolution_mm: float


class PlanTold(BaseModel):
    """What a recipe comes to on this rig."""

    frames: int
    step_mm: float
    from_mm: float
    to_mm: float
    surface: bool = Field(description="whether a 3D surface is published, too")
    estimated_s: float | None = Field(description="from the pace of the newest shoot; null before the first")
    needed_bytes: int | None = Field(description="of originals, from the newest shoot; null before the first")
    free_bytes: int


class VersionTold(BaseModel):
    """One publication of a shoot."""

    version: int
    folder: str
    without: str
    files: list[str]


class ShootTold(BaseModel):
    """One shoot."""

    shoot_id: str
    name: str
    specimen_id: str | None
    created_at: datetime
    state: State
    going_on: bool
    interrupted: bool = Field(description="something has ended it that was neither a person nor a fault of its own")
    unfinished: bool = Field(description="not all that was planned is published; resuming it shoots the rest")
    let_go_at: datetime | None = Field(description="when its originals were let go, as store.keep asks for; null: kept")
    planned: int
    stored: int
    source: str
    picture: str | None = Field(description="where a small picture of it is; null before there is one")
    versions: list[VersionTold]
    recipe: dict[str, Any] | None
    method: dict[str, Any]


class PublicationTold(_Told):
    """One publication of a shoot or stack."""

    shoot_id: str
    name: str
    specimen_id: str | None
    version: int
    folder: str
    published_at: datetime
    there: bool = Field(description="whether the folder is still where it was published")


class FrameTold(BaseModel):
    """One frame of a shoot."""

    index: int
    place: int = Field(description="in the stack: the index, but where a shoot was extended at its beginning")
    position_mm: float | None
    exposed_at: datetime
    file: str
    size_bytes: int
    media_type: str
    sha256: str
    thumbnail: bool = Field(description="whether there is one already")


class RecipeTold(BaseModel):
    """A saved recipe."""

    name: str
    yaml: str
    recipe: dict[str, Any] = Field(description="as it is understood, with all that the rig fills in")


class Checked(BaseModel):
    """What was found in a file: nothing, if it is good."""

    good: bool
    problems: list[str]


class HealthTold(BaseModel):
    """Whether the service can do its work."""

    healthy: bool
    version: str


class ProblemTold(BaseModel):
    """What went wrong, as RFC 9457 has it: `type` is for programs, `detail` is one sentence for people."""

    type: str
    title: str
    status: int
    detail: str
