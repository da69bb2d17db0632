from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focusrail.capture.carriage import Approach, Carriage
from focusrail_drivers.base import DriverError, Halted, OutOfTravel, PositionUnknown, Travel
from focusrail_drivers.clock import SystemClock, VirtualClock
from focusrail_drivers.rails.simulated import SimulatedRail

LONG_S = 10.0  # longer than any vibration
HIDDEN_MM = 0.06  # the simulated screw's play


def rig(
    *, approach: Approach | None = None, soft: Travel | None = None, clock: VirtualClock | None = None, **options
) -> tuple[Carriage, SimulatedRail, VirtualClock]:
    clock = clock or VirtualClock()
    rail = SimulatedRail(SimulatedRail.Options(backlash_mm=HIDDEN_MM, **options), clock)
    rail.open()
    carriage = Carriage(rail, clock, approach=approach or Approach(backlash_mm=0.1), soft_limits=soft)
    carriage.home()
    return carriage, rail, clock


def true_error_mm(rail: SimulatedRail, clock: VirtualClock, reached_mm: float) -> float:
    clock.wait(LONG_S)
    return rail.true_position_mm() - reached_mm


@settings(deadline=None)
@given(
    targets=st.lists(st.floats(0.5, 59.5), min_size=1, max_size=12),
    detours=st.lists(st.floats(0, 60), max_size=12),
    margin_mm=st.sampled_from([HIDDEN_MM, 0.1, 0.4]),
)
def test_play_never_shows_whatever_the_order_of_the_frames(
    targets: list[float], detours: list[float], margin_mm: float
) -> None:
    carriage, rail, clock = rig(approach=Approach(backlash_mm=margin_mm))
    for k, target in enumerate(targets):
        if k < len(detours):
            carriage.go_to(detours[k])
        reached = carriage.move_to(target)
        assert reached == pytest.approx(target, abs=carriage.resolution_mm / 2 + 1e-9)
        assert true_error_mm(rail, clock, reached) == pytest.approx(0, abs=1e-9)


@settings(deadline=None)
@given(targets=st.lists(st.floats(0.5, 59.5), min_size=1, max_size=12))
def test_approached_from_beyond_every_frame_is_off_by_the_same_amount(targets: list[float]) -> None:
    carriage, rail, clock = rig(approach=Approach(backlash_mm=0.1, forward=False))
    for target in targets:
        reached = carriage.move_to(target)
        assert true_error_mm(rail, clock, reached) == pytest.approx(HIDDEN_MM, abs=1e-9)


def test_without_taking_it_up_play_would_show() -> None:
    carriage, rail, clock = rig(approach=Approach(backlash_mm=0.0))
    carriage.move_to(20.0)
    assert true_error_mm(rail, clock, carriage.move_to(10.0)) == pytest.approx(HIDDEN_MM)


def test_a_stack_in_the_approachs_direction_runs_up_only_once() -> None:
    carriage, _, clock = rig(max_speed_mm_s=1.0)
    carriage.move_to(10.0)
    began = clock.monotonic_s()
    carriage.move_to(10.01)
    assert clock.monotonic_s() - began < 0.1


wild = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-1, 61),
    st.sampled_from([0.0, -0.0, 60.0, 60.0001, -1e-12, 1e308, -1e308, 0.1, 59.9]),
)


@settings(deadline=None)
@given(
    moves=st.lists(st.tuples(st.sampled_from(["move", "go", "halt", "release", "home"]), wild), max_size=25),
    soft=st.sampled_from([None, Travel(5, 40), Travel(-100, 100), Travel(0.5, 59.5)]),
    forward=st.booleans(),
)
def test_whatever_is_asked_the_rail_never_leaves_its_travel(
    moves: list[tuple[str, float]], soft: Travel | None, forward: bool
) -> None:
    carriage, rail, clock = rig(soft=soft, approach=Approach(backlash_mm=0.1, forward=forward))
    allowed = carriage.travel
    low, high = rail.travel.min_mm, rail.travel.max_mm
    for what, position_mm in moves:
        before_mm, before_s = rail.true_position_mm(), clock.monotonic_s()
        try:
            if what == "halt":
                carriage.halt()
            elif what == "release":
                carriage.release()
            elif what == "home":
                carriage.home()
            else:
                reached = (carriage.move_to if what == "move" else carriage.go_to)(position_mm)
                half = carriage.resolution_mm / 2
                assert allowed.min_mm - half <= reached <= allowed.max_mm + half
        except OutOfTravel:
            assert (rail.true_position_mm(), clock.monotonic_s()) == (before_mm, before_s), "nothing has moved"
        except Halted:
            pass
        assert low <= rail.true_position_mm() <= high


@pytest.mark.parametrize("position_mm", [float("nan"), float("inf"), -float("inf"), 1e300, 60.1, 39.95])
def test_a_frame_that_cannot_be_approached_is_refused_before_anything_moves(position_mm: float) -> None:
    carriage, _, clock = rig(soft=Travel(5, 40), approach=Approach(backlash_mm=0.1, forward=False))
    before_s = clock.monotonic_s()
    with pytest.raises(OutOfTravel, match="travel of 5 to 40 mm"):
        carriage.move_to(position_mm)
    assert clock.monotonic_s() == before_s


def test_a_frame_too_near_home_names_where_it_would_be_approached_from() -> None:
    carriage, _, _ = rig()
    with pytest.raises(OutOfTravel, match=r"must come from -0.0500 mm"):
        carriage.move_to(0.05)
    assert carriage.go_to(0.05) == pytest.approx(0.05)


def test_soft_limits_narrow_and_never_widen() -> None:
    assert rig(soft=Travel(5, 40))[0].travel == Travel(5, 40)
    assert rig(soft=Travel(-50, 500))[0].travel == Travel(0, 60)


def test_soft_limits_beside_the_rail_leave_nowhere_to_go() -> None:
    carriage, _, _ = rig(soft=Travel(70, 80))
    with pytest.raises(OutOfTravel, match="70 to 80 mm"):
        carriage.move_to(30)


def test_where_the_position_is_unknown_nothing_moves() -> None:
    clock = VirtualClock()
    rail = SimulatedRail(SimulatedRail.Options(start_mm=8.0), clock)
    rail.open()
    carriage = Carriage(rail, clock, approach=Approach(backlash_mm=0.1))
    for call in (carriage.move_to, carriage.go_to):
        with pytest.raises(PositionUnknown):
            call(10.0)
    with pytest.raises(PositionUnknown, match="focusrail rail home"):
        carriage.position_mm()
    assert rail.true_position_mm() == 8.0
    assert clock.monotonic_s() == 0


def test_after_the_controller_was_reset_nothing_moves_before_home() -> None:
    carriage, rail, clock = rig(reset_at_move=1)
    with pytest.raises(PositionUnknown):
        carriage.move_to(10.0)
    stands_mm = rail.true_position_mm()
    with pytest.raises(PositionUnknown):
        carriage.move_to(20.0)
    assert rail.true_position_mm() == pytest.approx(stands_mm, abs=0.01)
    carriage.home()
    assert true_error_mm(rail, clock, carriage.move_to(10.0)) == pytest.approx(0, abs=1e-9)


class HaltingClock(VirtualClock):
    """Calls for a halt at the end of one of its waits: between two moves, where it is easily lost."""

    def __init__(self) -> None:
        super().__init__()
        self.waits_left = -1
        self.call = lambda: None

    def wait(self, duration_s: float, until: threading.Event | None = None) -> bool:
        halted = super().wait(duration_s, until)
        self.waits_left -= 1
        if self.waits_left == 0:
            self.call()
        return halted


def test_a_halt_between_run_up_and_approach_is_not_lost() -> None:
    clock = HaltingClock()
    carriage, rail, _ = rig(clock=clock)
    clock.call = carriage.halt
    carriage.move_to(30.0)
    clock.waits_left = 1
    with pytest.raises(Halted):
        carriage.move_to(10.0)
    clock.wait(LONG_S)
    assert rail.status().position_mm == pytest.approx(9.9)
    assert not rail.status().moving


def test_halted_the_carriage_stays_until_it_is_released() -> None:
    carriage, rail, clock = rig()
    carriage.move_to(10.0)
    for _ in range(3):
        carriage.halt()
    for call in (carriage.move_to, carriage.go_to):
        with pytest.raises(Halted, match="has not begun"):
            call(20.0)
    with pytest.raises(Halted):
        carriage.settle(1.0)
    assert carriage.position_mm() == 10.0
    carriage.release()
    assert true_error_mm(rail, clock, carriage.move_to(5.0)) == pytest.approx(0, abs=1e-9)


def test_a_halt_from_another_thread_stops_a_move_under_way() -> None:
    clock = SystemClock()
    rail = SimulatedRail(SimulatedRail.Options(homed=True, start_mm=1.0, max_speed_mm_s=2.0), clock)
    rail.open()
    carriage = Carriage(rail, clock, approach=Approach(backlash_mm=0.1))
    moving = threading.Event()

    def stop() -> None:
        while not rail.status().moving:
            moving.wait(0.001)
        carriage.halt()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(Halted) as caught:
        carriage.move_to(50.0)
    thread.join()
    assert caught.value.position_mm is not None
    assert 1.0 <= caught.value.position_mm < 10.0
    assert not rail.status().moving


def test_a_halt_that_the_rail_forgets_as_its_move_begins_is_repeated() -> None:
    clock = SystemClock()
    rail = SimulatedRail(SimulatedRail.Options(homed=True, start_mm=1.0, max_speed_mm_s=2.0), clock)
    rail.open()
    carriage = Carriage(rail, clock, approach=Approach(backlash_mm=0.1))
    halt, move_to, told, halts = rail.halt, rail.move_to, threading.Event(), [0]
    thread = threading.Thread(target=carriage.halt)

    def halt_and_tell() -> None:
        halts[0] += 1
        halt()
        told.set()

    def move_just_after_a_halt(position_mm: float) -> float:
        thread.start()
        assert told.wait(5)
        return move_to(position_mm)  # which forgets the halt

    rail.halt, rail.move_to = halt_and_tell, move_just_after_a_halt  # type: ignore[method-assign]
    with pytest.raises(Halted) as caught:
        carriage.go_to(50.0)
    thread.join()
    assert caught.value.position_mm is not None
    assert caught.value.position_mm < 10.0
    assert halts[0] == 2
    assert not rail.status().moving


def test_after_a_halt_backlash_is_taken_up_anew() -> None:
    clock = HaltingClock()
    carriage, rail, _ = rig(clock=clock)
    carriage.move_to(30.0)
    clock.call = carriage.halt
    clock.waits_left = 1
    with pytest.raises(Halted):
        carriage.move_to(10.0)
    carriage.release()
    assert true_error_mm(rail, clock, carriage.move_to(9.95)) == pytest.approx(0, abs=1e-9)


def test_settling_waits_as_long_as_it_is_told() -> None:
    carriage, _, clock = rig(approach=Approach(backlash_mm=0.1, settle_s=0.7))
    before_s = clock.monotonic_s()
    carriage.settle()
    assert clock.monotonic_s() - before_s == pytest.approx(0.7)
    carriage.settle(0.0)
    assert clock.monotonic_s() - before_s == pytest.approx(0.7)


def test_a_missing_home_switch_leaves_the_position_unknown() -> None:
    clock = VirtualClock()
    rail = SimulatedRail(SimulatedRail.Options(fail_home=True), clock)
    rail.open()
    carriage = Carriage(rail, clock, approach=Approach(backlash_mm=0.1))
    with pytest.raises(DriverError):
        carriage.home()
    with pytest.raises(PositionUnknown):
        carriage.move_to(10.0)
