"""What the journal tells of besides shoots and frames."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

from pydantic import TypeAdapter

from focusrail.model.frame import FrameRecord
from focusrail.model.method import Method
from focusrail.model.recipe import Recipe
from focusrail.model.shoot import Shoot, State

_RECIPE, _METHOD = TypeAdapter(Recipe), TypeAdapter(Method)


@dataclass(frozen=True, slots=True)
class Inbound:
    """What became of a folder of photographs that was dropped into the inbound folder."""

    name: str
    content: str  # a hash of what was in it
    attempts: int = 0
    done: bool = False  # stacked, or given up: not to be tried again as it is
    shoot_id: str | None = None  # of the stack that was published
    error: str = ""  # why there is none


@dataclass(frozen=True, slots=True)
class Publication:
    """A version of a shoot or stack, where it was published."""

    shoot_id: str
    name: str
    specimen_id: str | None
    version: int
    folder: Path
    published_at: datetime  # UTC


@dataclass(frozen=True, slots=True)
class Kept:
    """A shoot whose originals the spool keeps."""

    shoot_id: str
    size_bytes: int  # of its originals
    published_at: datetime | None  # its newest version, where all that was planned is published; UTC
    entry: int = 0  # of that version: grows from publication to publication, whatever the clock says
    days: int = 0  # that have come since, in the order of the entries: a clock that jumps ahead brings one


def within(folder: Path, path: PurePath) -> PurePath:
    """The place of a path in a folder; the path itself, if it is elsewhere."""
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def placed(record: FrameRecord, place: Callable[[PurePath], PurePath]) -> FrameRecord:
    """A frame whose originals lie where `place` says of each."""
    return replace(record, originals=tuple(replace(one, path=place(one.path)) for one in record.originals))


def row_of(shoot: Shoot) -> tuple[str | None, ...]:
    """A shoot's row in the table."""
    return (
        shoot.shoot_id,
        shoot.name,
        shoot.specimen_id,
        shoot.created_at.isoformat(),
        shoot.source,
        None if shoot.recipe is None else _RECIPE.dump_json(shoot.recipe).decode(),
        _METHOD.dump_json(shoot.method).decode(),
        json.dumps(shoot.positions_mm),
        shoot.state.value,
    )


def shoot_of(row: tuple[Any, ...]) -> Shoot:
    """A shoot from its row in the table. Raises ValueError where that is not as it was entered."""
    shoot_id, name, specimen_id, created_at, source, recipe, method, positions_mm, state = row
    return Shoot(
        shoot_id=shoot_id,
        name=name,
        specimen_id=specimen_id,
        created_at=datetime.fromisoformat(created_at),
        source=source,
        recipe=None if recipe is None else _RECIPE.validate_json(recipe),
        method=_METHOD.validate_json(method),
        positions_mm=tuple(json.loads(positions_mm)),
        state=State(state),
    )
