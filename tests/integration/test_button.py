"""The capture button at the desk, pressed by way of its FIFO."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from focusrail.button import CaptureButton
from focusrail.desk import Desk
from focusrail.doctor.button import button as examined
from focusrail.event_log import EventLog
from focusrail.model.method import Method
from focusrail.model.shoot import Shoot, State
from peers.small_rig import recipe, small_rig

LONG_S = 0.5


class Rig:
    """A desk with a button, and what has been pressed."""

    def __init__(self, root: Path, **button: Any) -> None:
        self.fifo = root / "button"
        wanted = {"driver": "simulated", "long_press_s": LONG_S, "options": {"path": str(self.fifo)}, **button}
        self.config = small_rig(root / "data", button=wanted)
        self.desk = Desk(self.config, EventLog())
        self.button = CaptureButton(self.desk, self.config.button, retry_s=0.05)
        self.button.start()
        self.until(self.fifo.is_fifo)

    def press(self, held_s: float | str = "") -> None:
        self.fifo.write_text(f"{held_s}\n")

    @property
    def presses(self) -> list[Mapping[str, Any]]:
        return [entry.data for entry in self.desk.events.since(0) or [] if entry.name == "button_pressed"]

    def told(self, number: int) -> Mapping[str, Any]:
        """What became of a press."""
        self.until(lambda: len(self.presses) > number)
        return self.presses[number]

    def until(self, holds: Callable[[], object]) -> None:
        late_s = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < late_s, self.presses
            time.sleep(0.005)

    def state(self, shoot_id: str) -> State:
        return self.desk.service.journal.shoot(shoot_id).state

    def close(self) -> None:
        self.desk.suspend()
        self.button.stop()
        self.desk.close()
        self.desk.service.close()


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


@pytest.fixture
def rig(tmp_path: Path, logged: list[Any]) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.close()


def test_a_press_shoots_what_was_shot_last_once_more(rig: Rig) -> None:
    rig.press()
    assert (rig.told(0)["did"], "nothing was shot yet" in rig.told(0)["refused"]) == ("", True)
    wasp = Shoot("20260101T000000-0000", "wasp", datetime.now(timezone.utc), Method(), recipe=recipe(name="wasp"))
    stack = Shoot("20260101T000000-0001", "stack", datetime.now(timezone.utc), Method())
    for before in (wasp, stack):
        rig.desk.service.journal.add_shoot(before)
    rig.press()
    told = rig.told(1)
    assert (told["press"], told["did"], told["refused"]) == ("short", "capture", "")
    assert rig.desk.service.journal.shoot(told["shoot_id"]).name == "wasp"
    rig.until(lambda: rig.desk.service.journal.frame_count(told["shoot_id"]))


def test_a_press_while_frames_are_made_changes_nothing_and_says_why(rig: Rig, logged: list[Any]) -> None:
    shoot_id = rig.desk.shoot(recipe(frames=60, settle_s=0.05))
    rig.until(lambda: rig.desk.service.journal.frame_count(shoot_id))
    rig.press()
    told = rig.told(0)
    assert told["did"] == "" and "the rig is busy (shooting)" in told["refused"]
    stored = rig.desk.service.journal.frame_count(shoot_id)
    rig.until(lambda: rig.desk.service.journal.frame_count(shoot_id) > stored)
    assert rig.state(shoot_id) is State.SHOOTING
    refused = [entry for entry in logged if entry["event"] == "button.refused"]
    assert [(entry["press"], entry["reason"]) for entry in refused] == [("short", told["refused"])]


def test_a_press_goes_on_after_a_pause_and_a_long_one_aborts_while_it_is_held(rig: Rig) -> None:
    shoot_id = rig.desk.shoot(recipe(frames=60, settle_s=0.05))
    rig.desk.pause(shoot_id)
    rig.until(lambda: (p := rig.desk.status().progress) is not None and p.state == "paused")
    rig.press()
    told = rig.told(0)
    assert (told["did"], told["shoot_id"]) == ("resume", shoot_id)
    began_s = time.monotonic()
    rig.press(20)
    told = rig.told(1)
    assert (told["press"], told["did"], told["shoot_id"]) == ("long", "abort", shoot_id)
    assert LONG_S < time.monotonic() - began_s < 10
    rig.until(lambda: not rig.desk.status().doing)
    assert rig.state(shoot_id) is State.ABORTED


def test_a_long_press_where_nothing_is_shot_stops_the_rail(rig: Rig) -> None:
    rig.desk.open()
    halted = threading.Event()

    def wait(_: object) -> None:
        while not rig.desk.service._aborted.wait(0.01):
            pass
        halted.set()

    moving = threading.Thread(target=rig.desk.on_rig, args=("moving", wait))
    moving.start()
    rig.press(LONG_S + 0.1)
    assert rig.told(0)["did"] == "halt"
    assert halted.wait(5)
    moving.join()


def test_a_button_that_is_unplugged_is_looked_for_again(rig: Rig, logged: list[Any]) -> None:
    rig.fifo.rename(rig.fifo.with_name("taken"))
    rig.fifo.mkdir()
    rig.until(lambda: len([entry for entry in logged if entry["event"] == "button.lost"]) == 2)
    rig.fifo.rmdir()
    rig.until(rig.fifo.is_fifo)
    rig.until(lambda: [entry["event"] for entry in logged].count("button.opened") == 2)
    rig.press()
    assert rig.told(0)["refused"]
    assert len([entry for entry in logged if entry["event"] == "button.lost"]) == 2, "that it is not there is said once"


def test_a_named_recipe_is_shot_and_a_wrong_one_is_told_by_doctor_too(tmp_path: Path) -> None:
    rig = Rig(tmp_path, recipe="bug")
    rig.press()
    assert "no recipe 'bug'" in rig.told(0)["refused"]
    assert [(one.state, "no recipe" in one.said) for one in examined(rig.config, held=True)][-1] == ("wrong", True)
    rig.desk.recipes.save("bug", "name: bug\nfrom_mm: 10\nto_mm: 11\nframes: 2\n")
    rig.press()
    assert rig.told(1)["did"] == "capture"
    assert rig.desk.service.journal.shoot(rig.told(1)["shoot_id"]).name == "bug"
    assert [one.state for one in examined(rig.config, held=True)] == ["good"]
    rig.close()


def test_doctor_says_what_a_button_lacks(tmp_path: Path) -> None:
    config = small_rig(
        tmp_path, button={"driver": "evdev", "options": {"device": str(tmp_path / "none"), "key": "KEY_B"}}
    )
    found = list(examined(config, held=False))
    assert found[-1].state == "wrong" and f"there is no input device {tmp_path / 'none'}" in found[-1].said
    assert list(examined(small_rig(tmp_path), held=False)) == []
