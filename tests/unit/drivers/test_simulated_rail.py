from __future__ import annotations

import threading

import pytest

from focusrail_drivers.base import (
    ConnectionLost,
    DeviceTimeout,
    Halted,
    OutOfTravel,
    PositionUnknown,
    Rail,
    TrueCarriage,
)
from focusrail_drivers.clock import SystemClock, VirtualClock
from focusrail_drivers.rails.simulated import SimulatedRail

Options = SimulatedRail.Options
LONG_S = 10.0  # longer than any vibration


def homed(options: Options | None = None) -> tuple[SimulatedRail, VirtualClock]:
    clock = VirtualClock()
    rail = SimulatedRail(options or Options(), clock)
    rail.open()
    rail.home()
    return rail, clock


def true_after(rail: SimulatedRail, clock: VirtualClock, position_mm: float) -> float:
    rail.move_to(position_mm)
    clock.wait(LONG_S)
    return rail.true_position_mm()


def test_it_is_a_rail_that_knows_the_truth() -> None:
    rail: Rail = homed()[0]
    assert isinstance(rail, TrueCarriage)


def test_an_unhomed_rail_refuses_to_move_and_stays_where_it_is() -> None:
    clock = VirtualClock()
    rail = SimulatedRail(Options(start_mm=8.0), clock)
    rail.open()
    assert rail.status().position_mm is None
    with pytest.raises(PositionUnknown, match="home it before moving to 12 mm"):
        rail.move_to(12.0)
    assert rail.true_position_mm() == 8.0
    assert clock.monotonic_s() == 0


def test_a_rail_that_is_not_open_refuses_to_move() -> None:
    rail, _ = homed()
    rail.close()
    rail.close()
    with pytest.raises(ConnectionLost):
        rail.move_to(1.0)
    rail.halt()


@pytest.mark.parametrize("position_mm", [-0.001, 60.001, 1e9, float("nan"), float("inf")])
def test_a_target_outside_the_travel_is_refused_and_nothing_moves(position_mm: float) -> None:
    rail, clock = homed()
    before_s = clock.monotonic_s()
    with pytest.raises(OutOfTravel, match="0 to 60 mm"):
        rail.move_to(position_mm)
    assert (rail.status().position_mm, clock.monotonic_s()) == (0.0, before_s)


def test_homing_takes_time_and_leaves_carriage_and_count_agreeing() -> None:
    rail, clock = homed(Options(start_mm=30.0, max_speed_mm_s=5.0))
    assert clock.monotonic_s() > 30.0 / 5.0
    clock.wait(LONG_S)
    assert rail.status().position_mm == 0.0
    assert rail.true_position_mm() == 0.0


def test_a_long_move_takes_the_time_of_its_trapezoid() -> None:
    rail, clock = homed(Options(max_speed_mm_s=5.0, acceleration_mm_s2=40.0))
    before_s = clock.monotonic_s()
    rail.move_to(20.0)
    assert clock.monotonic_s() - before_s == pytest.approx(20.0 / 5.0 + 5.0 / 40.0)


def test_a_short_move_never_reaches_full_speed() -> None:
    rail, clock = homed(Options(max_speed_mm_s=5.0, acceleration_mm_s2=40.0))
    before_s = clock.monotonic_s()
    rail.move_to(0.1)
    assert clock.monotonic_s() - before_s == pytest.approx(2 * (0.1 / 40.0) ** 0.5)


def test_approached_from_below_the_carriage_stands_where_the_rail_says() -> None:
    rail, clock = homed(Options(backlash_mm=0.06))
    for position_mm in (10.0, 10.5, 11.0):
        assert true_after(rail, clock, position_mm) == pytest.approx(position_mm, abs=1e-9)


def test_after_a_reversal_the_carriage_trails_by_the_backlash() -> None:
    rail, clock = homed(Options(backlash_mm=0.06))
    true_after(rail, clock, 12.0)
    assert true_after(rail, clock, 11.0) == pytest.approx(11.06)
    assert rail.status().position_mm == 11.0


def test_a_reversal_smaller_than_the_backlash_moves_nothing() -> None:
    rail, clock = homed(Options(backlash_mm=0.06))
    true_after(rail, clock, 12.0)
    assert true_after(rail, clock, 11.95) == pytest.approx(12.0)


def test_backing_off_further_than_the_play_and_coming_up_again_finds_the_same_place() -> None:
    rail, clock = homed(Options(backlash_mm=0.06))
    first_mm = true_after(rail, clock, 12.0)
    true_after(rail, clock, 11.9)
    assert true_after(rail, clock, 12.0) == first_mm


def test_positions_are_rounded_to_steps_from_the_origin() -> None:
    rail, _ = homed(Options(steps_per_mm=300.0))
    reached = [rail.move_to(0.01 * number) for number in range(1, 1001)]
    assert reached == [round(0.01 * number * 300) / 300 for number in range(1, 1001)]
    assert rail.resolution_mm == 1 / 300


def test_the_carriage_shakes_after_a_stop_and_then_stands_exactly_still() -> None:
    rail, clock = homed(Options(vibration_decay_s=0.06, axial_vibration_um=2.0, lateral_vibration_um=8.0))
    rail.move_to(10.0)
    seen = []
    for _ in range(60):
        clock.wait(0.001)
        seen.append((rail.true_position_mm() - 10.0, *rail.lateral_mm()))
    axial, across, up = zip(*seen, strict=True)
    assert 0.001 < max(axial) <= 0.002
    assert 0.001 < max(across) < max(up) <= 0.008
    clock.wait(0.06 * 5)
    assert (rail.true_position_mm(), *rail.lateral_mm()) == (10.0, 0.0, 0.0)


def test_the_carriage_never_leaves_its_travel() -> None:
    rail, clock = homed(Options(max_mm=20.0, start_mm=0.0, lose_steps_at_move=1, lost_steps=3200, backlash_mm=0.1))
    true_after(rail, clock, 10.0)
    true_after(rail, clock, 5.0)  # stalls on its way down: the carriage is 2 mm further out than the rail says
    for position_mm in (20.0, 19.9, 20.0, 0.0):
        rail.move_to(position_mm)
        for _ in range(20):
            clock.wait(0.005)
            assert 0.0 <= rail.true_position_mm() <= 20.0


def test_lost_steps_displace_the_carriage_until_it_is_homed_again() -> None:
    rail, clock = homed(Options(steps_per_mm=1600.0, lose_steps_at_move=1, lost_steps=160))
    true_after(rail, clock, 10.0)
    assert true_after(rail, clock, 12.0) == pytest.approx(11.9)
    assert rail.status().position_mm == 12.0
    assert true_after(rail, clock, 14.0) == pytest.approx(13.9)
    rail.home()
    assert true_after(rail, clock, 14.0) == pytest.approx(14.0)


def test_a_reset_controller_does_not_move_before_homing() -> None:
    rail, clock = homed(Options(reset_at_move=1))
    rail.move_to(10.0)
    with pytest.raises(PositionUnknown, match="reset"):
        rail.move_to(20.0)
    clock.wait(LONG_S)
    stopped_mm = rail.true_position_mm()
    assert 10.0 < stopped_mm < 20.0
    with pytest.raises(PositionUnknown):
        rail.move_to(12.0)
    assert rail.true_position_mm() == stopped_mm
    rail.home()
    assert true_after(rail, clock, 12.0) == pytest.approx(12.0)


def test_a_missing_home_switch_is_a_timeout_and_the_position_stays_unknown() -> None:
    clock = VirtualClock()
    rail = SimulatedRail(Options(fail_home=True), clock)
    rail.open()
    with pytest.raises(DeviceTimeout, match="check the switch"):
        rail.home()
    assert rail.status().position_mm is None
    assert rail.true_position_mm() >= 0.0


def test_a_scattering_home_switch_is_seen_in_the_truth_only() -> None:
    rail, clock = homed(Options(home_repeatability_mm=0.01, seed=4))
    offsets = []
    for _ in range(4):
        rail.home()
        offsets.append(true_after(rail, clock, 10.0) - 10.0)
        assert rail.status().position_mm == 10.0
    assert len(set(offsets)) == 4
    assert max(abs(offset) for offset in offsets) < 0.05


def test_halting_from_another_thread_ends_a_move_at_once_and_says_where() -> None:
    rail = SimulatedRail(Options(homed=True, start_mm=0.0, max_speed_mm_s=2.0), SystemClock())
    rail.open()

    def halt_once_moving() -> None:
        while not rail.status().moving or rail.true_position_mm() < 0.02:
            pass
        rail.halt()
        rail.halt()

    watcher = threading.Thread(target=halt_once_moving)
    watcher.start()
    with pytest.raises(Halted) as caught:
        rail.move_to(60.0)  # would take half a minute
    watcher.join()
    assert caught.value.position_mm is not None
    assert 0.02 <= caught.value.position_mm < 5.0
    assert rail.status().position_mm == caught.value.position_mm
    assert not rail.status().moving


def test_a_halt_while_nothing_moves_does_not_spoil_the_next_move() -> None:
    rail, _ = homed()
    rail.halt()
    assert rail.move_to(3.0) == 3.0


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("max_mm", 0.0),
        ("start_mm", 61.0),
        ("steps_per_mm", 0.0),
        ("max_speed_mm_s", -1.0),
        ("acceleration_mm_s2", float("nan")),
        ("backlash_mm", -0.1),
        ("vibration_decay_s", 0.0),
        ("lost_steps", -1),
    ],
)
def test_a_wrong_option_is_refused_by_its_name(field: str, wrong: float) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        Options(**{field: wrong})  # type: ignore[arg-type]


def test_a_rail_that_was_left_in_good_order_is_taken_up_where_it_stands() -> None:
    clock = VirtualClock()
    rail = SimulatedRail(SimulatedRail.Options(), clock)
    rail.open()
    assert rail.believe(12.5)
    assert rail.status().position_mm == 12.5 == rail.true_position_mm()
    assert not rail.believe(13.0)  # it knows by now
    shorter = SimulatedRail(SimulatedRail.Options(max_mm=10.0), clock)
    shorter.open()
    assert not shorter.believe(12.5)
    assert shorter.status().position_mm is None
