"""What the spool has of a shoot that is to be gone on with, extended, or stacked again."""

from __future__ import annotations

from collections.abc import Sequence

from focusrail.errors import IllegalTransition, OriginalChanged, OriginalsLetGo, RecipeRefused
from focusrail.model.frame import FrameRecord
from focusrail.model.recipe import Recipe
from focusrail.model.selection import frames_text
from focusrail.model.shoot import Shoot
from focusrail.store.journal import Journal
from focusrail.store.spool import Spool


def shot(journal: Journal, shoot_id: str) -> tuple[Shoot, Recipe]:
    """A shoot and its recipe. Raises UnknownShoot, RecipeRefused."""
    shoot = journal.shoot(shoot_id)
    if shoot.recipe is None or not shoot.positions_mm:
        raise RecipeRefused(f"shoot {shoot_id} is a stack of photographs from {shoot.source}: nothing was shot")
    return shoot, shoot.recipe


def require_originals(journal: Journal, shoot_id: str) -> None:
    """A shoot's originals are kept, as far as the journal knows. Raises OriginalsLetGo."""
    at = journal.let_go_at(shoot_id)
    if at is None:
        return
    _, folder = journal.publications(shoot_id)[-1]
    raise OriginalsLetGo(
        f"the originals of shoot {shoot_id} were let go on {at:%Y-%m-%d}, as store.keep asks for: it can be neither "
        f"stacked again nor extended; its results are in {folder}"
    )


def require_any(shoot: Shoot, stored: Sequence[FrameRecord], spool: Spool) -> None:
    """Some of the frames that were shot are there: else it is the disk that is not. Raises OriginalChanged."""
    if not stored:
        raise OriginalChanged(
            f"none of the frames of shoot {shoot.shoot_id} is in {spool.folder(shoot.shoot_id)} any more: mount their "
            "disk, restore them from a backup, or shoot it anew"
        )


def require_all(
    shoot: Shoot, known: Sequence[FrameRecord], stored: Sequence[FrameRecord], spool: Spool, *, command: str
) -> None:
    """Every frame that was planned has been shot, and what is `known` to the journal is `stored` as it was.

    Raises IllegalTransition, OriginalChanged.
    """
    shot = {record.index for record in known}
    never = sorted(set(range(len(shoot.positions_mm))) - shot)
    if never:
        raise IllegalTransition(
            f"of shoot {shoot.shoot_id} these frames were planned and never shot: {frames_text(never)}; "
            f"`{command} resume {shoot.shoot_id}` shoots them, then it can be extended"
        )
    require_any(shoot, stored, spool)
    lost = sorted(shot - {record.index for record in stored})
    if lost:
        raise OriginalChanged(
            f"of shoot {shoot.shoot_id} these frames are missing or damaged in the spool: {frames_text(lost)}; "
            f"`{command} resume {shoot.shoot_id}` shoots them where they belong, then it can be extended"
        )
