from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from focusrail.event_log import EventLog


@dataclass
class SomethingHappened:
    what: int


def told(log: EventLog, after: int, number: int) -> list[Any]:
    """What a follower hears, up to so many."""

    async def follow() -> list[Any]:
        heard = []
        async for entry in log.follow(after, quiet_s=5):
            heard.append(entry if isinstance(entry, str) else (entry.number, entry.name, dict(entry.data)))
            if len(heard) == number:
                break
        return heard

    return asyncio.run(follow())


def test_events_are_numbered_and_named() -> None:
    log = EventLog(first=100)
    log.add(SomethingHappened(1))
    log.add(SomethingHappened(2))
    assert log.last == 101
    assert told(log, 99, 2) == [(100, "something_happened", {"what": 1}), (101, "something_happened", {"what": 2})]
    assert told(log, 100, 1) == [(101, "something_happened", {"what": 2})]


def test_who_was_too_slow_is_told_and_goes_on_with_what_is_new() -> None:
    log = EventLog(keep=3)

    async def follow() -> list[tuple[int, str]]:
        heard: list[tuple[int, str]] = []
        log.add(SomethingHappened(0))
        async for entry in log.follow(0, quiet_s=5):
            assert not isinstance(entry, str)
            heard.append((entry.number, entry.name))
            if len(heard) == 1:
                for number in range(10):  # while it looks elsewhere
                    log.add(SomethingHappened(number))
            elif len(heard) == 2:
                log.add(SomethingHappened(99))
            else:
                break
        return heard

    assert asyncio.run(follow()) == [(1, "something_happened"), (11, "missed"), (12, "something_happened")]


def test_numbers_of_another_log_are_missed() -> None:
    log = EventLog(first=1000)
    assert told(log, 5, 1) == [(999, "missed", {})]
    assert told(log, 2000, 1) == [(999, "missed", {})]


def test_a_closed_log_tells_what_it_has_and_ends() -> None:
    log = EventLog()
    log.add(SomethingHappened(1))
    log.close()
    assert told(log, 0, 10) == [(1, "something_happened", {"what": 1})]


def test_who_follows_no_more_is_forgotten() -> None:
    log = EventLog()
    log.add(SomethingHappened(1))
    told(log, 0, 1)
    assert not log._waiting
    log.add(SomethingHappened(2))
