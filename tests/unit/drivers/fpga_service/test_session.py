"""A session ends when the FPGA has nothing more of it in hand, and no later."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from focusrail_drivers.accelerators.kv260.exact import Kv260Exact
from focusrail_drivers.base import AcceleratorLost
from focusrail_drivers.fpga_service import messages
from focusrail_drivers.fpga_service.fpga import Fpga
from focusrail_drivers.fpga_service.messages import Hello, Request, Share
from focusrail_drivers.fpga_service.packets import Packets
from focusrail_drivers.fpga_service.session import Session
from focusrail_drivers.fpga_service.shared_memory import SharedMemory

SOON_S = 10.0


@dataclass(frozen=True, slots=True)
class Mark(Request):
    """Write into the shared memory, in the FPGA's thread, as the camera's pictures are."""

    kind: ClassVar[str] = "mark"


class Marking:
    """The answer to Mark: it has begun, goes on when it is let, and then writes."""

    def __init__(self):
        self.begun, self.let = threading.Event(), threading.Event()
        self.failure = None

    def __call__(self, session, _request):
        place = session.memory.view(0, (8,), np.uint8)

        def job(_device):
            self.begun.set()
            assert self.let.wait(SOON_S)
            place[...] = 1
            if self.failure is not None:
                raise self.failure

        session.wait(session.fpga.do(job))
        return {}


class Client:
    """A client with memory, and its session in a thread."""

    def __init__(self, fpga, marking):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.packets, self.memory = Packets(ours), SharedMemory.create(4096)
        self.thread = threading.Thread(target=Session(Packets(theirs), fpga, {Mark: marking}).run)
        self.thread.start()
        self.ask(Hello(messages.VERSION))
        self.ask(Share(4096), self.memory.descriptor)

    def ask(self, request, descriptor=None):
        self.send(request, descriptor)
        return self.packets.receive(timeout_s=SOON_S).data

    def send(self, request, descriptor=None):
        self.packets.send(messages.encode_request(1, request), timeout_s=1.0, descriptor=descriptor)

    def ends(self, timeout_s=SOON_S):
        self.thread.join(timeout_s)
        return not self.thread.is_alive()

    def close(self):
        self.packets.close()
        self.memory.close()


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def fpga():
    fpga = Fpga(lambda clock: Kv260Exact())
    fpga.ready().result(SOON_S)
    yield fpga
    assert fpga.close(SOON_S)


def test_a_job_that_has_begun_is_waited_for_before_the_memory_goes(fpga):
    marking = Marking()
    client = Client(fpga, marking)
    client.send(Mark())
    assert marking.begun.wait(SOON_S)
    client.packets.close()
    assert not client.ends(1.5)  # it has looked by now, and seen that its client has gone
    assert client.memory.view(0, (8,), np.uint8).max() == 0
    marking.let.set()
    assert client.ends()
    assert client.memory.view(0, (8,), np.uint8).min() == 1
    client.close()


def test_a_job_that_has_not_begun_is_taken_back_with_its_memory(fpga):
    first, second = Marking(), Marking()
    busy = Client(fpga, first)
    busy.send(Mark())
    assert first.begun.wait(SOON_S)
    before = descriptors()
    client = Client(fpga, second)
    client.send(Mark())
    client.close()
    assert client.ends(3.0) and not second.begun.is_set()
    assert descriptors() == before
    first.let.set()
    busy.close()
    assert busy.ends() and not second.begun.is_set()


def test_an_error_keeps_no_memory(fpga):
    marking = Marking()
    marking.let.set()
    client = Client(fpga, marking)
    held = descriptors()
    for _ in range(3):
        marking.failure = AcceleratorLost("gone")
        assert b"gone" in client.ask(Mark())
        marking.failure = None
        client.ask(Share(4096), client.memory.descriptor)
        assert descriptors() == held
    client.close()
    assert client.ends()
