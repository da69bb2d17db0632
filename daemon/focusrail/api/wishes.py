"""From what was sent to what it means."""

from __future__ import annotations

import yaml

from focusrail.api.schemas import ShootWish
from focusrail.desk import Desk
from focusrail.errors import InvalidValue
from focusrail.model.recipe import Recipe


def recipe_of(desk: Desk, wish: ShootWish) -> Recipe:
    """The recipe that is wished for. Raises ConfigError, InvalidValue, UnknownRecipe."""
    if (wish.recipe is None) == (wish.saved is None):
        raise InvalidValue("recipe", "give either a recipe or the name of a saved one")
    if wish.saved is not None:
        return desk.recipes.load(wish.saved)
    return desk.recipes.parse(yaml.safe_dump(wish.recipe), name="recipe")
