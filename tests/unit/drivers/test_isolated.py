"""A C library in a process of its own: it may hang, die or talk nonsense, and we go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from focusrail_drivers import base
from focusrail_drivers.transport.isolated import ERRORS, Isolated

PROGRAM = str(Path(__file__).parents[2] / "peers" / "helper_process.py")
SOON_S = 10.0  # for what should take milliseconds, on a machine that is busy


@pytest.fixture
def helper() -> Iterator[Isolated]:
    helper = Isolated([sys.executable, PROGRAM], name="test device")
    yield helper
    helper.close()


def test_a_call_comes_back_with_what_json_can_say(helper: Isolated) -> None:
    values = {"text": "f/8 µ", "number": 0.1, "none": None, "list": [1, ["a"]]}

    assert helper.call("echo", values, timeout_s=SOON_S).result == values


def test_a_picture_of_many_pipe_sizes_arrives_byte_for_byte(helper: Isolated) -> None:
    size = 24 * 1024 * 1024

    assert helper.call("blob", {"size_bytes": size}, timeout_s=SOON_S).payload == bytes(range(256)) * (size // 256)


def test_a_request_larger_than_a_pipe_does_not_block(helper: Isolated) -> None:
    text = "x" * 500_000

    assert helper.call("echo", {"text": text}, timeout_s=SOON_S).result == {"text": text}


def test_nothing_is_started_before_the_first_call(helper: Isolated) -> None:
    assert helper.pid is None


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_of_the_table_crosses_with_its_class_and_message(helper: Isolated, kind: str) -> None:
    with pytest.raises(base.DriverError) as raised:
        helper.call("fail", {"kind": kind, "message": "12.5 mm, 3 s"}, timeout_s=SOON_S)

    assert type(raised.value).__name__ == kind
    assert str(raised.value) == "12.5 mm, 3 s"


def test_an_error_outside_the_table_crosses_as_the_nearest_that_is_inside(helper: Isolated) -> None:
    with pytest.raises(base.CaptureFailed, match="smoke"):
        helper.call("burn", timeout_s=SOON_S)


def test_a_bug_in_the_helper_is_an_error_of_this_call_only(helper: Isolated) -> None:
    with pytest.raises(base.DriverError, match=r"internal error at stumble: ZeroDivisionError\('a bug'\)"):
        helper.call("stumble", timeout_s=SOON_S)

    assert helper.call("echo", timeout_s=SOON_S).result == {}


@pytest.mark.parametrize("how", ["hang", "hang_politely"])
def test_a_hung_library_is_ended_at_the_deadline_and_started_anew(helper: Isolated, how: str) -> None:
    helper.call("echo", timeout_s=SOON_S)
    old = helper.pid
    assert old is not None

    began = time.monotonic()
    with pytest.raises(base.DeviceTimeout, match=rf"test device: no answer to {how} within 0.3 s"):
        helper.call(how, timeout_s=0.3)
    took_s = time.monotonic() - began

    assert 0.3 <= took_s < 2.0
    assert not psutil.pid_exists(old)
    assert helper.call("echo", timeout_s=SOON_S).result == {}
    assert helper.pid != old


def test_a_library_that_dies_is_named_with_its_signal_and_last_words(helper: Isolated) -> None:
    with pytest.raises(base.ConnectionLost, match=r"died \(SIGSEGV\) at die; its last words: the USB stack is gone"):
        helper.call("die", timeout_s=SOON_S)

    assert helper.call("echo", timeout_s=SOON_S).result == {}


def test_a_death_between_calls_is_reported_so_that_the_device_is_opened_again(helper: Isolated) -> None:
    helper.call("echo", timeout_s=SOON_S)
    assert helper.pid is not None
    os.kill(helper.pid, signal.SIGKILL)

    with pytest.raises(base.ConnectionLost, match=r"died \(SIGKILL\)"):
        helper.call("echo", timeout_s=SOON_S)
    assert helper.call("echo", timeout_s=SOON_S).result == {}


def test_a_helper_that_just_leaves_is_a_lost_connection(helper: Isolated) -> None:
    with pytest.raises(base.ConnectionLost, match="exit status 3"):
        helper.call("leave", timeout_s=SOON_S)


def test_what_a_library_prints_does_not_spoil_the_messages(helper: Isolated) -> None:
    assert helper.call("print_to_stdout", {"text": "hello"}, timeout_s=SOON_S).result == "hello"


def test_a_talkative_library_does_not_block(helper: Isolated) -> None:
    assert helper.call("chatter", {"size_bytes": 1_000_000}, timeout_s=SOON_S).result == 1_000_000


def test_nonsense_on_the_wire_ends_the_helper(helper: Isolated) -> None:
    with pytest.raises(base.ProtocolError, match="not a message"):
        helper.call("write_garbage", timeout_s=SOON_S)

    assert helper.pid is None
    assert helper.call("echo", timeout_s=SOON_S).result == {}


@pytest.mark.parametrize(
    ("program", "error", "text"),
    [
        ("raise ModuleNotFoundError('no libgphoto2')", base.ConnectionLost, "no libgphoto2"),
        ("print('usage: something else entirely')", base.ProtocolError, "not a message"),
        ("import time; time.sleep(600)", base.DeviceTimeout, "no answer to start within 1 s"),
    ],
)
def test_a_program_that_is_no_helper_says_so(program: str, error: type[Exception], text: str) -> None:
    start_s = 1.0 if error is base.DeviceTimeout else SOON_S
    helper = Isolated([sys.executable, "-c", program], name="test device", start_s=start_s)

    with pytest.raises(error, match=text):
        helper.call("echo", timeout_s=SOON_S)
    assert helper.pid is None


def test_a_program_that_does_not_exist_is_an_error_of_the_driver() -> None:
    with pytest.raises(base.DriverError, match="cannot start /nowhere/python"):
        Isolated(["/nowhere/python"], name="test device").call("echo", timeout_s=SOON_S)


def test_the_helper_has_its_own_time_while_nobody_calls(helper: Isolated) -> None:
    deadline = time.monotonic() + SOON_S
    while helper.call("idled", timeout_s=SOON_S).result == 0:
        assert time.monotonic() < deadline
        let_pass(0.03)


def test_closing_lets_the_helper_end_by_itself(helper: Isolated) -> None:
    helper.call("echo", timeout_s=SOON_S)
    assert helper.pid is not None
    process = psutil.Process(helper.pid)

    helper.close()
    helper.close()

    assert not process.is_running()


def test_closing_ends_a_helper_that_stands_still(helper: Isolated) -> None:
    helper.call("echo", timeout_s=SOON_S)
    assert helper.pid is not None
    process = psutil.Process(helper.pid)
    process.suspend()

    helper.close(timeout_s=0.2)

    assert not process.is_running()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_signals_to_the_whole_group_leave_the_transfer_alone(helper: Isolated, sign: signal.Signals) -> None:
    helper.call("echo", timeout_s=SOON_S)
    assert helper.pid is not None
    os.kill(helper.pid, sign)

    assert helper.call("echo", timeout_s=SOON_S).result == {}


def test_a_hung_helper_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    flag = tmp_path / "hanging"
    program = f"""
from focusrail_drivers.transport.isolated import Isolated
helper = Isolated([{sys.executable!r}, {PROGRAM!r}], name="x")
helper.call("echo", timeout_s=10)
print(helper.pid, flush=True)
helper.call("hang_politely", {{"flag": {str(flag)!r}}}, timeout_s=600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        orphan = psutil.Process(int(parent.stdout.readline()))
        deadline = time.monotonic() + SOON_S
        while not flag.exists():
            assert time.monotonic() < deadline
            let_pass(0.02)
        parent.kill()

    gone, _ = psutil.wait_procs([orphan], timeout=SOON_S)

    assert gone


def let_pass(duration_s: float) -> None:
    """Real time has to pass here: the other process lives in it."""
    time.sleep(duration_s)
