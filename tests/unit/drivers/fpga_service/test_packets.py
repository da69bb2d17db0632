"""Packets come whole or not at all, and no descriptor is left behind."""

from __future__ import annotations

import array
import os
import socket
from pathlib import Path

import pytest

from focusrail_drivers.base import ProtocolError
from focusrail_drivers.fpga_service.packets import Packets


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    packets = Packets(ours)
    yield packets, theirs
    packets.close()
    theirs.close()


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def rights(*descriptors):
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]


def test_a_descriptor_comes_with_its_packet_and_is_not_inherited(pair):
    packets, theirs = pair
    theirs.sendmsg([b"one"], rights(0))
    theirs.send(b"two")
    first, second = packets.receive(timeout_s=1), packets.receive(timeout_s=1)
    assert (first.data, second.data, second.descriptors) == (b"one", b"two", ())
    (descriptor,) = first.descriptors
    assert not os.get_inheritable(descriptor)
    first.discard()


@pytest.mark.parametrize("count", [5, 10, 200])
def test_too_many_descriptors_are_refused_and_closed(pair, count):
    packets, theirs = pair
    before = open_files()
    theirs.sendmsg([b"x"], rights(*[0] * count))
    with pytest.raises(ProtocolError, match="too many descriptors"):
        packets.receive(timeout_s=1)
    assert open_files() == before


def test_a_packet_that_is_too_long_is_refused_with_its_descriptors(pair):
    packets, theirs = pair
    before = open_files()
    theirs.sendmsg([b"x" * 5000], rights(0, 1))
    with pytest.raises(ProtocolError, match="more than 4096 bytes"):
        packets.receive(timeout_s=1)
    assert open_files() == before


def test_an_empty_packet_is_the_end_and_leaves_nothing_open(pair):
    packets, theirs = pair
    before = open_files()
    theirs.sendmsg([b""], rights(0))
    with pytest.raises(EOFError):
        packets.receive(timeout_s=1)
    assert open_files() == before


def test_what_was_said_before_the_end_is_still_heard(pair):
    packets, theirs = pair
    packets.send(b"unread", timeout_s=1)
    theirs.send(b"last words")
    theirs.close()
    assert packets.gone()
    assert packets.receive(timeout_s=1).data == b"last words"
    with pytest.raises(EOFError):
        packets.receive(timeout_s=1)
    with pytest.raises(EOFError):
        packets.send(b"x", timeout_s=1)


def test_nothing_waits_longer_than_it_may(pair):
    packets, _ = pair
    assert not packets.gone()
    with pytest.raises(TimeoutError):
        packets.receive(timeout_s=0.01)

    def flood():
        while True:
            packets.send(b"x" * 4096, timeout_s=0.01)

    with pytest.raises(TimeoutError):
        flood()


def test_the_other_end_is_known_by_the_kernels_word(pair):
    packets, _ = pair
    assert (packets.peer.pid, packets.peer.uid) == (os.getpid(), os.getuid())
