"""Every fault of the emulated KV260 at every tile of a small frame; benchmarks/kv260_faults.py does large ones."""

from __future__ import annotations

import warnings

import pytest

from benchmarks import kv260_faults
from focusrail_drivers.accelerators.kv260 import tiles

LIMIT = tiles.TileSize(64, 96)  # of which the frame is four


@pytest.fixture
def pynq() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pynq's own, on a machine that is no board
        pytest.importorskip("pynq", exc_type=ImportError)


@pytest.mark.usefixtures("pynq")
@pytest.mark.parametrize("transport", kv260_faults.TRANSPORTS)
@pytest.mark.parametrize("case", kv260_faults.MENU, ids=str)
def test_after_every_fault_at_every_tile_the_scores_are_exact_or_the_board_is_given_up_in_time(case, transport):
    bench = kv260_faults.Bench(kv260_faults.picture(100, 170), 1, transport, LIMIT)
    assert bench.tiles == 4
    runs = [bench.run(case, tile) for tile in range(bench.tiles)]
    bench.close()
    assert all(run.passed for run in runs), runs


@pytest.mark.usefixtures("pynq")
@pytest.mark.parametrize("transport", kv260_faults.TRANSPORTS)
def test_a_fault_between_both_passes_of_a_bracket_harms_neither(transport):
    bench = kv260_faults.Bench(kv260_faults.picture(100, 170), "bracket", transport, LIMIT)
    runs = [bench.run(case, tile) for case in kv260_faults.MENU[:4] for tile in range(bench.tiles)]
    bench.close()
    assert all(run.passed for run in runs), runs
