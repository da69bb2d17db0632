"""The accelerator kv260 with the service that owns the FPGA, in a process of its own.

On the emulated KV260 by the real pynq where that is installed; everywhere with the processor in the FPGA's place.
"""

from __future__ import annotations

import itertools
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.accelerators.kv260.exact import Kv260Exact
from focusrail_drivers.accelerators.kv260.remote import RemoteKv260
from focusrail_drivers.base import AcceleratorLost, DeviceNotFound, DriverError
from peers.fpga_exact import BAD
from peers.fpga_service_process import EndedEarly, needs_pynq, soon

SIZES = [(100, 170), (64, 96), (31, 41), (1, 1), (1, 500), (211, 3), (97, 333)]


both = pytest.mark.parametrize(
    "how",
    [
        pytest.param({"mood": "slow"}, id="exact"),
        pytest.param(
            {"emulated": True},
            id="emulated",
            marks=needs_pynq,
        ),
    ],
)


def picture(seed, height=100, width=170):
    luma = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    luma[0, 0] = 0
    return luma


def bad(height=100, width=170):
    """What brings a mood out."""
    luma = picture(1, height, width)
    luma[0, 0] = BAD
    return luma


@both
@pytest.mark.parametrize("shift", [0, 3, "bracket"])
def test_scores_are_those_of_the_exact_double(start, how, shift):
    kv260 = start(**how).client(shift=shift)
    assert kv260.open().endswith("by the service focusrail-fpga")
    for seed, size in enumerate(SIZES):
        luma = picture(seed, *size)
        score = kv260.measure(luma)
        assert score.dtype == np.uint16 and score.flags.writeable
        assert np.array_equal(score, reference.score(luma, shift))
        assert np.array_equal(score, kv260.double().measure(luma))
    assert kv260.configure() == reference.score_scale(shift)
    kv260.close()
    kv260.close()


@both
def test_parts_of_pictures_and_whole_ones_are_measured_alike(start, how):
    kv260 = start(**how).client()
    luma = picture(1, 120, 200)
    for part in (luma[3:90:2, 5:150:3], luma[::-1], luma.T):
        assert np.array_equal(kv260.measure(part), reference.score(np.ascontiguousarray(part), 1))
    kv260.close()


@both
def test_any_number_of_threads_may_measure_and_any_number_of_clients_at_their_own_shift(start, how):
    service = start(**how)
    clients = {shift: service.client(shift=shift) for shift in (0, 2, "bracket")}

    def check(case):
        shift, seed = case
        luma = picture(seed, 40 + seed, 90 + seed)
        return np.array_equal(clients[shift].measure(luma), reference.score(luma, shift))

    with ThreadPoolExecutor(9) as threads:
        assert all(threads.map(check, itertools.product(clients, range(5))))
    for each in clients.values():
        each.close()


def test_auto_is_settled_here_and_said_in_words(start):
    kv260 = start().client(shift="auto")
    assert kv260.probe(picture(1)) == "shift 4" and kv260.configure() == reference.score_scale(4)
    assert np.array_equal(kv260.measure(picture(2)), reference.score(picture(2), 4))
    flat = np.zeros((9, 9), np.uint8)
    assert kv260.probe(flat) == Kv260Exact().probe(flat)
    kv260.close()


def test_a_shift_that_the_service_cannot_do_is_refused_when_it_is_opened(start):
    service = start(mood="choosy")
    for shift in (0, "bracket", "auto"):
        with pytest.raises(DriverError, match=f"shift {shift} cannot be used"):
            service.client(shift=shift).open()
    kv260 = service.client(shift=1)
    assert kv260.open() and np.array_equal(kv260.measure(picture(1)), reference.score(picture(1), 1))
    kv260.close()


def test_once_auto_is_settled_the_next_service_need_do_no_other_shift(start):
    kv260 = start(mood="choosy").client(shift="auto")
    assert kv260.probe(picture(1)) == "shift 4"
    assert np.array_equal(kv260.measure(picture(1)), reference.score(picture(1), 4))
    kv260.close()


@both
def test_a_service_that_is_killed_and_started_again_costs_no_picture(start, how):
    service = start(**how)
    service.keep()
    kv260 = service.client()
    for measured in range(12):
        killer = threading.Timer(0.05 * measured, service.kill)
        if measured % 4 == 3:  # seldom enough that none of the pictures is taken for the cause
            killer.start()
        for turn in range(5):
            luma = picture(turn, 100 + measured % 7, 170)
            assert np.array_equal(kv260.measure(luma), reference.score(luma, 1))
        if measured % 4 == 3:
            killer.join()
    assert soon(lambda: service.starts == 4)
    kv260.close()


def test_a_service_that_does_not_come_back_is_lost_within_the_patience(start):
    service = start()
    kv260 = service.client(patience_s=1.0)
    kv260.measure(picture(1))
    service.kill()
    began_s = time.monotonic()
    with pytest.raises(AcceleratorLost, match=r"nobody serves .*it was waited for 1 s"):
        kv260.measure(picture(1))
    assert time.monotonic() - began_s < 3.0
    with pytest.raises(AcceleratorLost):
        kv260.measure(picture(1))
    assert np.array_equal(kv260.double().measure(picture(1)), reference.score(picture(1), 1))
    kv260.close()


def test_a_service_that_is_stopped_is_lost_within_the_patience(start):
    service = start()
    kv260 = service.client(patience_s=3.0)
    kv260.measure(picture(1))
    service.stop()
    began_s = time.monotonic()
    with pytest.raises(AcceleratorLost, match="does not answer: hello; it was waited for 3 s"):
        kv260.measure(picture(1))
    assert time.monotonic() - began_s < 6.0
    service.go_on()
    assert kv260.open()
    assert np.array_equal(kv260.measure(picture(1)), reference.score(picture(1), 1))
    kv260.close()


def test_a_service_that_slept_cannot_write_into_what_is_measured_now(start):
    service = start(mood="slow")
    kv260 = service.client(patience_s=12.0)
    kv260.measure(picture(1))
    threading.Timer(0.1, service.stop).start()
    threading.Timer(6.5, service.go_on).start()
    for seed in range(6):
        assert np.array_equal(kv260.measure(picture(seed)), reference.score(picture(seed), 1))
    kv260.close()


def test_a_picture_that_ends_the_service_three_times_is_given_up(start):
    service = start(mood="deadly")
    service.keep()
    kv260 = service.client()
    assert np.array_equal(kv260.measure(picture(1)), reference.score(picture(1), 1))
    with pytest.raises(AcceleratorLost, match="170 x 100 pixels ended the FPGA's helper service 3 times"):
        kv260.measure(bad())
    kv260.close()


def test_a_measure_that_takes_long_is_waited_for_as_long_as_the_service_moves(start):
    kv260 = start(mood="long").client(patience_s=2.0)
    assert np.array_equal(kv260.measure(bad()), reference.score(bad(), 1))
    kv260.close()


def test_an_fpga_that_is_stuck_is_seen_by_client_and_watchdog(start):
    service = start(mood="stuck")
    kv260 = service.client(patience_s=4.0)
    began_s = time.monotonic()
    with pytest.raises(AcceleratorLost, match="does not answer"):
        kv260.measure(bad())
    assert time.monotonic() - began_s < 15.0
    service.forget()  # what it told before it was stuck
    with pytest.raises(queue.Empty):
        service.told("WATCHDOG=1", timeout_s=1.5)
    kv260.close()


def open_again(kv260):
    """Whether it opens by now; if not, because it was tried a moment ago."""
    try:
        return kv260.open().startswith("the processor, opened 2 times")
    except AcceleratorLost as error:
        if "tried again at most every" in str(error):
            return False
        raise


def test_a_lost_fpga_is_said_so_and_opened_again_for_who_comes_next_but_not_at_once(start):
    kv260 = start(mood="lost").client()
    with pytest.raises(AcceleratorLost, match=r"^the pipeline failed 4 times in a row$"):
        kv260.measure(bad())
    assert not open_again(kv260)
    assert soon(lambda: open_again(kv260))
    assert np.array_equal(kv260.measure(picture(1)), reference.score(picture(1), 1))
    kv260.close()


def test_an_fpga_that_does_not_open_again_is_said_so_each_time(start):
    kv260 = start(mood="lost for good").client()
    with pytest.raises(AcceleratorLost):
        kv260.measure(bad())
    for _ in range(3):
        with pytest.raises(DriverError, match=r"4 times in a row|the board has left"):
            kv260.open()
    kv260.close()


def test_a_bug_in_the_driver_is_a_lost_accelerator_not_a_dead_service(start):
    service = start(mood="buggy")
    kv260 = service.client()
    with pytest.raises(AcceleratorLost, match="ZeroDivisionError"):
        kv260.measure(bad())
    assert service.process.poll() is None
    kv260.close()


@needs_pynq
@pytest.mark.parametrize(
    "faults",
    [
        "stall at_tile=2",
        "bit_flip at_tile=3; late_frame at_tile=5",
        "decoupler_left_on at_tile=4",
        "vdma_errors at_tile=2 bits=0x20",
    ],
)
def test_faults_of_the_board_change_no_score(start, faults):
    kv260 = start(emulated=True, faults=faults, options={"frame_timeout_s": 0.2}).client()
    for seed in range(3):
        assert np.array_equal(kv260.measure(picture(seed)), reference.score(picture(seed), 1))
    kv260.close()


@needs_pynq
def test_a_board_that_stalls_for_good_is_a_lost_accelerator(start):
    service = start(emulated=True, faults="stall at_tile=2 times=none", options={"frame_timeout_s": 0.1})
    kv260 = service.client()
    with pytest.raises(AcceleratorLost, match="failed 4 times in a row"):
        kv260.measure(picture(1))
    assert service.end() == 0
    kv260.close()


@both
def test_told_to_end_it_brings_the_device_to_rest_and_takes_its_socket_away(start, how):
    service = start(**how)
    kv260 = service.client()
    kv260.measure(picture(1))
    assert service.end() == 0
    assert not service.socket.exists()
    if "mood" in how:
        assert service.socket.with_name("rested").exists()
    kv260.close()


def test_it_ends_also_in_the_middle_of_a_measure(start):
    service = start(mood="long")
    kv260 = service.client(patience_s=1.0)
    threading.Timer(0.5, service.signal, [signal.SIGTERM]).start()
    with pytest.raises(AcceleratorLost):
        kv260.measure(bad())
    assert service.process.wait(15.0) == 0
    kv260.close()


@needs_pynq
def test_it_ends_soon_also_in_the_middle_of_a_large_picture(start):
    service = start(emulated=True)
    kv260 = service.client(patience_s=1.0)
    kv260.measure(picture(1))
    threading.Timer(0.3, service.signal, [signal.SIGTERM]).start()
    began_s = time.monotonic()
    with pytest.raises(AcceleratorLost):
        kv260.measure(picture(1, 6000, 8000))
    assert service.process.wait(8.0) == 0 and time.monotonic() - began_s < 8.0
    assert "did not come to rest" not in service.said()
    kv260.close()


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (70_000, 1), (60_000, 60_000)])
def test_a_picture_that_cannot_be_measured_is_a_sentence(start, shape):
    kv260 = start().client()
    with pytest.raises(DriverError, match=r"is 0, not|is 70000, not|is 10800000000, not"):
        kv260.measure(np.broadcast_to(np.uint8(1), shape))
    kv260.close()


def test_a_second_service_is_refused_and_the_first_goes_on(start):
    service = start()
    second = subprocess.run(service._argv, check=False, capture_output=True, text=True, timeout=60)
    assert second.returncode and f"the FPGA is owned by process {service.process.pid}" in second.stderr
    kv260 = service.client()
    assert np.array_equal(kv260.measure(picture(1)), reference.score(picture(1), 1))
    kv260.close()


def test_the_socket_of_a_killed_service_is_replaced_and_is_its_groups(start):
    service = start()
    service.kill()
    service.process.wait()
    assert service.socket.exists()
    service.start()
    assert service.socket.stat().st_mode & 0o777 == 0o660
    kv260 = service.client()
    kv260.open()
    kv260.close()


def test_a_service_whose_fpga_is_missing_ends_with_a_sentence(start):
    with pytest.raises(EndedEarly, match="there is no board at all"):
        start(mood="absent")


def test_without_a_service_it_is_said_how_to_start_one(tmp_path):
    kv260 = RemoteKv260(RemoteKv260.Options(socket=tmp_path / "socket"))
    with pytest.raises(DeviceNotFound, match=r"is not running.*systemctl start focusrail-fpga"):
        kv260.open()
    with pytest.raises(DeviceNotFound):
        kv260.configure()


def test_who_may_not_is_told_the_group(start):
    service = start()
    service.socket.chmod(0o600)
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from focusrail_drivers.accelerators.kv260.remote import RemoteKv260 as R\n"
        "os.setuid(65534)\n"
        "R(R.Options(socket=Path(sys.argv[1]))).open()"
    )
    if os.getuid() != 0:
        pytest.skip("needs root to become nobody")
    tried = subprocess.run(
        [sys.executable, "-c", script, str(service.socket)], check=False, capture_output=True, text=True
    )
    assert "may be used by its group only" in tried.stderr and "usermod -aG focusrail" in tried.stderr


def test_a_client_needs_no_pynq():
    script = (
        "import sys, focusrail_drivers.accelerators.kv260.remote, focusrail_drivers.fpga_service.service\n"
        "sys.exit('pynq' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_what_is_no_service_is_no_device(tmp_path):
    (tmp_path / "socket").write_text("")
    with pytest.raises(DriverError):
        RemoteKv260(RemoteKv260.Options(socket=tmp_path / "socket", patience_s=0.3)).open()
    with pytest.raises(DriverError):
        RemoteKv260(RemoteKv260.Options(socket=Path("/" + "x" * 200), patience_s=0.3)).open()
