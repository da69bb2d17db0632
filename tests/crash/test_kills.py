"""Shoots that are killed at random moments, over and over, come to the result of one that nobody killed.

FOCUSRAIL_KILLS says how often (`make kills`: 3,000 times), FOCUSRAIL_LANES how many are shot at once, FOCUSRAIL_KILLS_S
when it is enough. What fails names its seed, and FOCUSRAIL_SEED runs that one again: the same kills, at the same
moments as far as the machine allows.
"""

from __future__ import annotations

import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from peers.killed import Lane, Tally

KILLS = int(os.environ.get("FOCUSRAIL_KILLS", "40"))
LANES = int(os.environ.get("FOCUSRAIL_LANES", "2"))
ONLY = os.environ.get("FOCUSRAIL_SEED")
UNTIL_S = float(os.environ.get("FOCUSRAIL_KILLS_S", "inf"))  # no shoot begins after that
_ROUNDS = 50  # in one home


@pytest.mark.timeout(120 + 20 * KILLS)
def test_whatever_is_killed_and_when_no_frame_is_lost_nothing_is_torn_and_the_result_is_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began_s = time.monotonic()
    seeds = count() if ONLY is None else iter([int(ONLY)])

    def one_after_the_other(lane_number: int, wanted: int) -> Tally:
        all_told = Tally()
        for home in count():
            lane = Lane(tmp_path / f"lane-{lane_number}-{home}")
            try:
                for _ in range(_ROUNDS):
                    done = all_told.total + lane.tally.total
                    seed = next(seeds, None)
                    if seed is None or done >= wanted or time.monotonic() - began_s > UNTIL_S:
                        return all_told + lane.tally
                    lane.round(seed)
            finally:
                lane.close()
            all_told += lane.tally
            with capsys.disabled():
                print(f"\nlane {lane_number}, {time.monotonic() - began_s:.0f} s: {all_told}", flush=True)  # noqa: T201
        raise AssertionError("not reached")

    lanes = LANES if ONLY is None else 1
    with ThreadPoolExecutor(lanes) as executor:
        tallies = list(executor.map(one_after_the_other, range(lanes), [-(-KILLS // lanes)] * lanes))
    told = sum(tallies[1:], start=tallies[0])
    with capsys.disabled():
        print(f"\n{told}, in {time.monotonic() - began_s:.0f} s", flush=True)  # noqa: T201
    if ONLY is None and math.isinf(UNTIL_S):
        assert told.total >= KILLS
        assert {"while shooting", "while merging", "of the stacking process"} <= set(told.kills), "some were missed"
