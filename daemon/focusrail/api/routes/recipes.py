"""Saved recipes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path

from focusrail.api.asked import AtDesk
from focusrail.api.schemas import RecipeTold, Text
from focusrail.worker.manifest import plain

router = APIRouter(prefix="/recipes", tags=["recipes"])
Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,59}$")]


@router.get("")
def recipes(desk: AtDesk) -> list[str]:
    """The names of all saved recipes."""
    return desk.recipes.names()


@router.get("/{name}")
def recipe(desk: AtDesk, name: Name) -> RecipeTold:
    """One of them."""
    text = desk.recipes.text(name)
    understood: Any = plain(desk.recipes.parse(text, name=name))
    return RecipeTold(name=name, yaml=text, recipe=understood)


@router.put("/{name}", status_code=204)
def save(desk: AtDesk, name: Name, text: Text) -> None:
    """Save a recipe, which is checked first, in place of what had that name."""
    desk.recipes.save(name, text.yaml)
