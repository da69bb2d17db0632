"""The prediction's arithmetic, and that it says what it is."""

from __future__ import annotations

import pytest

from focusrail_drivers.accelerators.kv260.prediction import Assumptions, frame_clocks, predict, tile_count

MP_12, MP_24 = (3000, 4000), (4000, 6000)


def test_a_full_tile_takes_seven_milliseconds_in_the_logic() -> None:
    assert frame_clocks(1080, 1920) == 1085 * 1937
    assert predict((1, 1)).logic_ms == pytest.approx(7.006, abs=0.001)


@pytest.mark.parametrize(("frame", "tiles"), [(MP_12, 9), (MP_24, 16), ((1064, 1904), 1), ((1065, 1904), 2)])
def test_tiles_cover_the_frame_without_their_halos(frame: tuple[int, int], tiles: int) -> None:
    assert tile_count(frame, (1080, 1920), 8) == tiles


def test_a_tile_that_is_all_halo_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing left"):
        tile_count((100, 100), (16, 64), 8)


def test_the_terms_add_up_where_nothing_overlaps() -> None:
    for frame in (MP_12, MP_24):
        found = predict(frame)
        assert found.total_ms == pytest.approx(max(found.logic_ms, found.memory_ms) + found.processor_ms)
        assert found.dominant == "processor"
    assert predict(MP_12).total_ms == pytest.approx(9 * (7.0056 + 25), rel=1e-4)


def test_memory_is_the_streams_and_the_processors_bytes() -> None:
    pixels = 1080 * 1920
    assert predict((1, 1)).memory_ms == pytest.approx(1e3 * pixels * (2 * 3 + 12) / 10e9)
    slow = Assumptions(port_bytes_per_s=1e8)
    assert predict((1, 1), slow).memory_ms == pytest.approx(1e3 * pixels * 3 / 1e8)
    assert predict((1, 1), slow).dominant == "memory"


def test_overlapping_hides_the_shorter_term_but_for_the_first_tile() -> None:
    found = predict(MP_12, Assumptions(overlapped=True))
    assert found.total_ms == pytest.approx(9 * 25 + 7.0056, rel=1e-4)


def test_a_bracket_and_stale_frames_cost_the_logic_only() -> None:
    one, many = predict(MP_24), predict(MP_24, Assumptions(passes=2, frames_per_pass=3))
    assert many.logic_ms == pytest.approx(6 * one.logic_ms)
    assert many.processor_ms == one.processor_ms
    assert many.dominant == "logic"


def test_the_processors_cost_is_a_parameter() -> None:
    assert predict(MP_12, Assumptions(processor_ms_per_tile=1)).dominant == "logic"


def test_a_prediction_says_that_it_is_one() -> None:
    said = str(predict(MP_24))
    assert said.startswith("prediction, not a measurement")
    assert "24.0 MP" in said and "16 tiles" in said and "the processor dominates" in said
