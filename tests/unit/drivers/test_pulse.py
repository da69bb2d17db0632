from __future__ import annotations

import threading
import time

import pytest

from focusrail_drivers.clock import SystemClock
from focusrail_drivers.pulse import BEAT_S, OwnerThread, when_done

LONG_S = 2.2 * BEAT_S


@pytest.fixture
def thread():
    with OwnerThread("device") as thread:
        yield thread


def silence_s(thread, work, *, during_s):
    """How long it was not heard of, at most, while it worked."""
    working, end_s, longest_s = thread.submit(work), time.monotonic() + during_s, 0.0
    while time.monotonic() < end_s:
        longest_s = max(longest_s, time.monotonic() - thread.pulse.last_s())
        time.sleep(0.02)
    return longest_s, working


def test_who_waits_by_the_clock_lives_and_who_hangs_does_not(thread):
    longest_s, waiting = silence_s(thread, lambda: SystemClock().wait(LONG_S), during_s=LONG_S)
    waiting.result()
    assert longest_s < LONG_S - 0.2
    over = threading.Event()
    longest_s, _ = silence_s(thread, over.wait, during_s=LONG_S)
    over.set()
    assert longest_s > LONG_S - 0.2


def test_an_idle_thread_answers_and_one_at_work_does_not_until_it_is_done(thread):
    thread.submit(time.sleep, 0).result()
    asked_s = time.monotonic()
    thread.ask()
    thread.submit(time.sleep, 0).result()
    assert thread.pulse.last_s() >= asked_s
    over = threading.Event()
    thread.submit(over.wait)
    asked_s = time.monotonic()
    thread.ask()
    assert thread.pulse.last_s() < asked_s
    over.set()


def test_a_silence_that_is_announced_is_no_sign_of_death_until_it_is_over(thread):
    with thread.pulse.silent_for(0.05):
        assert time.monotonic() - thread.pulse.last_s() < 0.05
        time.sleep(0.2)
        assert time.monotonic() - thread.pulse.last_s() > 0.1


def test_who_waits_for_a_thread_lives_as_long_as_that_one(thread):
    with OwnerThread("device's") as helper:
        over = threading.Event()
        working = helper.submit(over.wait)
        longest_s, waiting = silence_s(thread, lambda: when_done(working, by=helper.pulse), during_s=LONG_S)
        over.set()
        waiting.result()
    assert longest_s > LONG_S - 0.2
