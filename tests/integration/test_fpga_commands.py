"""The FPGA's commands as the owner of a board types them, on the emulated one."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from focusrail_drivers.accelerators.kv260 import limits
from peers.small_rig import Home, manifest, published

EMULATOR = "focusrail_drivers.accelerators.kv260_emulator.device"
# A tile of full size takes the emulator a while, and the machine may be busy.
OPTIONS = {"frame_timeout_s": 2.0, "tile_height_px": 64, "tile_width_px": 96}


@pytest.fixture
def kv260(tmp_path: Path) -> Home:
    """A small rig whose configuration names the accelerator, with all its files in one folder."""
    own = {"socket": str(tmp_path / "fpga" / "socket"), "limits": str(tmp_path / "limits.json")}
    return Home(tmp_path, accelerator={"driver": "kv260", "options": OPTIONS | own})


def read(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.slow
def test_a_self_test_says_what_it_found_and_stores_it_where_it_is_told(kv260: Home) -> None:
    pytest.importorskip("pynq")
    kept = kv260.folder / "new" / "limits.json"
    said = kv260.run("fpga", "self-test", "--device", EMULATOR, "--repeats", 1, "--limits", kept)
    assert said.code == 0, said.out
    words = read(said.out)
    assert "good Arithmetic 737280 pixels of known tiles, at shifts 0 to 4, are what the reference says" in words
    assert "The accelerator can be used. This was an emulated board" in words
    assert f"Stored in {kept}: tiles up to 1920 x 4320, transport parked and one-frame, shifts 0, 1, 2, 3, 4." in words
    proven = limits.load(kept)
    assert proven.identity.emulated and proven.identity.overlay == "cv_dfx_3_pr.bit"
    assert not (kv260.folder / "limits.json").exists(), "an emulator's limits took the place of a board's"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("stall at_tile=0 times=none", "BAD Frames and their bytes Nothing comes back from the pipeline"),
        ("stall at_tile=40 times=none", "BAD Arithmetic The pipeline stopped"),
        ("decoupler_left_on times=none", "BAD The overlay It cannot be used: the decoupler of composable/pr_0"),
    ],
)
def test_a_board_that_cannot_be_used_has_an_exit_code_of_its_own(
    kv260: Home, monkeypatch: pytest.MonkeyPatch, fault: str, says: str
) -> None:
    pytest.importorskip("pynq")
    monkeypatch.setenv("FOCUSRAIL_EMULATED_FAULTS", fault)
    kv260.config.write_text(kv260.config.read_text().replace("frame_timeout_s: 2.0", "frame_timeout_s: 0.2"))
    kept = kv260.folder / "kept.json"
    said = kv260.run("fpga", "self-test", "--device", EMULATOR, "--limits", kept)
    assert said.code == 30
    words = read(said.out)
    assert says in words and "What to do: " in words
    assert (
        "The accelerator cannot be used as it is" in words
        and "Nothing is stored, for the self-test did not come" in words
    )
    assert not kept.exists()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("earthquake", "'earthquake' is no fault; there are: stall"),
        ("stall at_tile=x", "'stall at_tile=x': at_tile=x is none of int, none"),
    ],
)
def test_faults_that_the_emulator_does_not_know_are_named(
    kv260: Home, monkeypatch: pytest.MonkeyPatch, fault: str, says: str
) -> None:
    pytest.importorskip("pynq")
    monkeypatch.setenv("FOCUSRAIL_EMULATED_FAULTS", fault)
    said = kv260.run("fpga", "self-test", "--device", EMULATOR)
    assert said.code == 30 and says in said.sentences[-1]


@pytest.mark.parametrize("command", ["self-test", "serve"])
def test_an_overlay_that_is_named_and_is_not_there_is_not_replaced_by_the_emulators(
    tmp_path: Path, command: str
) -> None:
    pytest.importorskip("pynq")
    options = OPTIONS | {"overlay": "/nowhere/cv_dfx_3_pr.bit", "socket": str(tmp_path / "socket")}
    home = Home(tmp_path, accelerator={"driver": "kv260", "options": options})
    said = home.run_here("fpga", command, "--device", EMULATOR)
    assert said.code == 30 and said.sentences[-1].endswith("there is no overlay /nowhere/cv_dfx_3_pr.bit")


def test_an_empty_overlay_is_a_wrong_command_line(kv260: Home) -> None:
    assert kv260.run_here("fpga", "self-test", "--overlay", "").code == 64


def test_without_a_board_the_self_test_says_what_is_missing(kv260: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XILINX_XRT", raising=False)
    said = kv260.run("fpga", "self-test")
    assert said.code == 30
    words = read(said.out)
    assert "BAD The overlay It cannot be used: pynq" in words
    assert "XILINX_XRT is not set" in words or "pynq cannot be imported" in words


def test_limits_that_cannot_be_stored_are_refused_before_the_test(kv260: Home) -> None:
    pytest.importorskip("pynq")
    said = kv260.run("fpga", "self-test", "--device", EMULATOR, "--limits", "/proc/nowhere/limits.json")
    assert said.code == 16 and not said.out
    assert "cannot write /proc/nowhere" in said.sentences[-1]


# --- prediction -------------------------------------------------------------------------------------------------------


def test_a_prediction_stands_on_the_configuration_and_on_no_emulators_times(kv260: Home) -> None:
    said = kv260.run_here("fpga", "predict", "--size", "6000x4000")
    assert said.code == 0
    words = read(said.out)
    assert words.startswith("A prediction by arithmetic, not a measurement")
    assert "6000 x 4000 (24 MP)" in words
    (width, height), *_ = re.findall(r" of (\d+) x (\d+) ", words)
    assert int(width) <= 96 and int(height) <= 64, "no tile is larger than the configuration lets it be"
    assert f"There is no {kv260.folder / 'limits.json'}; focusrail fpga self-test makes it" in words
    emulated = limits.Identity("cv_dfx_3_pr.bit", "", EMULATOR, "4.0.0")
    found = limits.Limits(frames_until_new=2, timed_px=(64, 96), ms_per_tile=3.0, ms_processor=1.0)
    for identity, says in (
        (emulated, "is of an emulated board, whose times say nothing of a real one"),
        (limits.Identity("cv_dfx_3_pr.bit", "", "pynq.Device", "3.0.1"), "Measured: 1.0 ms of the processor"),
    ):
        proven = limits.Proven(identity, found, "2026-11-25T20:00:00+00:00")
        (kv260.folder / "limits.json").write_bytes(proven.dump())
        assert says in read(kv260.run_here("fpga", "predict").out)


@pytest.mark.parametrize("size", ["24MP", "6000", "0x10", "6000x4000x3"])
def test_what_is_no_size_is_a_wrong_command_line(kv260: Home, size: str) -> None:
    assert kv260.run_here("fpga", "predict", "--size", size).code == 64


# --- service ----------------------------------------------------------------------------------------------------------


def test_a_shoot_is_measured_by_the_service_that_the_command_starts(kv260: Home) -> None:
    pytest.importorskip("pynq")
    service = kv260.start("fpga", "serve", "--device", EMULATOR)
    assert service.stderr is not None
    try:
        assert any(b"serving on" in line for line in service.stderr), "it ended"
        said = kv260.run("shoot", kv260.recipe(frames=3))
        assert said.code == 0, said.sentences
        (result,) = published(kv260.outbound)
        measured_by = manifest(result)["measured_by"]
        assert measured_by.startswith("kv260, shift "), manifest(result)["warnings"]
        assert measured_by.endswith("by the service focusrail-fpga")
        assert "accelerator" not in json.dumps(manifest(result)["warnings"])
        in_use = kv260.run("fpga", "self-test")
        assert in_use.code == 30 and f"the FPGA is owned by process {service.pid}" in in_use.sentences[-1]
    finally:
        service.send_signal(signal.SIGTERM)
        _, error = service.communicate(timeout=30)
    assert service.returncode == 0, error
