"""Shoots: begun, listed, paused, ended, and stacked again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Header, Query

from focusrail.api.asked import AtDesk
from focusrail.api.schemas import Begun, ExtendWish, FrameTold, PlanTold, ShootTold, ShootWish, VersionTold
from focusrail.api.wishes import recipe_of
from focusrail.capture.unfinished import is_unfinished, was_interrupted
from focusrail.desk import Desk
from focusrail.model.shoot import Shoot
from focusrail.worker.manifest import plain

router = APIRouter(tags=["shoots"])


@router.post("/plan")
def plan(desk: AtDesk, wish: ShootWish) -> PlanTold:
    """What a recipe comes to on this rig. Nothing moves."""
    recipe = recipe_of(desk, wish)
    planned, estimate = desk.plan(recipe), desk.estimate()
    frames = len(planned.positions_mm)
    return PlanTold(
        frames=frames, step_mm=planned.step_mm, from_mm=planned.positions_mm[0], to_mm=planned.positions_mm[-1],
        surface=recipe.outputs.mesh, estimated_s=estimate.seconds(frames), needed_bytes=estimate.bytes(frames),
        free_bytes=estimate.free_bytes,
    )  # fmt: skip


@router.post("/shoots", status_code=202)
def begin(
    desk: AtDesk, wish: ShootWish, idempotency_key: Annotated[str | None, Header(max_length=100)] = None
) -> Begun:
    """Begin a shoot. With a key that was used before, nothing begins: the answer is that shoot."""
    return Begun(shoot_id=desk.shoot(recipe_of(desk, wish), key=idempotency_key))


@router.get("/shoots")
def shoots(desk: AtDesk, limit: Annotated[int, Query(ge=1, le=200)] = 50, before: str | None = None) -> list[ShootTold]:
    """Shoots, newest first; `before`: older than that one."""
    return [_told(desk, shoot) for shoot in desk.service.journal.shoots(before=before, limit=limit)]


@router.get("/shoots/{shoot_id}")
def shoot(desk: AtDesk, shoot_id: str) -> ShootTold:
    """One shoot."""
    return _told(desk, desk.service.journal.shoot(shoot_id))


@router.get("/shoots/{shoot_id}/frames")
def frames(desk: AtDesk, shoot_id: str) -> list[FrameTold]:
    """The frames that are stored."""
    order = desk.service.journal.shoot(shoot_id).order
    places = {index: place for place, index in enumerate(order)}
    return [
        FrameTold(
            index=one.index, place=places.get(one.index, one.index), position_mm=one.position_mm,
            exposed_at=one.exposed_at, file=one.original.path.name, size_bytes=one.original.size_bytes,
            media_type=one.original.media_type, sha256=one.original.sha256,
            thumbnail=desk.service.spool.thumbnail(shoot_id, one.index).is_file(),
        )
        for one in desk.service.journal.frames(shoot_id)
    ]  # fmt: skip


@router.post("/shoots/{shoot_id}/pause", status_code=204)
def pause(desk: AtDesk, shoot_id: str) -> None:
    """Wait before the next frame."""
    desk.pause(shoot_id)


@router.post("/shoots/{shoot_id}/resume", status_code=202)
def resume(desk: AtDesk, shoot_id: str) -> Begun:
    """Go on: after a pause, or where the shoot ended early."""
    return Begun(shoot_id=desk.resume(shoot_id))


@router.post("/shoots/{shoot_id}/extend", status_code=202)
def extend(
    desk: AtDesk,
    shoot_id: str,
    wish: ExtendWish,
    idempotency_key: Annotated[str | None, Header(max_length=100)] = None,
) -> Begun:
    """Shoot more frames on either side of a published shoot, and publish its next version; the key as for a start."""
    return Begun(shoot_id=desk.extend(shoot_id, near=wish.near, far=wish.far, key=idempotency_key))


@router.post("/shoots/{shoot_id}/abort", status_code=204)
async def abort(desk: AtDesk, shoot_id: str) -> None:
    """End it; what is stored is safe."""
    await to_thread.run_sync(desk.abort, shoot_id, limiter=CapacityLimiter(1))  # as for halting


@router.post("/halt", status_code=204)
async def halt(desk: AtDesk) -> None:
    """Stop the rail now, whatever it is doing."""
    # In a thread of its own: those of the other requests may all be waiting for what is to be halted.
    await to_thread.run_sync(desk.halt, limiter=CapacityLimiter(1))


def _told(desk: Desk, one: Shoot) -> ShootTold:
    journal, status = desk.service.journal, desk.status()
    recipe: Any = plain(one.recipe) if one.recipe is not None else None
    stored = journal.frame_count(one.shoot_id)
    method: Any = plain(one.method)
    going_on = status.progress is not None and status.progress.shoot_id == one.shoot_id
    return ShootTold(
        shoot_id=one.shoot_id,
        name=one.name,
        specimen_id=one.specimen_id,
        created_at=one.created_at,
        state=one.state,
        going_on=going_on,
        interrupted=not going_on and was_interrupted(one, desk.service.spool),
        unfinished=is_unfinished(one, desk.service.journal),
        let_go_at=journal.let_go_at(one.shoot_id),
        planned=len(one.positions_mm),
        stored=stored,
        source=one.source,
        picture=_picture(desk, one.shoot_id, stored),
        versions=[
            VersionTold(
                version=version,
                folder=str(folder),
                without=journal.left_out(one.shoot_id, version),
                files=_files(folder),
            )
            for version, folder in journal.publications(one.shoot_id)
        ],
        recipe=recipe,
        method=method,
    )


def _files(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if path.is_file() and not path.is_symlink())
    except OSError:  # somebody has moved it away
        return []


def _picture(desk: Desk, shoot_id: str, stored: int) -> str | None:
    """Where a small picture of a shoot is: its live composite, or the frame in its middle."""
    if desk.service.spool.live_picture(shoot_id).is_file():
        return f"/api/shoots/{shoot_id}/live"
    if not stored:
        return None
    middle = desk.service.journal.frame_index(shoot_id, stored // 2)
    there = desk.service.spool.thumbnail(shoot_id, middle).is_file()
    return f"/api/shoots/{shoot_id}/frames/{middle}/thumbnail" if there else None
