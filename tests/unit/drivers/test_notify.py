"""systemd is told, over a socket as systemd's, and nobody else is bothered."""

from __future__ import annotations

import logging
import os
import resource
import socket
from contextlib import contextmanager

import pytest

from focusrail_drivers.notify import notify


@pytest.mark.parametrize("abstract", [False, True])
def test_a_state_arrives_as_one_datagram(tmp_path, monkeypatch, abstract):
    address = f"@focusrail-test-{tmp_path}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address.replace("@", "\0"))
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify("READY=1\nSTATUS=a board")
        notify("WATCHDOG=1")
        assert [systemd.recv(100) for _ in range(2)] == [b"READY=1\nSTATUS=a board", b"WATCHDOG=1"]


def test_without_systemd_nothing_happens(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")


def test_a_systemd_that_does_not_listen_is_no_reason_to_stop(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with caplog.at_level(logging.WARNING):
        notify("READY=1")
    assert "was not told READY=1" in caplog.text


@contextmanager
def no_descriptor_left():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_lack_of_descriptors_is_no_reason_to_stop(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with caplog.at_level(logging.WARNING), no_descriptor_left():
        notify("WATCHDOG=1")
    assert "was not told WATCHDOG=1: [Errno 24]" in caplog.text
