"""Saved recipes: YAML files in one folder, each checked before it is kept."""

from __future__ import annotations

import re
from pathlib import Path

from focusrail.config.loader import parse_recipe
from focusrail.config.schema import Config
from focusrail.errors import ConfigError, InvalidValue, UnknownRecipe
from focusrail.model.recipe import Recipe
from focusrail.store.durable import make_folder, write_durably

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,59}")


class RecipeBook:
    """The recipes in `folder`; the rig's method and outputs hold where one has none."""

    def __init__(self, folder: Path, config: Config) -> None:
        self._folder, self._config = folder, config

    def names(self) -> list[str]:
        """Of all recipes, sorted."""
        return sorted(path.stem for path in self._folder.glob("*.yaml") if not path.name.startswith("."))

    def text(self, name: str) -> str:
        """A recipe as it was written. Raises UnknownRecipe."""
        if name not in self.names():
            raise UnknownRecipe(f"no recipe {name!r}; there are: {', '.join(self.names()) or 'none'}")
        path = self._folder / f"{name}.yaml"
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:  # somebody has been at it with an editor
            raise ConfigError(f"{path}: cannot be read: {error}") from error

    def load(self, name: str) -> Recipe:
        """A saved recipe. Raises UnknownRecipe, ConfigError."""
        return self.parse(self.text(name), name=name)

    def save(self, name: str, text: str) -> None:
        """Keep a recipe that can be read, in place of what had its name.

        Raises ConfigError, StoreNotWritable, InvalidValue.
        """
        check_name(name)
        self.parse(text, name=name)
        make_folder(self._folder)
        write_durably(self._folder / f"{name}.yaml", text.encode())

    def parse(self, text: str, *, name: str) -> Recipe:
        """The recipe that a text is. Raises ConfigError, with `name` where a file's name would stand."""
        return parse_recipe(text, shown=name, method=self._config.stacking.method, outputs=self._config.outputs)


def check_name(name: str) -> None:
    """Refuse what cannot become the name of a file here. Raises InvalidValue."""
    if not _NAME.fullmatch(name):
        raise InvalidValue("name", "must be 1 to 60 letters, digits, spaces or ._-, a letter or digit first")
