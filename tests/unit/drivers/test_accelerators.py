"""Every accelerator that comes with focusrail is made as its kind is made, from options that may be left out."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from focusrail_drivers.base import AdaptsToPicture, OnDevice
from focusrail_drivers.clock import VirtualClock


def provided():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 cannot read pyproject.toml")
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    return tomllib.loads(text)["project"]["entry-points"]["focusrail.accelerators"]


@pytest.mark.parametrize("name", ["cpu", "kv260", "kv260-exact"])
def test_each_is_made_from_its_options_and_touches_no_hardware(name):
    module, _, class_ = provided()[name].partition(":")
    driver = getattr(import_module(module), class_)
    made = driver(driver.Options(), VirtualClock())
    assert isinstance(made, OnDevice) == (name == "kv260")
    assert isinstance(made, AdaptsToPicture) == (name != "cpu")


@pytest.mark.parametrize("name", ["cpu", "kv260-exact"])
def test_those_of_the_processor_say_how_to_read_their_scores(name):
    module, _, class_ = provided()[name].partition(":")
    made = getattr(import_module(module), class_)()
    luma = np.clip(np.random.default_rng(1).normal(128, 1.5, (40, 50)), 0, 255).astype(np.uint8)
    scale, score = made.configure(), made.measure(luma)
    assert score.dtype == np.uint16 and score.shape == luma.shape and score.max() <= scale.saturation
