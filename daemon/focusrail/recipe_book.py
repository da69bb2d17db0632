"""Saved recipes: YAML files in one folder, each checked before it is kept."""

from __future__ import annotations

from pathlib import Path

from focusrail.config.loader import parse_recipe
from focusrail.config.schema import Config
from focusrail.errors import ConfigError, UnknownRecipe
from focusrail.model.recipe import Recipe
from focusrail.store.durable import make_folder, write_durably


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
        """Keep a recipe that can be read, in place of what had its name. Raises ConfigError, StoreNotWritable."""
        self.parse(text, name=name)
        make_folder(self._folder)
        write_durably(self._folder / f"{name}.yaml", text.encode())

    def parse(self, text: str, *, name: str) -> Recipe:
        """The recipe that a text is. Raises ConfigError, with `name` where a file's name would stand."""
        return parse_recipe(text, shown=name, method=self._config.stacking.method, outputs=self._config.outputs)
