"""Memory that a killed service's DMA may still write to is kept, by systemd's file descriptor store."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from focusrail_drivers.fpga_service.kept_memory import KeptMemory

AS_SYSTEMD_STARTS_IT = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
from focusrail_drivers.fpga_service.kept_memory import KeptMemory
kept = KeptMemory(sys.argv[1])
print(os.get_inheritable(3), kept._open_files())
kept.renew()
print(kept._open_files())
"""


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_what_buffers_belong_to_is_given_to_systemd_once_the_overlay_is_loaded(systemd, tmp_path):
    node = tmp_path / "renderD128"
    node.touch()
    with node.open() as opened:
        KeptMemory(str(tmp_path / "renderD")).renew()
        assert systemd.recv(100) == b"FDSTOREREMOVE=1\nFDNAME=fpga-memory"
        message, descriptors, _, _ = socket.recv_fds(systemd, 100, 4)
        assert message == b"FDSTORE=1\nFDNAME=fpga-memory\nFDPOLL=0"
        (kept,) = descriptors
        assert os.path.samestat(os.fstat(kept), os.fstat(opened.fileno()))
        os.close(kept)


def test_the_next_service_lets_go_of_what_was_kept(systemd, tmp_path):
    (tmp_path / "renderD128").touch()
    with (tmp_path / "renderD128").open() as kept:

        def third():
            os.dup2(kept.fileno(), 3)

        ran = subprocess.run(
            [sys.executable, "-c", AS_SYSTEMD_STARTS_IT, str(tmp_path / "renderD")],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[3],
            preexec_fn=third,
            env={**os.environ, "LISTEN_FDS": "1"},
        )
    assert ran.stdout == "False [3]\n[]\n"


def test_without_such_files_nothing_is_kept(systemd, tmp_path):
    KeptMemory(str(tmp_path / "renderD")).renew()
    assert systemd.recv(100).startswith(b"FDSTOREREMOVE=1")
    systemd.settimeout(0.05)
    with pytest.raises(TimeoutError):
        systemd.recv(100)
