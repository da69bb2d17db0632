"""Between two commands the rail keeps its place, if it can prove it; after a crash it does not."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from focusrail.capture.preflight import check_rail
from focusrail.capture.rig import open_rig
from focusrail.config.schema import Config, StoreConfig
from focusrail.errors import PreflightFailed
from focusrail_drivers.base import PositionUnknown
from focusrail_drivers.clock import SystemClock, VirtualClock
from peers.grbl_peer import GrblPeer


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


@pytest.mark.parametrize(
    ("changed", "position_mm"), [({}, 5.0), ({"position_mm": 61.0}, None), ({"options": ""}, None)]
)
def test_a_note_beyond_the_travel_or_of_other_options_is_not_believed(
    tmp_path: Path, changed: dict[str, Any], position_mm: float | None
) -> None:
    memory = tmp_path / "rail.json"
    with open_rig(config(tmp_path), VirtualClock(), with_camera=False) as rig:
        rig.carriage.home()
        rig.carriage.go_to(5.0)
    memory.write_text(json.dumps({**json.loads(memory.read_text()), **changed}))
    with open_rig(config(tmp_path), VirtualClock(), with_camera=False) as rig:
        assert rig.carriage.status().position_mm == position_mm
        assert not memory.exists()


def grbl(tmp_path: Path, peer: GrblPeer, **options: Any) -> Config:
    given = {"port": peer.port, "travel_max_mm": 25.0, "feed_mm_min": 600.0, "banner_wait_s": 0.05, **options}
    return Config.model_validate({"rail": {"driver": "grbl", "options": given}, "store": {"root": str(tmp_path)}})


def test_a_grbl_rail_must_be_homed_anew_unless_it_is_to_be_trusted(tmp_path: Path) -> None:
    with GrblPeer() as peer:
        for trusted in (False, True):
            settings = grbl(tmp_path, peer, trust_position_on_open=trusted)
            with open_rig(settings, SystemClock(), with_camera=False) as rig:
                rig.carriage.home()
                rig.carriage.go_to(5.0)
            with open_rig(settings, SystemClock(), with_camera=False) as rig:
                assert (rig.carriage.status().position_mm is not None) == trusted


def test_a_rail_without_a_home_switch_is_homed_only_on_a_persons_word(tmp_path: Path) -> None:
    with GrblPeer({22: 0, 20: 0}, carriage_mm=30.0) as peer:
        settings = grbl(tmp_path, peer, homing="none", trust_position_on_open=True)
        with open_rig(settings, SystemClock(), with_camera=False) as rig:
            with pytest.raises(PreflightFailed, match="focusrail rail home"):
                check_rail(rig.carriage, [10.0, 12.0], may_home=True)
            rig.carriage.home()
            rig.carriage.go_to(2.0)
        with open_rig(settings, SystemClock(), with_camera=False) as rig:
            check_rail(rig.carriage, [10.0, 12.0], may_home=True)
            assert rig.carriage.position_mm() == pytest.approx(2.0, abs=0.001)
        with peer._changed:
            peer._power_up()
        with open_rig(settings, SystemClock(), with_camera=False) as rig, pytest.raises(PreflightFailed):
            check_rail(rig.carriage, [10.0, 12.0], may_home=True)
