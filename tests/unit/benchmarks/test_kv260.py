"""What the benchmarks show of the KV260 at length, here in short: every fault at every tile, and random tiles."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from benchmarks import kv260_contrast, kv260_faults, kv260_tiles
from focusrail_drivers.accelerators.kv260 import tiles

LIMIT = tiles.TileSize(64, 96)  # of which the frame is four
transports = pytest.mark.parametrize("transport", kv260_faults.TRANSPORTS)


@pytest.fixture
def overlay(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pynq's own, on a machine that is no board
        device = pytest.importorskip(
            "focusrail_drivers.accelerators.kv260_emulator.device", reason="needs pynq", exc_type=ImportError
        )
        device.install()
        return device.overlay_files(tmp_path)


@pytest.mark.usefixtures("overlay")
@transports
@pytest.mark.parametrize("case", kv260_faults.MENU, ids=str)
def test_after_every_fault_at_every_tile_the_scores_are_exact_or_the_board_is_given_up_in_time(case, transport):
    bench = kv260_faults.Bench(kv260_faults.picture(100, 170), 1, transport, LIMIT)
    assert bench.tiles == 4
    runs = [bench.run(case, tile) for tile in range(bench.tiles)]
    bench.close()
    assert all(run.passed for run in runs), runs


@pytest.mark.usefixtures("overlay")
@transports
def test_a_fault_between_both_passes_of_a_bracket_harms_neither(transport):
    bench = kv260_faults.Bench(kv260_faults.picture(100, 170), "bracket", transport, LIMIT)
    runs = [bench.run(case, tile) for case in kv260_faults.MENU[:4] for tile in range(bench.tiles)]
    bench.close()
    assert all(run.passed for run in runs), runs


@transports
@pytest.mark.parametrize("shift", kv260_tiles.SHIFTS)
def test_a_thousand_random_tiles_are_exact(overlay, shift, transport):
    assert kv260_tiles.worst(84, shift, transport, overlay=overlay, seed=7) == (0, 0)


def test_agreement_counts_the_first_of_equals_and_tells_ties():
    best, seen = (kv260_contrast.Winners((1, 4)) for _ in range(2))
    floats = np.array([[[1, 5, 2, 3]], [[2, 5, 9, 1]]], np.float32)
    coarse = np.array([[[1, 5, 4, 0]], [[1, 4, 4, 3]]], np.float32)
    for index in range(2):
        seen.add(coarse[index], index, best.add(floats[index], index))
    assert best.frame.tolist() == [[1, 0, 1, 0]] and seen.frame.tolist() == [[0, 0, 0, 1]]
    found = seen.against(best, np.ones((1, 4), bool))
    assert (found.same, found.among, found.ties) == (0.25, 0.75, 0.5)
