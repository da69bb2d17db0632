"""The shoot: one run of a plan, and the table of its states."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from focusrail.errors import IllegalTransition
from focusrail.model.method import Method
from focusrail.model.recipe import Recipe


class State(str, Enum):
    """Where a shoot stands."""

    IDLE = "idle"
    PREFLIGHT = "preflight"
    SHOOTING = "shooting"
    PAUSED = "paused"
    MERGING = "merging"
    PUBLISHED = "published"
    FAILED = "failed"
    ABORTED = "aborted"


ENDED = frozenset({State.PUBLISHED, State.FAILED, State.ABORTED})  # nothing is to be gone on with unasked

# A shoot whose process died still says `shooting`, `paused` or `merging`: whoever takes it up again may shoot the
# frames that are missing, or merge what was stored. Failed, aborted and published shoots can be merged again (a
# re-stack) or shot on (extended, resumed). In the journal a re-stack leaves them as they are until it is published.
ALLOWED: dict[State, frozenset[State]] = {
    State.IDLE: frozenset({State.PREFLIGHT, State.MERGING, State.FAILED, State.ABORTED}),
    State.PREFLIGHT: frozenset({State.SHOOTING, State.FAILED, State.ABORTED}),
    State.SHOOTING: frozenset({State.SHOOTING, State.PAUSED, State.MERGING, State.FAILED, State.ABORTED}),
    State.PAUSED: frozenset({State.SHOOTING, State.MERGING, State.FAILED, State.ABORTED}),
    State.MERGING: frozenset({State.MERGING, State.SHOOTING, State.PUBLISHED, State.FAILED, State.ABORTED}),
    State.PUBLISHED: frozenset({State.SHOOTING, State.MERGING}),
    State.FAILED: frozenset({State.SHOOTING, State.MERGING}),
    State.ABORTED: frozenset({State.SHOOTING, State.MERGING}),
}


@dataclass(slots=True)
class Shoot:
    """One shoot as the journal knows it. Only `state` ever changes; an extended one is another value."""

    shoot_id: str
    name: str
    created_at: datetime  # UTC
    method: Method
    specimen_id: str | None = None
    recipe: Recipe | None = None  # None: a folder of photographs
    positions_mm: tuple[float, ...] = ()  # the plan's, by frame index, which grows as they are planned; folders: none
    source: str = ""  # the rig, or the folder the photographs came from
    state: State = field(default=State.IDLE)

    @property
    def order(self) -> tuple[int, ...]:
        """Frame indices in the order of the stack: along the rail, the way that it was planned first.

        That is the order of the indices but for frames that were added before the first.
        """
        positions_mm = self.positions_mm
        if len(positions_mm) < 2:
            return tuple(range(len(positions_mm)))
        return tuple(sorted(range(len(positions_mm)), key=positions_mm.__getitem__, reverse=not self.ascends))

    @property
    def ascends(self) -> bool:
        """Whether the stack goes away from home; false also where nothing is planned."""
        return len(self.positions_mm) > 1 and self.positions_mm[1] > self.positions_mm[0]

    def advance(self, to: State) -> State:
        """Move to state `to` and return the old one, or raise IllegalTransition and stay."""
        if to not in ALLOWED[self.state]:
            raise IllegalTransition(f"shoot {self.shoot_id} is {self.state.value} and cannot become {to.value}")
        old, self.state = self.state, to
        return old


def new_shoot_id(at: datetime) -> str:
    """An ID that sorts by time and cannot be mistaken: 20260131T123456-9f3a."""
    return f"{at:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
