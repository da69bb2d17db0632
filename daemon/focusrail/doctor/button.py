"""The capture button: its driver's library, its device, and what it would shoot."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from focusrail.config.schema import Config
from focusrail.doctor.finding import Finding, may_use
from focusrail.errors import FocusrailError
from focusrail.recipe_book import RecipeBook
from focusrail_drivers.buttons.evdev import input_devices


def button(config: Config, *, held: bool) -> Iterator[Finding]:
    """What a button that is configured needs. `held`: the service has it."""
    driver = config.button.driver
    if driver is None:
        return
    if driver == "gpio" and find_spec("gpiod") is None:
        yield Finding("button", "wrong", "the Python package gpiod is missing", "pip install 'focusrail[gpio]'")
    if driver == "gpio":
        there = sorted(str(path) for path in Path("/dev").glob("gpiochip*"))
        yield _device(config.button.options.chip, there, "GPIO chip", "button.options.chip (gpiodetect)", held=held)
    elif driver == "evdev":
        do = "button.options.device (ls /dev/input/by-id)"
        yield _device(config.button.options.device, input_devices(), "input device", do, held=held)
    else:
        yield Finding("button", "good", f"driver {driver} needs no device")
    if config.button.recipe is not None:
        try:
            RecipeBook(config.store.root / "recipes", config).load(config.button.recipe)
        except FocusrailError as error:
            yield Finding("button", "wrong", str(error), "save the recipe, or correct button.recipe")


def _device(path: Path, there: list[str], what: str, where: str, *, held: bool) -> Finding:
    if not path.exists():
        said = f"there is no {what} {path}; there are: {', '.join(there) or 'none'}"
        return Finding("button", "wrong", said, f"plug it in, or correct {where}")
    refused = None if held else may_use("button", path, what=f"the {what}", mode=os.R_OK)
    return refused or Finding("button", "good", f"the {what} {path} is there")
