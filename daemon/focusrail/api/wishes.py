"""From what was sent to what it means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from focusrail.api.schemas import ShootWish, StackWish
from focusrail.desk import Desk
from focusrail.errors import InvalidValue
from focusrail.model.method import Method
from focusrail.model.outputs import Outputs
from focusrail.model.recipe import Recipe
from focusrail.model.selection import parse_frames

_T = TypeVar("_T")

_LONGEST = 20_000  # characters; ten times what all keys take


def recipe_of(desk: Desk, wish: ShootWish) -> Recipe:
    """The recipe that is wished for. Raises ConfigError, InvalidValue, UnknownRecipe."""
    if (wish.recipe is None) == (wish.saved is None):
        raise InvalidValue("recipe", "give either a recipe or the name of a saved one")
    if wish.saved is not None:
        return desk.recipes.load(wish.saved)
    try:
        text = yaml.safe_dump(wish.recipe) if len(json.dumps(wish.recipe)) <= _LONGEST else ""
    except RecursionError:
        text = ""
    if not text:
        raise InvalidValue("recipe", f"has more than {_LONGEST} characters, or is nested too deep")
    return desk.recipes.parse(text, name="recipe")


def stack_wish(wish: StackWish) -> dict[str, Any]:
    """What Service.restack and Service.stack_folder are to be told. Raises InvalidValue."""
    return {
        "out": None if wish.out is None else path_of("out", wish.out),
        "method": None if wish.method is None else _made("method", Method, wish.method),
        "outputs": None if wish.outputs is None else _made("outputs", Outputs, wish.outputs),
        "without": parse_frames("without", wish.without) if wish.without else frozenset(),
        "debug": wish.debug,
    }


def path_of(field: str, text: str) -> Path:
    """An absolute path. Raises InvalidValue: what is relative to whom, nobody could tell."""
    if "\0" in text or not text.startswith("/"):
        raise InvalidValue(field, "must be an absolute path")
    return Path(text)


def _made(field: str, kind: type[_T], given: dict[str, Any]) -> _T:
    try:
        return TypeAdapter(kind).validate_python(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, InvalidValue):
            raise InvalidValue(f"{field}.{cause.field}", cause.message) from error
        raise InvalidValue(".".join(map(str, (field, *first["loc"]))), first["msg"]) from error
