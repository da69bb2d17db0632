from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import focusrail
from peers.small_rig import FRAMES, Home, published

REPOSITORY = Path(__file__).parents[2]
_LEVELS = {"debug", "info", "warning", "error", "exception"}


def documented() -> dict[str, tuple[bool, str, frozenset[str]]]:
    """From docs/events.md: event -> whether it always belongs to a shoot, its level, its fields."""
    page = (REPOSITORY / "docs" / "events.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| `(.+?)`( \*)? \| (\w+) \| (.*?) \|", page, re.MULTILINE)
    return {name: (not star, level, frozenset(re.findall("`(.+?)`", fields))) for name, star, level, fields in found}


def emitted() -> dict[str, tuple[str, frozenset[str]]]:
    """From the source: event -> its level and fields."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for path in Path(focusrail.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            logger = node.func.value
            if not (isinstance(logger, ast.Name) and logger.id == "log" and node.func.attr in _LEVELS):
                continue
            constants = (n.value for n in ast.walk(node.args[0]) if isinstance(n, ast.Constant))
            names = [value for value in constants if isinstance(value, str)]
            fields = {keyword.arg or "" for keyword in node.keywords} - {"shoot_id"}
            level = node.func.attr
            if level == "exception":
                level, fields = "error", {*fields, "exception"}
            for name in names:
                assert found.get(name, (level, fields)) == (level, fields), f"{name} is logged in two ways"
                found[name] = (level, frozenset(fields))
    return found


def test_the_events_are_those_in_the_documentation() -> None:
    assert {name: (level, fields) for name, (_, level, fields) in documented().items()} == emitted()


def test_events_are_named_by_a_noun_and_what_happened_to_it() -> None:
    for name in emitted():
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", name), name


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The log of a shoot with all kinds of mishaps, on a pipe."""
    camera = {"truncated_at": [2], "capture_fails_at": [4], "hangs_at": [5], "hang_s": 0.01}
    home = Home(tmp_path_factory.mktemp("logs"), camera=camera)
    said = home.run("shoot", home.recipe())
    assert said.code == 13
    assert len(published(home.outbound)) == 1
    return said.events


def test_a_shoot_logs_what_happens(events: list[dict[str, Any]]) -> None:
    names = [event["event"] for event in events]
    assert names[0] == "rig.opened" and names[-1] == "shoot.published"
    assert names.count("frame.stored") == FRAMES
    assert names.count("frame.failed") == 2
    assert names.count("frame.left_out") == 1
    assert names.count("rail.moved") == FRAMES + 2, "back to the frame that was not delivered, and on again"
    assert {"rail.homed", "rail.went", "worker.started"} <= set(names)
    moved = next(event for event in events if event["event"] == "rail.moved")
    assert moved["reached_mm"] == pytest.approx(moved["target_mm"], abs=1 / 1600)
    assert 0 < moved["took_s"] < 5


def test_every_event_has_its_fields_and_belongs_to_its_shoot(events: list[dict[str, Any]]) -> None:
    """Whatever thread it comes from: the camera's, that of the stacking process's events, the one that returns."""
    (shoot_id,) = {event["shoot_id"] for event in events if "shoot_id" in event}
    known = documented()
    for event in events:
        always, level, fields = known[event["event"]]
        assert event["level"] == level
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["timestamp"])
        told = set(event) - {"timestamp", "level", "event"}
        if always or event["event"] != "rig.opened":
            assert event.get("shoot_id") == shoot_id, event
        assert told - {"shoot_id"} == fields, event


def test_a_level_keeps_quiet_what_is_less_important(home: Home, photographs: Path) -> None:
    home.config.write_text(home.config.read_text() + "log: {level: error, format: json}\n")
    assert home.run("stack", photographs).events == []


def test_lines_for_people_are_no_json(home: Home, photographs: Path) -> None:
    home.config.write_text(home.config.read_text() + "log: {format: console}\n")
    said = home.run("stack", photographs)
    assert not said.events
    assert any("shoot.published" in line and "version=1" in line for line in said.sentences)
