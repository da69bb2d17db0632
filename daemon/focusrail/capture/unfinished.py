"""Which shoots can be gone on with, and which wait for it because something has ended them."""

from __future__ import annotations

from contextlib import suppress

from focusrail.errors import ShootInUse
from focusrail.model.shoot import ENDED, Shoot, State
from focusrail.store.journal import Journal
from focusrail.store.spool import Spool


def newest_unfinished(journal: Journal) -> Shoot | None:
    """The newest shoot that ended before it was published and can be gone on with; None where there is none."""
    return next((shoot for shoot in journal.shoots() if is_unfinished(shoot, journal)), None)


def is_unfinished(shoot: Shoot, journal: Journal) -> bool:
    """Whether not all that was planned of a shoot has come to a publication yet, and can be gone on with."""
    return shoot.recipe is not None and bool(shoot.positions_mm) and not journal.is_finished(shoot.shoot_id)


def interrupted(journal: Journal, spool: Spool) -> Shoot | None:
    """The shoot that was begun or extended last, if neither a person nor a fault of its own has ended it.

    Nor is it one that a person has paused: whose hands may be in the rig.
    """
    shoot = journal.last_begun()
    if shoot is None or shoot.recipe is None or shoot.state is State.PAUSED or not was_interrupted(shoot, spool):
        return None
    return shoot


def give_up(shoot: Shoot, journal: Journal, spool: Spool) -> bool:
    """Let a shoot that waits to be gone on with be aborted; False where it does not wait. Raises ShootInUse."""
    if not was_interrupted(shoot, spool):
        return False
    with spool.claim(shoot.shoot_id):
        journal.advance(shoot, State.ABORTED)
    return True


def end_stacks(journal: Journal, spool: Spool) -> None:
    """Let stacks of photographs that something has ended be failed: who wants one begins it anew."""
    for shoot_id in journal.unended_stacks():
        with suppress(ShootInUse), spool.claim(shoot_id, patience_s=0.0):
            journal.advance(journal.shoot(shoot_id), State.FAILED)


def was_interrupted(shoot: Shoot, spool: Spool) -> bool:
    """Whether a shoot is journalled as going on, and no process works on it."""
    if shoot.state in ENDED:
        return False
    try:
        with spool.claim(shoot.shoot_id, patience_s=0.0):
            return True
    except ShootInUse:
        return False
