"""The service's systemd unit: in order, shut in, and in step with the code."""

from __future__ import annotations

import re
from pathlib import Path

from focusrail_drivers.accelerators.kv260.remote import RemoteKv260
from focusrail_drivers.fpga_service import fpga, server, service
from peers.systemd_unit import UNITS, Unit, needs_systemd

UNIT = Unit("focusrail-fpga.service")
LARGEST_EXPOSURE = 2.0


@needs_systemd
def test_systemd_finds_nothing_wrong_with_it(tmp_path):
    UNIT.verify(tmp_path)


@needs_systemd
def test_it_is_shut_in_as_far_as_the_hardware_lets_it():
    assert UNIT.exposure() <= LARGEST_EXPOSURE


def test_it_and_the_code_name_the_same_places_and_group():
    socket = RemoteKv260.Options().socket
    assert socket == service.SOCKET == Path("/run") / UNIT.setting("RuntimeDirectory") / "socket"
    members = (UNITS / "sysusers.d" / "focusrail.conf").read_text(encoding="utf-8")
    assert re.search(rf"^g {UNIT.setting('Group')} ", members, re.MULTILINE)


def test_the_lock_outlives_the_service():
    assert UNIT.setting("RuntimeDirectoryPreserve") == "yes"


def test_systemd_waits_longer_than_the_service_does():
    assert int(UNIT.setting("TimeoutStopSec")) > server.REST_S
    assert int(UNIT.setting("WatchdogSec")) > 4 * server.TICK_S
    assert int(UNIT.setting("TimeoutStartSec")) > fpga.STUCK_AFTER_S
