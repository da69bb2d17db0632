"""Whatever keeps a board from being opened is said in a sentence that tells what to do."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from focusrail_drivers.accelerators.kv260 import board
from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.accelerators.kv260.wiring import WrongOverlay
from focusrail_drivers.base import DeviceNotFound, DriverError

pytestmark = pytest.mark.parametrize("emulated", ["generated"], indirect=True)


def opened(bitstream):
    return Kv260Accelerator(Kv260Accelerator.Options(overlay=str(bitstream), limits=None)).open()


def test_an_open_board_is_named(emulated):
    assert opened(emulated.bitstream) == (
        "cv_dfx_3_pr.bit on KV260 (emulated), tiles up to 1920 x 1080 (not self-tested)"
    )


def test_without_pynq(emulated, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynq", None)
    with pytest.raises(
        DeviceNotFound, match=r"pynq cannot be imported .* pip install 'focusrail\[kv260\]'; it also needs .* libmagic"
    ):
        opened(emulated.bitstream)


@pytest.mark.parametrize(
    ("xrt", "says"), [(None, "XILINX_XRT is not set; on a KV260 it is /usr"), ("/usr", "is this a KV260")]
)
def test_without_a_device(emulated, monkeypatch, xrt, says):
    import pynq

    monkeypatch.delattr(pynq.Device, "_active_device")
    monkeypatch.setattr(pynq.Device, "_devices", [], raising=False)
    monkeypatch.delenv("XILINX_XRT", raising=False)
    if xrt:
        monkeypatch.setenv("XILINX_XRT", xrt)
    with pytest.raises(DeviceNotFound, match=says):
        opened(emulated.bitstream)


def test_without_root(emulated, monkeypatch):
    # What pynq's device for a board does when it is not root.
    def mmap(base_addr, length):
        raise OSError("Root permissions required.")

    monkeypatch.setitem(emulated.device.capabilities, "MEMORY_MAPPED", True)
    monkeypatch.setattr(emulated.device, "mmap", mmap, raising=False)
    with pytest.raises(DriverError, match="takes orders from root only"):
        opened(emulated.bitstream)


def test_without_the_overlay(emulated, tmp_path):
    with pytest.raises(DeviceNotFound, match=r"there is no overlay .*other\.bit"):
        opened(tmp_path / "other.bit")


def test_with_an_overlay_that_was_installed_in_part(emulated):
    for file in emulated.bitstream.parent.glob("*pr_0_filter2d_fifo*"):
        file.unlink()
    with pytest.raises(DeviceNotFound, match=r"pr_0_filter2d_fifo_partial\.bit is missing: .* install it again"):
        opened(emulated.bitstream)


def test_an_overlay_by_its_name_is_found_where_kria_pynq_puts_it(emulated, tmp_path, monkeypatch):
    folder = tmp_path / "lib/python3.10/site-packages/pynq_composable/overlay"
    folder.mkdir(parents=True)
    for file in emulated.bitstream.parent.glob("cv_dfx_3_pr*"):
        shutil.copy(file, folder)
    monkeypatch.setattr(board, "_KRIA_PYNQ", tmp_path / "lib")
    monkeypatch.chdir(folder.parent)
    assert "cv_dfx_3_pr.bit on KV260" in opened("cv_dfx_3_pr.bit")
    assert emulated.device.bitfile_name == str(folder / "cv_dfx_3_pr.bit")


def test_without_the_description_beside_the_bitstream(emulated):
    emulated.bitstream.with_suffix(".hwh").unlink()
    with pytest.raises(WrongOverlay, match=r"cv_dfx_3_pr\.hwh is missing; it belongs beside the bitstream"):
        opened(emulated.bitstream)


def test_without_the_program_that_pynq_needs_on_a_board(emulated, monkeypatch):
    # What pynq's device for a board does when it describes a bitstream to the kernel's driver.
    def run(*_, **__):
        subprocess.run(["xclbinutil"], check=True)

    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(emulated.device, "get_bitfile_metadata", run)
    with pytest.raises(DeviceNotFound, match=r"xclbinutil .* /usr/local/share/pynq-venv/bin: add that folder to PATH"):
        opened(emulated.bitstream)


def test_with_the_overlay_of_the_older_generation(emulated):
    metadata = emulated.bitstream.with_suffix(".hwh")
    metadata.write_text(metadata.read_text().replace("/composable/pr_2", "/composable/pr_join"))
    with pytest.raises(WrongOverlay, match="cv_dfx_4_pr"):
        opened(emulated.bitstream)
    assert not emulated.device.timestamp, "it was loaded all the same"
