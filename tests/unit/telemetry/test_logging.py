from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from focusrail.telemetry.logging import configure_logging

log = structlog.get_logger()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Logging belongs to the whole process: give it back."""
    root, ours = logging.getLogger(), logging.getLogger("focusrail")
    before = root.level, ours.level, list(root.handlers)
    yield
    root.setLevel(before[0])
    ours.setLevel(before[1])
    root.handlers[:] = before[2]
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def entries(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_away_from_a_terminal_every_line_is_json_with_the_time_in_utc() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    log.info("rail.moved", target_mm=12.5, file=Path("/a"))
    (entry,) = entries(stream)
    assert list(entry)[:3] == ["timestamp", "level", "event"]
    assert entry["timestamp"].endswith("Z")
    assert datetime.fromisoformat(entry["timestamp"].replace("Z", "+00:00")).utcoffset() == timedelta(0)
    assert (entry["level"], entry["event"], entry["target_mm"], entry["file"]) == ("info", "rail.moved", 12.5, "/a")


def test_on_a_terminal_a_line_is_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    configure_logging(stream=stream)
    log.info("rail.moved", target_mm=12.5)
    assert "\x1b[" in stream.getvalue()
    assert re.search(r"info.*rail\.moved.*target_mm=12\.5", re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()))


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    configure_logging(stream=stream)
    log.info("rail.moved", target_mm=12.5)
    assert "\x1b" not in stream.getvalue()
    assert "target_mm=12.5" in stream.getvalue()


def test_the_format_that_is_asked_for_goes_before_the_terminal() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    configure_logging(format="json", stream=terminal)
    log.info("rail.moved")
    configure_logging(format="console", stream=pipe)
    log.info("rail.moved")
    assert entries(terminal)[0]["event"] == "rail.moved"
    assert pipe.getvalue().endswith("rail.moved\n")
    assert "\x1b" not in pipe.getvalue()


def test_what_is_bound_once_is_on_every_entry_also_on_a_librarys() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    with structlog.contextvars.bound_contextvars(shoot_id="s1", frame_index=3):
        log.info("frame.stored")
        logging.getLogger("PIL").warning("odd tag %d", 7)
    log.info("shoot.finished")
    stored, library, finished = entries(stream)
    assert (stored["shoot_id"], stored["frame_index"]) == ("s1", 3)
    assert (library["event"], library["level"], library["shoot_id"]) == ("odd tag 7", "warning", "s1")
    assert "shoot_id" not in finished


def test_an_exception_comes_with_its_traceback_on_the_same_json_line() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    secret = "pixels" + " and all"
    try:
        int("lens cap on")
    except ValueError:
        log.exception("frame.failed")
    (entry,) = entries(stream)
    assert entry["level"] == "error"
    assert "Traceback" in entry["exception"]
    assert "test_logging.py" in entry["exception"]
    assert "ValueError: invalid literal" in entry["exception"]
    assert secret not in entry["exception"]  # no local variables


def test_on_a_terminal_an_exception_shows_no_local_variables() -> None:
    stream = io.StringIO()
    configure_logging(format="console", stream=stream)
    secret = "pixels" + " and all"
    try:
        int("lens cap on")
    except ValueError:
        log.exception("frame.failed")
    assert "ValueError: invalid literal" in stream.getvalue()
    assert secret not in stream.getvalue()


def test_below_the_level_nothing_is_said_and_libraries_speak_from_warning_up() -> None:
    stream = io.StringIO()
    configure_logging("debug", stream=stream)
    log.debug("rail.stepped")
    logging.getLogger("asyncio").debug("chatter")
    logging.getLogger("asyncio").info("chatter")
    configure_logging("error", stream=stream)
    log.warning("rail.slow")
    logging.getLogger("asyncio").warning("chatter")
    assert [entry["event"] for entry in entries(stream)] == ["rail.stepped"]


def test_a_python_warning_becomes_an_entry() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)  # pytest has its own hook in place: take it up again within this block
        logging.captureWarnings(True)
        warnings.warn("old lens", stacklevel=1)
        logging.captureWarnings(False)
    (entry,) = entries(stream)
    assert entry["level"] == "warning"
    assert "old lens" in entry["event"]


def test_configuring_again_replaces_and_doubles_nothing() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logging(stream=first)
    configure_logging(stream=second)
    log.info("rail.moved")
    assert first.getvalue() == ""
    assert len(entries(second)) == 1


def test_a_display_gets_each_entry_as_a_whole_and_may_be_called_from_any_thread() -> None:
    shown: list[str] = []
    configure_logging(write_line=shown.append)
    threads = [threading.Thread(target=log.info, args=("rail.moved",), kwargs={"step": n}) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(entry.rpartition("=")[2]) for entry in shown) == list(range(8))
    assert not any("\n" in entry or "\x1b" in entry for entry in shown)


def test_without_a_stream_a_later_redirection_of_stderr_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    configure_logging(format="json")
    redirected = io.StringIO()
    monkeypatch.setattr(sys, "stderr", redirected)
    log.info("rail.moved")
    assert entries(redirected)[0]["event"] == "rail.moved"


def test_a_stream_that_is_gone_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    stream = io.StringIO()
    configure_logging(stream=stream)
    stream.close()
    log.info("rail.moved")
