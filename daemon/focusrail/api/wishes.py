"""From what was sent to what it means."""

from __future__ import annotations

import json

import yaml

from focusrail.api.schemas import ShootWish
from focusrail.desk import Desk
from focusrail.errors import InvalidValue
from focusrail.model.recipe import Recipe

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
