"""Between two commands the rail keeps its place, if it can prove it; after a crash it does not."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from focusrail.capture.rig import open_rig
from focusrail.config.schema import Config, StoreConfig
from focusrail_drivers.base import PositionUnknown
from focusrail_drivers.clock import VirtualClock


def config(tmp_path: Path) -> Config:
    return Config(store=StoreConfig(root=tmp_path))


def test_the_next_command_finds_the_rail_where_the_last_one_left_it(tmp_path: Path) -> None:
    clock = VirtualClock()
    with open_rig(config(tmp_path), clock, with_camera=False) as rig:
        rig.carriage.home()
        rig.carriage.go_to(12.5)
    with open_rig(config(tmp_path), clock, with_camera=False) as rig:
        assert rig.carriage.position_mm() == 12.5


def test_while_a_rail_is_in_use_nothing_vouches_for_its_place(tmp_path: Path) -> None:
    clock = VirtualClock()
    with open_rig(config(tmp_path), clock, with_camera=False) as rig:
        rig.carriage.home()
    with ExitStack() as stack:
        stack.enter_context(open_rig(config(tmp_path), clock, with_camera=False))
        # Killed here, this is what the next one would find:
        rig = stack.enter_context(open_rig(config(tmp_path), clock, with_camera=False))
        with pytest.raises(PositionUnknown):
            rig.carriage.position_mm()


@pytest.mark.parametrize("note", ["", "[]", "null", '{"driver": "grbl", "position_mm": 5}', '{"driver": "simulated"}'])
def test_a_note_of_another_rail_or_a_damaged_one_is_not_believed(tmp_path: Path, note: str) -> None:
    (tmp_path / "rail.json").write_text(note)
    with open_rig(config(tmp_path), VirtualClock(), with_camera=False) as rig, pytest.raises(PositionUnknown):
        rig.carriage.position_mm()


def test_a_note_beyond_the_travel_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "rail.json").write_text(json.dumps({"driver": "simulated", "position_mm": 61.0}))
    with open_rig(config(tmp_path), VirtualClock(), with_camera=False) as rig, pytest.raises(PositionUnknown):
        rig.carriage.position_mm()
