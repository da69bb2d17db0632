"""Stacks: of what is stored of a shoot, and of photographs in a folder."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException, Request

from focusrail.api.access import is_local
from focusrail.api.asked import AtDesk
from focusrail.api.schemas import Begun, FolderWish, StackWish
from focusrail.api.wishes import path_of, stack_wish

router = APIRouter(tags=["stacks"])


@router.post("/shoots/{shoot_id}/stack", status_code=202)
def restack(request: Request, desk: AtDesk, shoot_id: str, wish: Annotated[StackWish | None, Body()] = None) -> Begun:
    """Stack what is stored of a shoot, as its next version."""
    wish = wish or StackWish()
    return Begun(shoot_id=desk.restack(shoot_id, **_wanted(request, wish)))


@router.post("/stacks", status_code=202)
def stack(request: Request, desk: AtDesk, wish: FolderWish) -> Begun:
    """Stack a folder of photographs on the machine itself. Only for those who are on it: over the Unix socket."""
    _check_local(request, "a folder of photographs is named")
    folder = path_of("folder", wish.folder)
    wanted = _wanted(request, wish)
    return Begun(shoot_id=desk.stack_folder(folder, step_mm=wish.step_mm, aligned=wish.aligned, **wanted))


def _wanted(request: Request, wish: StackWish) -> dict[str, Any]:
    if wish.out is not None:
        _check_local(request, "a folder for results is chosen")
    return stack_wish(wish)


def _check_local(request: Request, what: str) -> None:
    """Who reaches the service by the network is let into its shoots, not into the machine's folders."""
    if not is_local(request.scope):
        raise HTTPException(403, f"{what} on the machine itself: by the command line there")
