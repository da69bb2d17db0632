"""There is one owner of the FPGA at a time, and a dead one is none."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from focusrail_drivers.base import DeviceInUse, DriverError
from focusrail_drivers.fpga_service.ownership import sole_owner

HOLD = """
import sys
from pathlib import Path
from focusrail_drivers.fpga_service.ownership import sole_owner
with sole_owner(Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that owns it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run" / "socket")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "mine\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_owner_is_refused_with_the_first_ones_number(tmp_path, other):
    with (
        pytest.raises(DeviceInUse, match=f"owned by process {other.pid}; .* systemctl stop focusrail-fpga"),
        sole_owner(tmp_path / "run" / "socket"),
    ):
        pass


def test_a_killed_owner_leaves_it_free(tmp_path, other):
    other.kill()
    other.wait()
    for _ in range(2):
        with sole_owner(tmp_path / "run" / "socket"):
            assert (tmp_path / "run" / "socket.lock").read_text() == f"{os.getpid()}\n"


def test_nobody_else_may_even_open_the_lock(tmp_path):
    with sole_owner(tmp_path / "socket"):
        assert (tmp_path / "socket.lock").stat().st_mode & 0o077 == 0


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "socket.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DriverError, match="cannot be locked"), sole_owner(tmp_path / "socket"):
        pass
    assert not (tmp_path / "elsewhere").exists()
