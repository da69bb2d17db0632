"""What a method cannot make is refused where it is asked for."""

from __future__ import annotations

import pytest

from focusrail.errors import InvalidValue
from focusrail.model.method import FUSIONS, Method
from focusrail.model.outputs import Outputs
from focusrail.model.recipe import Recipe

SLABS = Outputs(slab_frames=4)


def test_slabs_take_a_method_of_one_pass() -> None:
    for fusion in FUSIONS:
        Outputs(aligned=True).check_with(Method(fusion=fusion))
        if fusion != "depthmap":
            SLABS.check_with(Method(fusion=fusion))
    with pytest.raises(InvalidValue, match="depthmap"):
        SLABS.check_with(Method(fusion="depthmap"))


def test_a_recipe_cannot_ask_for_slabs_of_a_method_of_two_passes() -> None:
    Recipe(name="a", from_mm=1, to_mm=2, frames=9, method=Method(fusion="depthmap"))
    with pytest.raises(InvalidValue, match="two passes"):
        Recipe(name="a", from_mm=1, to_mm=2, frames=9, method=Method(fusion="depthmap"), outputs=SLABS)
