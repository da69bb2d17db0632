"""The service's systemd unit: in order, shut in, and in step with the code."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from focusrail_drivers.accelerators.kv260.remote import RemoteKv260
from focusrail_drivers.fpga_service import fpga, server, service

UNIT = Path(__file__).parents[2] / "systemd" / "focusrail-fpga.service"
LARGEST_EXPOSURE = 2.0
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


def setting(name):
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    return value


@needs_systemd
def test_systemd_finds_nothing_wrong_with_it(tmp_path):
    there = tmp_path / UNIT.name
    command = setting("ExecStart").split()[0]  # which is on the board only
    there.write_text(UNIT.read_text(encoding="utf-8").replace(f"ExecStart={command}", "ExecStart=/bin/true"))
    said = subprocess.run(["systemd-analyze", "verify", there], check=False, capture_output=True, text=True)
    about_it = [line for line in said.stderr.splitlines() if "focusrail" in line]
    assert (said.returncode, about_it) == (0, []), said.stderr


@needs_systemd
def test_it_is_shut_in_as_far_as_the_hardware_lets_it():
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(UNIT)]
    said = subprocess.run(command, check=False, capture_output=True, text=True)
    if "offline" in said.stderr:
        pytest.skip("this systemd-analyze judges only what is loaded")
    (exposure,) = re.findall(r"exposure level.*: ([\d.]+)", said.stdout)
    assert float(exposure) <= LARGEST_EXPOSURE, said.stdout


def test_it_and_the_code_name_the_same_places_and_group():
    socket = RemoteKv260.Options().socket
    assert socket == service.SOCKET == Path("/run") / setting("RuntimeDirectory") / "socket"
    members = (UNIT.parent / "sysusers.d" / "focusrail.conf").read_text(encoding="utf-8")
    assert re.search(rf"^g {setting('Group')} ", members, re.MULTILINE)


def test_the_lock_outlives_the_service():
    assert setting("RuntimeDirectoryPreserve") == "yes"


def test_systemd_waits_longer_than_the_service_does():
    assert int(setting("TimeoutStopSec")) > server.REST_S
    assert int(setting("WatchdogSec")) > 4 * server.TICK_S
    assert int(setting("TimeoutStartSec")) > fpga.STUCK_AFTER_S
