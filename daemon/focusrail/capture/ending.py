"""How shoots and stacks end: journalled, and said with what is safe and how to go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from focusrail.errors import DiskFull, FocusrailError, FrameError, ShootAborted, TooFewFrames
from focusrail.model.shoot import ENDED, Shoot, State
from focusrail.store.journal import Journal
from focusrail.store.retention import what_could_go
from focusrail_drivers.base import ConnectionLost, DeviceNotFound, DriverError

log = structlog.get_logger(__name__)


@contextmanager
def ending(
    shoot: Shoot,
    journal: Journal,
    *,
    aborted: threading.Event,
    suspended: Callable[[], bool],
    command: str,
    stays: Callable[[BaseException], bool],
) -> Iterator[None]:
    """Journal how what is done to a shoot has ended, where an error ends it, and say in that what is safe.

    Once `aborted`, a person has ended it; when `suspended`, so that it can be gone on with: then nothing is journalled.
    What `stays` is left in the journal as it is there. `command` is what a person types to reach this configuration.
    Raises what ended it, or ShootAborted.
    """
    try:
        yield
    except (FocusrailError, DriverError) as caught:
        error: FocusrailError | DriverError = caught
        if aborted.is_set():  # whatever it broke off, it ended because a person said so
            error = ShootAborted(f"shoot {shoot.shoot_id} was aborted")
        by_a_person, left = isinstance(error, ShootAborted), stays(error)
        if suspended() and shoot.recipe is not None and not left:
            raise ShootAborted(f"shoot {shoot.shoot_id} waits to be gone on with") from caught
        if isinstance(error, DiskFull):
            error.args = (f"{error.args[0]}{what_could_go(journal)}", *error.args[1:])
        if not left:
            _end(shoot, State.ABORTED if by_a_person else State.FAILED, journal)
        if left and shoot.recipe is not None and journal.shoot(shoot.shoot_id).state not in ENDED:
            log.warning("shoot.waits", shoot_id=shoot.shoot_id, error=str(error))
        else:
            log.error("shoot.aborted" if by_a_person else "shoot.failed", shoot_id=shoot.shoot_id, error=str(error))
        if shoot.recipe is not None and not isinstance(error, FrameError | TooFewFrames):
            waits = left and isinstance(error, ConnectionLost | DeviceNotFound)
            safe = _what_is_safe(shoot, journal, command, waits=waits)
            error.args = (f"{error.args[0]}{safe}", *error.args[1:])
        raise error from caught.__cause__
    except BaseException as error:
        if not stays(error):
            _end(shoot, State.FAILED, journal)
        raise


def _end(shoot: Shoot, state: State, journal: Journal) -> None:
    """Journal how a shoot ended; that it cannot be written must not hide the reason."""
    try:
        if shoot.state is State.PUBLISHED:  # an extension was refused before anything was shot
            return
        journal.advance(shoot, state)
    except FocusrailError as error:
        log.error("journal.not_written", shoot_id=shoot.shoot_id, error=str(error))


def _what_is_safe(shoot: Shoot, journal: Journal, command: str, *, waits: bool) -> str:
    if shoot.state is State.PUBLISHED:
        return f"; shoot {shoot.shoot_id} is as it was published"
    stored = len(journal.frames(shoot.shoot_id))
    if waits:
        safe = "one frame is" if stored == 1 else f"{stored} frames are"
        return f"; {safe} safe, and the service goes on with it once that is back, if it is not aborted"
    if stored < 2:
        return "; one frame is safe in the spool" if stored else ""
    go_on = f"`{command} resume {shoot.shoot_id}` shoots the rest, " if stored < len(shoot.positions_mm) else ""
    return f"; {stored} frames are safe: {go_on}`{command} stack --shoot {shoot.shoot_id}` stacks them"
