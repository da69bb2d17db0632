from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from focusrail.capture.carriage import Approach, Carriage
from focusrail_drivers.base import (
    ConnectionLost,
    DeviceInUse,
    DeviceNotFound,
    DeviceTimeout,
    DriverError,
    Halted,
    OutOfTravel,
    PositionUnknown,
    ProtocolError,
    RailStatus,
)
from focusrail_drivers.clock import SystemClock
from focusrail_drivers.rails.grbl import GrblRail
from peers.grbl_peer import GrblPeer

STEP_MM = 1 / 3200

Submit = Callable[..., "Future[Any]"]


def make_rail(peer: GrblPeer, **options: Any) -> GrblRail:
    given = {
        "port": peer.port, "travel_max_mm": 55.0, "feed_mm_min": 600.0, "banner_wait_s": 0.05, "answer_timeout_s": 0.5
    }  # fmt: skip
    return GrblRail(GrblRail.Options(**{**given, **options}), SystemClock())


@pytest.fixture
def peer() -> Iterator[GrblPeer]:
    with GrblPeer() as peer:
        yield peer


@pytest.fixture
def rail(peer: GrblPeer) -> Iterator[GrblRail]:
    """Open and homed."""
    rail = make_rail(peer)
    rail.open()
    rail.home()
    yield rail
    rail.close()


@pytest.fixture
def owner() -> Iterator[Submit]:
    """Runs a call in the thread that owns the rail, while the test does something else."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


def place(peer: GrblPeer) -> float:
    """Where the carriage truly is, from rail zero."""
    return peer.carriage_mm - peer.homed_mm


# --- opening ----------------------------------------------------------------------------------------------------------


def test_opening_names_the_controller_and_moves_nothing(peer: GrblPeer) -> None:
    rail = make_rail(peer)
    assert rail.open() == f"GRBL 1.1h at {peer.port}, axis Z, 3200 steps/mm"
    assert rail.resolution_mm == pytest.approx(STEP_MM)
    assert peer.carriage_mm == 8.0
    rail.close()


def test_opening_waits_for_a_controller_that_it_has_reset() -> None:
    with GrblPeer(reset_on_open_s=0.2) as peer:
        rail = make_rail(peer, banner_wait_s=2.0)
        assert "1.1h" in rail.open()
        assert 0x18 not in peer.realtime
        rail.close()


def test_grblhal_is_known_by_name_and_its_extra_settings_do_no_harm() -> None:
    with GrblPeer(hal=True) as peer:
        rail = make_rail(peer)
        assert rail.open().startswith("grblHAL 1.1f at ")
        rail.home()
        assert rail.move_to(5.0) == pytest.approx(5.0)
        rail.close()


def test_what_does_not_answer_is_not_taken_for_grbl(peer: GrblPeer) -> None:
    peer.stalled = True
    with pytest.raises(DeviceNotFound, match="answers like GRBL"):
        make_rail(peer, answer_timeout_s=0.1).open()


def test_a_port_in_use_is_said_to_be_in_use(peer: GrblPeer, rail: GrblRail) -> None:
    with pytest.raises(DeviceInUse):
        make_rail(peer).open()


def test_half_a_line_of_a_stranger_is_not_executed_with_ours(peer: GrblPeer) -> None:
    peer.state = "Idle"
    peer._take(b"G91 G1 Z5 F600")
    rail = make_rail(peer)
    rail.open()
    assert peer.lines == ["$I", "$$"]
    rail.close()


def test_a_motor_that_is_released_between_moves_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with GrblPeer({1: 25}) as peer:
        rail = make_rail(peer)
        assert "$1 is not 255" in rail.open()
        assert "$1 is not 255" in caplog.text
        rail.close()


def test_a_controller_that_reports_inches_is_refused() -> None:
    with GrblPeer({13: 1}) as peer, pytest.raises(DriverError, match=r"\$13=0"):
        make_rail(peer).open()


def test_the_travel_ends_where_the_controller_would_lock_itself(peer: GrblPeer) -> None:
    rail = make_rail(peer, travel_max_mm=95.0)
    assert "soft limits narrow the travel" in rail.open()
    rail.home()
    assert rail.travel.max_mm == pytest.approx(59 - STEP_MM)
    assert rail.move_to(rail.travel.max_mm) == pytest.approx(rail.travel.max_mm)
    with pytest.raises(OutOfTravel):
        rail.move_to(59.1)
    rail.close()


def test_a_controller_found_moving_is_stopped() -> None:
    with GrblPeer({22: 0, 20: 0}) as peer:
        peer._execute("G1Z50F60")
        peer.wait_until(lambda peer: peer.moving)
        rail = make_rail(peer, homing="none")
        rail.open()
        assert not peer.moving
        with pytest.raises(PositionUnknown):
            rail.move_to(1.0)
        rail.close()


def test_a_controller_silent_after_a_limit_alarm_is_brought_back(peer: GrblPeer) -> None:
    peer._alarm(1)
    rail = make_rail(peer)
    rail.open()
    assert rail.home() == 0.0
    rail.close()


# --- where things are -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin_at_switch", [False, True])
@pytest.mark.parametrize("homing_direction", [0, 4])
@pytest.mark.parametrize("report", [0, 1, 3])
def test_rail_positions_are_distances_from_home_however_the_machine_counts(
    homing_direction: int, origin_at_switch: bool, report: int
) -> None:
    settings = {23: homing_direction, 10: report}
    with GrblPeer(settings, origin_at_switch=origin_at_switch, work_offset_mm=-7.25) as peer:
        rail = make_rail(peer)
        rail.open()
        rail.home()
        assert rail.status() == RailStatus(0.0, moving=False, detail="Idle")
        for target_mm in (12.5, 3.0, 40.0):
            assert rail.move_to(target_mm) == pytest.approx(target_mm, abs=STEP_MM / 2)
            assert place(peer) == pytest.approx(target_mm, abs=STEP_MM)
            assert rail.status().position_mm == pytest.approx(target_mm, abs=STEP_MM)
        rail.close()


def test_without_a_home_switch_the_present_place_becomes_zero() -> None:
    with GrblPeer({22: 0, 20: 0}, carriage_mm=30.0) as peer:
        rail = make_rail(peer, homing="none", travel_min_mm=-20.0)
        rail.open()
        with pytest.raises(PositionUnknown):
            rail.move_to(1.0)
        assert rail.home() == 0.0
        assert rail.move_to(-5.0) == pytest.approx(-5.0)
        assert rail.home() == 0.0
        here_mm = peer.machine_mm
        assert rail.move_to(2.0) == pytest.approx(2.0)
        assert peer.machine_mm - here_mm == pytest.approx(2.0, abs=STEP_MM)
        assert "$H" not in peer.lines
        rail.close()


def test_without_a_home_switch_a_locked_controller_is_unlocked_by_homing() -> None:
    with GrblPeer({20: 0}) as peer:
        rail = make_rail(peer, homing="none", direction="negative")
        rail.open()
        rail.home()
        rail.move_to(3.0)
        assert peer.machine_mm == pytest.approx(-3.0, abs=STEP_MM)
        rail.close()


def test_single_microsteps_are_told_apart(peer: GrblPeer, rail: GrblRail) -> None:
    rail.move_to(10.0)
    for step in range(1, 5):
        assert rail.move_to(10.0 + step * STEP_MM) == pytest.approx(10.0 + step * STEP_MM, abs=1e-6)
        assert place(peer) == pytest.approx(10.0 + step * STEP_MM, abs=STEP_MM / 4)


def test_modes_that_another_program_left_do_not_bend_a_move(peer: GrblPeer, rail: GrblRail) -> None:
    rail.move_to(5.0)
    peer._gcode("G20G91")
    assert rail.move_to(6.0) == pytest.approx(6.0)
    assert place(peer) == pytest.approx(6.0, abs=STEP_MM)


# --- motion -----------------------------------------------------------------------------------------------------------


def test_a_move_is_not_done_before_the_carriage_stands(peer: GrblPeer, rail: GrblRail) -> None:
    for target_mm in (20.0, 10.0, 10.01):
        rail.move_to(target_mm)
        assert not peer.moving
        assert place(peer) == pytest.approx(target_mm, abs=STEP_MM)


def test_idle_before_the_first_step_is_not_taken_for_arrival() -> None:
    with GrblPeer(hal=True, start_delay_s=0.2) as peer:
        rail = make_rail(peer)
        rail.open()
        rail.home()
        rail.move_to(10.0)
        assert place(peer) == pytest.approx(10.0, abs=STEP_MM)
        rail.close()


def test_a_move_that_ends_elsewhere_is_an_error_and_the_position_doubted(peer: GrblPeer, rail: GrblRail) -> None:
    peer.lose_moves = True
    with pytest.raises(ProtocolError, match="home again"):
        rail.move_to(10.0)
    with pytest.raises(PositionUnknown):
        rail.move_to(10.0)


def test_a_reply_torn_in_two_is_put_together(peer: GrblPeer, rail: GrblRail) -> None:
    peer.dribble = True
    assert rail.move_to(2.0) == pytest.approx(2.0)


def test_noise_on_the_line_does_not_stop_a_move(peer: GrblPeer, rail: GrblRail, owner: Submit) -> None:
    move = owner(rail.move_to, 50.0)
    peer.wait_until(lambda peer: peer.moving)
    peer.send(b"\xff\xfe<Ru\x00n|MPos\r\n[MSG:hello]\r\n<<|>>\r\nALARM:\r\n\x80\x81")
    assert move.result(5) == pytest.approx(50.0)


def test_out_of_travel_sends_nothing(peer: GrblPeer, rail: GrblRail) -> None:
    lines, realtime = list(peer.lines), bytes(peer.realtime)
    for target_mm in (-0.1, 55.1, float("nan"), float("inf")):
        with pytest.raises(OutOfTravel, match="nothing has moved"):
            rail.move_to(target_mm)
    assert (peer.lines, bytes(peer.realtime)) == (lines, realtime)


def test_a_soft_limit_of_the_controller_is_out_of_travel_and_keeps_the_position() -> None:
    with GrblPeer({23: 0}) as peer:
        rail = make_rail(peer)
        rail.open()
        rail.home()
        rail.move_to(5.0)
        peer.settings[132] = 40.0  # somebody changed it since
        with pytest.raises(OutOfTravel, match="ALARM:2"):
            rail.move_to(50.0)
        assert place(peer) == pytest.approx(5.0, abs=STEP_MM)
        assert rail.move_to(6.0) == pytest.approx(6.0)
        assert place(peer) == pytest.approx(6.0, abs=STEP_MM)
        rail.close()


def test_a_hard_limit_makes_the_position_unknown_until_homed() -> None:
    with GrblPeer({21: 1, 20: 0}) as peer:
        rail = make_rail(peer, travel_min_mm=-10.0)
        rail.open()
        rail.home()
        with pytest.raises(PositionUnknown, match="limit switch"):
            rail.move_to(-5.0)
        with pytest.raises(PositionUnknown):
            rail.move_to(1.0)
        rail.home()
        assert rail.move_to(1.0) == pytest.approx(1.0)
        rail.close()


# --- homing -----------------------------------------------------------------------------------------------------------


def test_nothing_moves_before_homing(peer: GrblPeer) -> None:
    rail = make_rail(peer)
    rail.open()
    with pytest.raises(PositionUnknown, match="home first"):
        rail.move_to(1.0)
    assert peer.moves == []
    rail.close()


def test_homing_that_finds_no_switch_says_so(peer: GrblPeer) -> None:
    peer.switch_works = False
    peer.speedup = 500
    rail = make_rail(peer)
    rail.open()
    with pytest.raises(PositionUnknown, match="switch was not found"):
        rail.home()
    assert rail.status().position_mm is None
    peer.switch_works = True
    assert rail.home() == 0.0
    rail.close()


def test_homing_switched_off_in_the_controller_is_explained() -> None:
    with GrblPeer({22: 0, 20: 0}) as peer:
        rail = make_rail(peer)
        assert "homing is off" in rail.open()
        with pytest.raises(DriverError, match=r"\$22=1"):
            rail.home()
        rail.close()


@pytest.mark.parametrize("hal", [False, True])
def test_halt_while_homing_stops_and_asks_for_homing_again(hal: bool, owner: Submit) -> None:
    with GrblPeer({25: 30}, hal=hal, carriage_mm=50.0) as peer:
        rail = make_rail(peer)
        rail.open()
        homing = owner(rail.home)
        peer.wait_until(lambda peer: peer.carriage_mm < 49.5)
        rail.halt()
        with pytest.raises(Halted) as caught:
            homing.result(5)
        assert caught.value.position_mm is None
        assert peer.state == "Alarm"
        assert peer.carriage_mm > 5
        with pytest.raises(PositionUnknown):
            rail.move_to(1.0)
        peer.settings[25] = 600
        assert rail.home() == 0.0
        rail.close()


def test_halt_just_before_homing_is_sent_stops_it(owner: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    with GrblPeer({25: 30}, carriage_mm=50.0) as peer:
        rail, clock = make_rail(peer, answer_timeout_s=3.0), SystemClock()
        rail.open()
        write_line = rail._line.write_line

        def halt_first(text: str) -> None:
            if text == "$H":
                rail.halt()
            write_line(text)

        monkeypatch.setattr(rail._line, "write_line", halt_first)
        began_s = clock.monotonic_s()
        with pytest.raises(Halted, match="while homing"):
            rail.home()
        assert clock.monotonic_s() - began_s < 1.0
        assert peer.state == "Alarm"
        assert peer.carriage_mm > 20
        rail.close()


def test_after_opening_the_position_is_unknown_even_if_the_controller_was_homed(peer: GrblPeer, rail: GrblRail) -> None:
    rail.move_to(5.0)
    rail.close()
    rail.open()
    assert rail.status().position_mm is None
    with pytest.raises(PositionUnknown):
        rail.move_to(5.0)


@pytest.mark.parametrize("homing_direction", [0, 4])
def test_a_controller_that_may_be_trusted_keeps_its_position_over_reopening(homing_direction: int) -> None:
    with GrblPeer({23: homing_direction}) as peer:
        rail = make_rail(peer, trust_position_on_open=True)
        rail.open()
        assert rail.status().position_mm is None  # it was switched on, and is locked
        rail.home()
        rail.move_to(5.0)
        rail.close()
        rail.open()
        assert rail.status().position_mm == pytest.approx(5.0, abs=0.001)
        rail.move_to(7.0)
        assert place(peer) == pytest.approx(7.0, abs=STEP_MM)
        rail.close()
        peer.hardware_reset()
        rail.open()
        with pytest.raises(PositionUnknown):
            rail.move_to(5.0)
        rail.close()


def left(rail: GrblRail) -> tuple[float, float]:
    """What is noted of a rail when it is let go of."""
    position_mm, zero_mm = rail.status().position_mm, rail.zero_mm
    rail.close()
    assert position_mm is not None
    assert zero_mm is not None
    return position_mm, zero_mm


def test_a_controller_that_still_counts_as_it_was_left_is_not_believed_unasked(peer: GrblPeer, rail: GrblRail) -> None:
    rail.move_to(5.0)
    note = left(rail)
    rail.open()
    assert not rail.confirm(*note)  # the motor may have been without power, and turned
    with pytest.raises(PositionUnknown):
        rail.move_to(7.0)


@pytest.mark.parametrize("homing_direction", [0, 4])
def test_a_trusted_controller_that_counts_otherwise_than_it_was_left_is_distrusted(homing_direction: int) -> None:
    with GrblPeer({23: homing_direction}) as peer:
        rail = make_rail(peer, trust_position_on_open=True)
        rail.open()
        rail.home()
        rail.move_to(5.0)
        position_mm, zero_mm = left(rail)
        rail.open()
        assert rail.confirm(position_mm, zero_mm)
        rail.move_to(7.0)
        assert place(peer) == pytest.approx(7.0, abs=STEP_MM)
        for note in ((6.0, zero_mm), (7.0, zero_mm + 1), (6.0, zero_mm + rail._axis.sign)):
            rail.close()
            rail.open()
            assert not rail.confirm(*note)
            assert rail.zero_mm is None
            with pytest.raises(PositionUnknown):
                rail.move_to(7.0)
        rail.close()
        peer.hardware_reset()
        rail.open()
        assert not rail.confirm(7.0, zero_mm)
        rail.close()


def test_without_a_home_switch_zero_is_kept_while_the_controller_counts_on() -> None:
    with GrblPeer({22: 0, 20: 0}, carriage_mm=30.0) as peer:
        rail = make_rail(peer, homing="none", trust_position_on_open=True)
        rail.open()
        assert not rail.finds_home
        rail.home()
        rail.move_to(4.0)
        rail.home()
        rail.move_to(5.0)
        note = left(rail)
        rail.open()
        assert rail.status().position_mm is None
        assert rail.confirm(*note)
        rail.move_to(7.0)
        assert peer.carriage_mm == pytest.approx(41.0, abs=2 * STEP_MM)
        note = left(rail)
        with peer._changed:
            peer._power_up()  # nobody listened when it said so
        rail.open()
        assert not rail.confirm(*note)
        with pytest.raises(PositionUnknown):
            rail.move_to(1.0)
        rail.close()


def test_grblhal_that_says_it_is_not_homed_is_not_trusted() -> None:
    with GrblPeer(hal=True) as peer:
        peer.state = "Idle"  # unlocked with $X after it was switched on
        rail = make_rail(peer, trust_position_on_open=True)
        rail.open()
        assert rail.status().position_mm is None
        rail.home()
        rail.close()
        rail.open()
        assert rail.status().position_mm == pytest.approx(0.0, abs=0.001)
        rail.close()


# --- resets and faults ------------------------------------------------------------------------------------------------


def test_a_reset_controller_does_not_move_before_homing(peer: GrblPeer, rail: GrblRail) -> None:
    rail.move_to(10.0)
    peer.hardware_reset()
    moves = list(peer.moves)
    with pytest.raises(PositionUnknown, match="was reset"):
        rail.move_to(12.0)
    assert rail.status().position_mm is None
    assert peer.moves == moves
    rail.home()
    assert rail.move_to(12.0) == pytest.approx(12.0)


def test_a_reset_controller_without_homing_lock_does_not_move_either() -> None:
    with GrblPeer({22: 0, 20: 0}) as peer:
        rail = make_rail(peer, homing="none")
        rail.open()
        rail.home()
        peer.hardware_reset()  # comes back Idle at 0, as if nothing were wrong
        assert rail.status().position_mm is None
        with pytest.raises(PositionUnknown):
            rail.move_to(1.0)
        rail.close()


def test_a_reset_just_before_a_move_is_sent_stops_it_even_without_a_homing_lock() -> None:
    with GrblPeer({22: 0, 20: 0}) as peer:
        rail = make_rail(peer, homing="none")
        rail.open()
        rail.home()
        rail.move_to(5.0)
        assert rail._link is not None
        link, checked = rail._link, rail._link.query

        def reset_after_the_check() -> Any:
            status = checked()
            peer.hardware_reset()
            assert rail._line._serial is not None
            select.select([rail._line._serial.fileno()], [], [], 2.0)
            return status

        link.query = reset_after_the_check  # type: ignore[method-assign, assignment]
        moves = list(peer.moves)
        with pytest.raises(PositionUnknown, match="was reset"):
            rail.move_to(6.0)
        assert peer.moves == moves
        rail.close()


@pytest.mark.parametrize("asked_between", [False, True])
def test_a_reset_whose_banner_is_lost_in_noise_is_noticed_by_where_the_controller_counts(asked_between: bool) -> None:
    with GrblPeer({22: 0, 20: 0}, carriage_mm=30.0) as peer:
        rail = make_rail(peer, homing="none", travel_max_mm=25.0)
        rail.open()
        rail.home()
        rail.move_to(20.0)
        moves = list(peer.moves)
        with peer._changed:
            peer._power_up()
        peer.send(b"\x00\xffGr\xffl 1.1h ['$' for help]\r\n")
        if asked_between:
            assert rail.status().position_mm is None
        with pytest.raises(PositionUnknown, match="left at 20"):
            rail.move_to(21.0)
        with pytest.raises(PositionUnknown):
            rail.move_to(1.0)
        assert peer.moves == moves
        rail.home()
        assert rail.move_to(1.0) == pytest.approx(1.0)
        rail.close()


@pytest.mark.parametrize("homing", [0, 1])
def test_a_reset_in_the_middle_of_a_move_is_not_an_arrival(homing: int, owner: Submit) -> None:
    with GrblPeer({22: homing, 20: 0}) as peer:
        rail = make_rail(peer, homing="switch" if homing else "none")
        rail.open()
        rail.home()
        move = owner(rail.move_to, 50.0)
        peer.wait_until(lambda peer: peer.moving)
        peer.hardware_reset()
        with pytest.raises(PositionUnknown, match="home again"):
            move.result(5)
        with pytest.raises(PositionUnknown):
            rail.move_to(1.0)
        rail.close()


def test_an_unplugged_cable_is_a_lost_connection_and_not_a_hang(peer: GrblPeer, rail: GrblRail, owner: Submit) -> None:
    move = owner(rail.move_to, 50.0)
    peer.wait_until(lambda peer: peer.moving)
    peer.unplug()
    with pytest.raises(ConnectionLost, match="check cable and power"):
        move.result(5)
    rail.halt()
    status = rail.status()
    assert (status.position_mm, status.moving) == (None, False)
    assert "lost" in status.detail
    with pytest.raises(ConnectionLost):
        rail.move_to(1.0)
    rail.close()
    with pytest.raises(DeviceNotFound):
        rail.open()


def test_a_controller_that_hangs_in_a_move_is_noticed_before_the_move_should_end(
    peer: GrblPeer, rail: GrblRail, owner: Submit
) -> None:
    move = owner(rail.move_to, 50.0)  # allowed more than 12 s
    peer.wait_until(lambda peer: peer.moving)
    peer.stalled = True
    with pytest.raises(DeviceTimeout, match="silent"):
        move.result(5)
    peer.stalled = False
    with pytest.raises((PositionUnknown, DeviceTimeout)):
        rail.move_to(1.0)
    rail.home()
    assert rail.move_to(1.0) == pytest.approx(1.0)


def test_a_late_answer_is_not_taken_for_the_next_lines(peer: GrblPeer, rail: GrblRail) -> None:
    peer.drop_ok_to = "G21"
    with pytest.raises(DeviceTimeout, match="did not finish"):
        rail.move_to(40.0)
    peer.drop_ok_to = ""
    peer.send(b"ok\r\n")
    rail.home()
    rail.move_to(30.0)
    assert not peer.moving
    assert place(peer) == pytest.approx(30.0, abs=STEP_MM)


# --- halting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hal", [False, True])
def test_halt_from_another_thread_stops_at_once(hal: bool, owner: Submit) -> None:
    with GrblPeer(hal=hal, work_offset_mm=3.0) as peer:
        rail = make_rail(peer)
        rail.open()
        rail.home()
        move = owner(rail.move_to, 50.0)
        peer.wait_until(lambda peer: place(peer) > 5)
        rail.halt()
        with pytest.raises(Halted, match=r"^halted at") as caught:
            move.result(5)
        assert not peer.moving
        assert place(peer) < 49
        assert caught.value.position_mm == pytest.approx(place(peer), abs=0.0015)
        # The feed hold kept the position, and nothing of the old move is left in the queue.
        assert rail.move_to(1.0) == pytest.approx(1.0)
        assert place(peer) == pytest.approx(1.0, abs=STEP_MM)
        rail.close()


def test_halt_before_the_first_step_leaves_nothing_to_be_done_later(owner: Submit) -> None:
    with GrblPeer(start_delay_s=0.3) as peer:
        rail = make_rail(peer)
        rail.open()
        rail.home()
        move = owner(rail.move_to, 50.0)
        peer.wait_until(lambda peer: bool(peer.moves))
        rail.halt()
        with pytest.raises(Halted):
            move.result(5)
        assert place(peer) == pytest.approx(0.0, abs=STEP_MM)
        peer.start_delay_s = 0.0
        assert rail.move_to(1.0) == pytest.approx(1.0)
        rail.close()


def test_halt_when_nothing_moves_harms_nothing(peer: GrblPeer, rail: GrblRail) -> None:
    rail.move_to(5.0)
    rail.halt()
    rail.halt()
    assert rail.status() == RailStatus(5.0, moving=False, detail="Idle")
    assert rail.move_to(6.0) == pytest.approx(6.0)


def test_halt_when_nothing_is_open_harms_nothing(peer: GrblPeer) -> None:
    rail = make_rail(peer)
    rail.halt()
    rail.open()
    rail.close()
    rail.halt()
    with pytest.raises(ConnectionLost, match="not open"):
        rail.home()


def test_many_halts_at_any_moment_leave_the_rail_usable(peer: GrblPeer, rail: GrblRail, owner: Submit) -> None:
    rail.move_to(20.0)
    ended = threading.Event()
    odd: list[Halted] = []

    def moving() -> None:
        for turn in range(30):
            try:
                rail.move_to(20.0 + turn % 2)
            except Halted as halt:
                if halt.position_mm is None or abs(halt.position_mm - place(peer)) > 0.0015:
                    odd.append(halt)

    def halting() -> None:
        while not ended.is_set():
            rail.halt()

    moves = owner(moving)
    halts = [threading.Thread(target=halting) for _ in range(2)]
    for thread in halts:
        thread.start()
    try:
        moves.result(20)
    finally:
        ended.set()
        for thread in halts:
            thread.join()
    assert odd == []
    assert rail.move_to(3.0) == pytest.approx(3.0)
    assert place(peer) == pytest.approx(3.0, abs=STEP_MM)


@pytest.mark.parametrize("homing", [False, True])
def test_one_halt_of_the_carriage_is_one_stop_however_long_a_reset_takes(homing: bool, owner: Submit) -> None:
    with GrblPeer({25: 30} if homing else None, banner_delay_s=0.03, carriage_mm=50.0 if homing else 8.0) as peer:
        rail, clock = make_rail(peer), SystemClock()
        rail.open()
        carriage = Carriage(rail, clock, approach=Approach(backlash_mm=0.1))
        if homing:
            call = owner(carriage.home)
            peer.wait_until(lambda peer: peer.carriage_mm < 49.5)
        else:
            carriage.home()
            peer.speedup = 1.0
            call = owner(carriage.go_to, 50.0)
            peer.wait_until(lambda peer: place(peer) > 2)
        resets, began_s = peer.realtime.count(0x18), clock.monotonic_s()
        carriage.halt()
        took_s = clock.monotonic_s() - began_s
        with pytest.raises(Halted):
            call.result(5)
        assert peer.realtime.count(0x18) - resets <= 2
        assert took_s < 0.6
        assert not peer.moving
        carriage.release()
        if homing:
            peer.settings[25] = 600
            carriage.home()
        peer.speedup = 40.0
        assert carriage.go_to(3.0) == pytest.approx(3.0)
        assert place(peer) == pytest.approx(3.0, abs=STEP_MM)
        rail.close()


def test_a_hold_by_the_controllers_own_button_ends_the_move(peer: GrblPeer, rail: GrblRail, owner: Submit) -> None:
    move = owner(rail.move_to, 50.0)
    peer.wait_until(lambda peer: peer.moving)
    peer.press_hold_button()
    with pytest.raises(Halted, match="own input"):
        move.result(5)
    assert rail.move_to(1.0) == pytest.approx(1.0)


def test_status_can_be_asked_from_any_thread_during_a_move(peer: GrblPeer, rail: GrblRail, owner: Submit) -> None:
    peer.speedup = 3
    move = owner(rail.move_to, 15.0)
    peer.wait_until(lambda peer: place(peer) > 12)
    status = rail.status()
    assert status.moving
    assert status.position_mm is not None
    assert 0 < status.position_mm < 15
    assert move.result(5) == pytest.approx(15.0)


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"port": ""},
        {"baud": 0},
        {"axis": "A"},
        {"feed_mm_min": 0},
        {"feed_mm_min": float("nan")},
        {"travel_max_mm": -1},
        {"travel_min_mm": float("nan")},
        {"homing": "maybe"},
        {"home_command": "$X"},
        {"direction": "up"},
        {"answer_timeout_s": float("inf")},
    ],
)
def test_a_bad_option_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(options))}: "):
        GrblRail.Options(**{"port": "/dev/null", "travel_max_mm": 50.0, **options})


def test_options_come_from_the_configuration_and_nothing_else_does() -> None:
    adapter = TypeAdapter(GrblRail.Options)
    options = adapter.validate_python({"port": "/dev/ttyUSB0", "travel_max_mm": 50, "axis": "X"})
    assert (options.axis, options.travel.max_mm) == ("X", 50.0)
    with pytest.raises(ValidationError, match="feed"):
        adapter.validate_python({"port": "/dev/ttyUSB0", "travel_max_mm": 50, "feed": 3})
