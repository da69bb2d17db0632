"""Clients that mean ill. The service runs as root: it stays up, leaves nothing open, and serves the good one."""

from __future__ import annotations

import array
import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress

import numpy as np
import pytest

from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.fpga_service import messages
from focusrail_drivers.fpga_service.shared_memory import LIMIT_BYTES, Places
from peers.fpga_exact import BAD, LONG_SHIFT
from peers.fpga_service_process import ServiceProcess, soon

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
SIZE = Places(100, 170).size_bytes
HELLO = {"id": 1, "kind": "hello", "version": messages.VERSION}
OPEN = {"id": 1, "kind": "open", "shift": "auto"}
SHARE = {"id": 2, "kind": "share", "size_bytes": SIZE}
MEASURE = {"id": 3, "kind": "measure", "height_px": 100, "width_px": 170, "shift": 1}


class Stranger:
    """A connection with no manners."""

    def __init__(self, path, *, greet=True):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(10)
        try:
            self._socket.connect(str(path))
            if greet:
                assert self.ask(HELLO)["result"] == {"version": messages.VERSION}
        except BaseException:
            self._socket.close()
            raise

    def send(self, message, *descriptors):
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        self._socket.sendmsg([data], rights)

    def receive(self):
        """The next answer; None at the end."""
        for _ in range(2):
            with suppress(ConnectionResetError):  # told once, of what the service did not read
                data = self._socket.recv(8192)
                return json.loads(data) if data else None
        return None

    def ask(self, message, *descriptors):
        self.send(message, *descriptors)
        return self.receive()

    def shut(self):
        self._socket.shutdown(socket.SHUT_WR)

    def close(self):
        self._socket.close()


def memory(seals=SEALS, size=SIZE, *, sealing=True):
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING if sealing else 0)
    os.ftruncate(descriptor, size)
    if seals:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def sent(stranger, message, *descriptors):
    """The answer to a message with descriptors, which are closed here."""
    try:
        return stranger.ask(message, *descriptors)
    finally:
        for each in set(descriptors):
            os.close(each)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = ServiceProcess(tmp_path_factory.mktemp("service"), mood="long")
    service.start()
    yield service
    assert service.end() == 0
    service.close()


@pytest.fixture
def good(service):
    """A client with good manners, connected before and served after."""
    kv260 = service.client()

    def check():
        luma = np.random.default_rng(1).integers(20, 256, (100, 170), np.uint8)
        return np.array_equal(kv260.measure(luma), reference.score(luma, 1))

    try:
        assert check()
        # What a stranger before has left may still be let go of: it can only become less.
        most = service.descriptors(), service.threads()
        pid = service.process.pid
        yield check
        assert check() and service.process.pid == pid
        assert soon(lambda: service.descriptors() <= most[0] and service.threads() <= most[1])
    finally:
        kv260.close()


def refused(answer):
    """The sentence with which a connection was ended."""
    assert answer is not None and answer["id"] is None and answer["error"]["class"] == "ProtocolError"
    return answer["error"]["message"]


@pytest.mark.parametrize(
    "text",
    [
        b"\x00" * 4096,
        b"GET / HTTP/1.1\r\n\r\n",
        b"{",
        b"[" * 4096,
        b"x" * 100_000,
        b'{"id": 1, "kind": "meas',
        b"\x80\x04\x95pickle",
        {"id": 1, "kind": "hello"},
        {"id": 1, "kind": "hello", "version": messages.VERSION + 1},
        {"id": 1, "kind": "measure", "height_px": 1, "width_px": 1, "shift": 1},
        {"id": 1, "kind": "hello", "version": messages.VERSION, "overlay": "/tmp/mine.bit"},
    ],
    ids=lambda text: repr(text)[:40],
)
def test_who_does_not_greet_is_shown_the_door(service, good, text):
    stranger = Stranger(service.socket, greet=False)
    assert refused(stranger.ask(text))
    assert stranger.receive() is None
    stranger.close()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"height_px": -1}, "height_px is -1"),
        ({"height_px": float("nan")}, "height_px is nan"),
        ({"height_px": float("inf")}, "height_px is inf"),
        ({"width_px": 1 << 70}, "width_px is"),
        ({"height_px": 65536, "width_px": 65536}, f"takes 12884901888 bytes, and {SIZE} are shared"),
        ({"height_px": 101}, f"and {SIZE} are shared"),
        ({"shift": 31}, "shift is 31"),
        ({"overlay": "x"}, "takes the fields"),
        ({"kind": "hello"}, "none of"),
        ({"kind": "__class__"}, "none of"),
    ],
    ids=repr,
)
def test_sizes_that_do_not_fit_the_memory_are_refused(service, good, change, sentence):
    stranger = Stranger(service.socket)
    assert sent(stranger, SHARE, memory())["result"] == {}
    assert stranger.ask(MEASURE)["result"] == {}
    assert sentence in refused(stranger.ask({**MEASURE, **change}))
    assert stranger.receive() is None
    stranger.close()


def test_nothing_is_measured_without_memory(service, good):
    stranger = Stranger(service.socket)
    assert "no memory was shared" in refused(stranger.ask(MEASURE))
    stranger.close()


def pipe():
    reading, writing = os.pipe()
    os.close(writing)
    return reading


@pytest.mark.parametrize(
    ("descriptors", "sentence"),
    [
        (lambda: [memory(0)], "seals are 0x0"),
        (lambda: [memory(0, sealing=False)], "seals are 0x1"),
        (lambda: [memory(fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)], "seals are 0x3"),
        (lambda: [memory(SEALS | fcntl.F_SEAL_WRITE)], "seals are 0xf"),
        (lambda: [memory(size=SIZE - 1)], f"has {SIZE - 1} bytes"),
        (lambda: [memory(size=SIZE + 4096)], f"has {SIZE + 4096} bytes"),
        (lambda: [os.open(__file__, os.O_RDONLY)], "not memory"),
        (lambda: [os.open("/dev/zero", os.O_RDWR)], "not memory"),
        (lambda: [pipe()], "not memory"),
        (list, "with 0 descriptors"),
        (lambda: [memory(), memory()], "with 2 descriptors"),
        (lambda: [memory()] * 10, "too many descriptors"),
        (lambda: [memory()] * 250, "too many descriptors"),
    ],
)
def test_what_is_shared_is_sealed_memory_of_the_size_that_was_said(service, good, descriptors, sentence):
    stranger = Stranger(service.socket)
    assert sentence in refused(sent(stranger, SHARE, *descriptors()))
    stranger.close()


@pytest.mark.parametrize("message", [HELLO, MEASURE, OPEN, b"garbage", b"x" * 5000], ids=repr)
def test_descriptors_that_nobody_asked_for_are_closed(service, good, message):
    stranger = Stranger(service.socket)
    assert refused(sent(stranger, message, memory(), memory()))
    stranger.close()


@pytest.mark.parametrize("size_bytes", [0, -1, 1.5, LIMIT_BYTES + 1, 1 << 62, None, "much"])
def test_a_size_that_is_none_is_refused(service, good, size_bytes):
    stranger = Stranger(service.socket)
    assert "size_bytes is" in refused(sent(stranger, {**SHARE, "size_bytes": size_bytes}, memory()))
    stranger.close()


def test_memory_that_is_shared_again_and_again_is_held_once(service, good):
    stranger = Stranger(service.socket)
    for count in range(50):
        size = SIZE + 4096 * count
        assert sent(stranger, {**SHARE, "size_bytes": size}, memory(size=size))["result"] == {}
    before = service.descriptors()
    assert sent(stranger, SHARE, memory())["result"] == {}
    assert service.descriptors() == before
    stranger.close()


def test_sealed_memory_cannot_be_cut_short_under_the_services_hands(service, good):
    stranger, descriptor = Stranger(service.socket), memory()
    assert stranger.ask(SHARE, descriptor)["result"] == {}
    with pytest.raises(PermissionError):
        os.ftruncate(descriptor, 0)
    assert stranger.ask(MEASURE)["result"] == {}
    os.close(descriptor)
    stranger.close()


def test_luma_that_changes_while_it_is_measured_harms_nobody(service, good):
    stranger, descriptor = Stranger(service.socket), memory()
    assert stranger.ask(SHARE, descriptor)["result"] == {}
    stop = threading.Event()

    def scribble():
        while not stop.is_set():
            os.pwrite(descriptor, os.urandom(SIZE), 0)

    scribbler = threading.Thread(target=scribble)
    scribbler.start()
    for _ in range(50):
        while "working" in (answer := stranger.ask(MEASURE)):
            pass
        assert "result" in answer or "error" in answer
    stop.set()
    scribbler.join()
    os.close(descriptor)
    stranger.close()


def let_in(path):
    """A stranger, as soon as those before are seen to have left: there are places for so many of one user."""
    for _ in range(100):
        try:
            return Stranger(path)
        except KeyError:
            time.sleep(0.05)
    raise AssertionError("no place for 5 s")


def test_who_asks_and_hangs_up_leaves_nothing(service, good):
    for _ in range(20):
        stranger = let_in(service.socket)
        assert sent(stranger, SHARE, memory())["result"] == {}
        stranger.send(MEASURE)
        stranger.close()


def test_who_hangs_up_while_the_fpga_works_for_it_leaves_nothing(service, good):
    for leave in (Stranger.shut, Stranger.close):
        stranger, descriptor = Stranger(service.socket), memory()
        os.pwrite(descriptor, bytes([BAD]), 0)
        assert sent(stranger, SHARE, descriptor)["result"] == {}
        assert stranger.ask(MEASURE) == {"id": 3, "working": True}
        leave(stranger)
        stranger.close()


def asked(service, shift, first=0):
    """A stranger that has asked for a picture, and has nothing more open than its connection."""
    stranger, descriptor = Stranger(service.socket), memory()
    os.pwrite(descriptor, bytes([first]), 0)
    assert sent(stranger, SHARE, descriptor)["result"] == {}
    stranger.send({**MEASURE, "shift": shift})
    return stranger


def test_who_hangs_up_before_its_picture_is_read_takes_no_memory_from_under_the_service(service, good):
    """Settling the shift takes longer than a session waits before it looks for its client; then the luma is read."""
    before = service.descriptors()
    for _ in range(3):
        asked(service, LONG_SHIFT).close()
        assert soon(lambda: service.descriptors() == before)
        assert good()


def test_who_hangs_up_at_any_moment_while_it_is_measured_takes_no_memory_from_under_the_service(service, good):
    for delay_s in np.linspace(0.0, 0.05, 30):
        asked(service, 1).close()
        stranger = asked(service, "bracket")
        time.sleep(delay_s)
        stranger.close()
    assert good()


def test_who_hangs_up_while_it_waits_leaves_nothing_although_the_fpga_has_not_come_to_it(service, good):
    waiting = asked(service, 1, BAD)
    before = service.descriptors()
    for each in [asked(service, 1) for _ in range(4)]:
        each.close()
    began_s = time.monotonic()
    assert soon(lambda: service.descriptors() == before)
    assert time.monotonic() - began_s < 2.5  # the FPGA works for 4 s
    while "working" in (answer := waiting.receive()):
        pass
    assert answer["result"] == {}
    waiting.close()


def test_who_asks_and_never_listens_is_put_off(service, good):
    stranger = Stranger(service.socket)

    def ask_for_ever():
        while True:
            stranger.send(OPEN)

    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        ask_for_ever()
    stranger.close()


def test_silent_clients_block_nobody_and_are_put_off(service, good):
    began_s = time.monotonic()
    strangers = [Stranger(service.socket, greet=False) for _ in range(5)]
    assert good()
    for each in strangers:
        assert each.receive() is None
        each.close()
    assert time.monotonic() - began_s < 15


def test_one_process_cannot_have_all_connections(service, good):
    strangers = [Stranger(service.socket) for _ in range(5)]
    for _ in range(50):
        another = Stranger(service.socket, greet=False)
        assert "has 6 connections already" in another.receive()["error"]["message"]
        another.close()
    assert good()
    for each in strangers:
        each.close()


def test_many_processes_of_one_user_cannot_have_all_connections(service, good):
    script = (
        "import socket, sys\n"
        "held = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(5)]\n"
        "print([each.connect(sys.argv[1]) for each in held], flush=True)\n"
        "sys.stdin.read()"
    )
    argv = [sys.executable, "-c", script, str(service.socket)]
    with ExitStack() as strangers:
        for _ in range(2):
            process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            strangers.callback(process.communicate, b"")
            assert process.stdout is not None and process.stdout.readline()
        last, refused = Stranger(service.socket), Stranger(service.socket, greet=False)  # the good one has one as well
        assert "has 12 connections already" in refused.receive()["error"]["message"]
        last.close()
        refused.close()


def test_what_all_clients_share_has_a_limit(service, good):
    strangers = [Stranger(service.socket) for _ in range(4)]
    share = {**SHARE, "size_bytes": LIMIT_BYTES}
    assert sent(strangers[0], share, memory(size=LIMIT_BYTES))["result"] == {}
    answers = [sent(each, share, memory(size=LIMIT_BYTES)) for each in strangers[1:]]
    assert all(each["error"]["class"] == "DeviceInUse" for each in answers)  # the good one shares some as well
    assert good()
    strangers[0].close()
    assert soon(lambda: "result" in sent(strangers[1], share, memory(size=LIMIT_BYTES)))
    for each in strangers:
        each.close()


def test_a_flood_of_connections_does_not_keep_the_good_client_from_its_scores(service, good):
    stop = threading.Event()

    def flood():
        while not stop.is_set():
            with suppress(OSError):
                stranger = Stranger(service.socket, greet=False)
                with suppress(OSError):
                    stranger.send(os.urandom(4000), 0, 1, 2)
                stranger.close()

    floods = [threading.Thread(target=flood) for _ in range(3)]
    for each in floods:
        each.start()
    assert all(good() for _ in range(20))
    stop.set()
    for each in floods:
        each.join()
