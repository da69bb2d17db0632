"""What a self-test has proven is kept, believed of that board only, and used where the options leave it open."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from focusrail_drivers.accelerators.kv260 import limits, reference
from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.accelerators.kv260.options import needed_shifts
from focusrail_drivers.base import DriverError
from focusrail_drivers.clock import VirtualClock

BOARD = limits.Identity("cv_dfx_3_pr.bit", "ab" * 32, "pynq.pl_server.embedded_device.EmbeddedDevice", "3.0.1")
EMULATED = replace(BOARD, device="focusrail_drivers.accelerators.kv260_emulator.device.EmulatedKv260")
FOUND = limits.Limits(
    transports=["parked", "one-frame"],
    exact_shifts=[0, 1, 2, 3, 4],
    max_height_px=8184,
    max_width_px=1920,
    whole_height_px=2160,
    any_width=False,
    frames_until_new=3,
    timed_px=(1080, 1920),
    ms_per_tile=31.0,
    ms_processor=17.5,
    ms_without=44.0,
)


@pytest.fixture
def stored(tmp_path):
    """Stores limits and returns the file."""

    def store(identity=BOARD, found=FOUND):
        path = tmp_path / "kv260-limits.json"
        path.write_bytes(limits.Proven(identity, found, "2026-11-25T20:00:00+00:00").dump())
        return path

    return store


def test_limits_come_back_as_they_were_stored(stored):
    assert limits.load(stored()) == limits.Proven(BOARD, FOUND, "2026-11-25T20:00:00+00:00")
    unknown = limits.Limits()
    assert limits.load(stored(found=unknown)).limits == unknown


def test_limits_are_believed_of_the_board_they_were_found_on_whatever_the_version_of_pynq(stored):
    proven = limits.proven_for(replace(BOARD, pynq="4.0.0"), stored())
    assert proven is not None and proven.limits == FOUND


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"overlay": "cv_dfx_4_pr.bit"}, "is of the overlay cv_dfx_4_pr.bit"),
        ({"description_sha256": "cd" * 32}, "is of another version of cv_dfx_3_pr.bit"),
        ({"device": "pynq.pl_server.remote_device.RemoteDevice"}, "is of a device of the kind pynq"),
        ({"device": EMULATED.device}, "is of an emulated board"),
    ],
)
def test_limits_of_another_board_are_ignored_with_a_warning(stored, caplog, other, says):
    assert limits.proven_for(BOARD, stored(replace(BOARD, **other))) is None
    (warning,) = caplog.messages
    assert says in warning and "it is ignored; run focusrail fpga self-test again" in warning


def test_a_boards_limits_are_not_an_emulators(stored, caplog):
    assert limits.proven_for(EMULATED, stored(BOARD)) is None
    assert "is of a real board" in caplog.text


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:200],
        lambda text: "",
        lambda text: "[]",
        lambda text: "\0" * 50,
        lambda text: text.replace('"whole_height_px": 2160', '"whole_height_px": 99999'),
        lambda text: text.replace('"whole_height_px": 2160', '"whole_height_px": "high"'),
        lambda text: text.replace('"ms_processor": 17.5', '"ms_processor": NaN'),
        lambda text: text.replace('"ms_processor"', '"ms_of_the_processor"'),
        lambda text: text.replace("one-frame", "two-frames"),
        lambda text: json.dumps(json.loads(text) | {"limits": json.loads(text)["limits"] | {"exact_shifts": [9]}}),
    ],
)
def test_a_damaged_file_is_ignored_with_a_warning(stored, caplog, damage):
    path = stored()
    path.write_text(damage(path.read_text()))
    assert limits.proven_for(BOARD, path) is None
    assert "is damaged" in caplog.text and "it is ignored" in caplog.text


def test_a_file_of_another_version_is_ignored_with_a_warning(stored, caplog):
    path = stored()
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    assert limits.proven_for(BOARD, path) is None
    assert "is of another version of focusrail" in caplog.text


def test_no_file_is_no_warning(tmp_path, caplog):
    assert limits.proven_for(BOARD, tmp_path / "none.json") is None
    assert limits.proven_for(BOARD, None) is None
    assert not caplog.messages


# --- and used ---------------------------------------------------------------------------------------------------------


def accelerator(emulated, path, **options):
    given = {"overlay": str(emulated.bitstream), "limits": path, "frame_timeout_s": 0.1, "shift": 1} | options
    return Kv260Accelerator(Kv260Accelerator.Options(**given), VirtualClock())


@pytest.fixture
def of_this_board(emulated, stored):
    """Stores limits of the emulated board."""

    def store(**found):
        made = accelerator(emulated, None)
        made.open()
        identity = made._pipeline.board.identity
        made.close()
        return stored(identity, replace(FOUND, **found))

    return store


generated = pytest.mark.parametrize("emulated", ["generated"], indirect=True)


@generated
@pytest.mark.parametrize(
    ("options", "largest"),
    [({}, "1920 x 2160"), ({"tile_height_px": 540}, "1920 x 540"), ({"limits": None}, "1920 x 1080")],
)
def test_a_tiles_height_is_what_is_set_else_what_was_proven_else_the_usual(emulated, of_this_board, options, largest):
    told = "not self-tested" if "limits" in options else "self-test of 2026-11-25"
    kv260 = accelerator(emulated, of_this_board(), **options)
    assert kv260.open() == f"cv_dfx_3_pr.bit on KV260 (emulated), tiles up to {largest} ({told})"
    kv260.close()


@generated
@pytest.mark.parametrize(
    ("setting", "proven", "taken"),
    [
        ("auto", ["parked", "one-frame"], "OneFramePort"),
        ("auto", ["parked"], "ParkedPort"),
        ("parked", ["parked", "one-frame"], "ParkedPort"),
        ("one-frame", ["parked"], "OneFramePort"),
    ],
)
def test_the_transport_is_what_is_set_and_auto_is_what_was_proven(emulated, of_this_board, setting, proven, taken):
    kv260 = accelerator(emulated, of_this_board(transports=proven), transport=setting)
    luma = np.random.default_rng(1).integers(0, 256, (40, 50), np.uint8)
    assert np.array_equal(kv260.measure(luma), reference.score(luma, 1))
    assert type(kv260._pipeline.port).__name__ == taken
    kv260.close()


@generated
@pytest.mark.parametrize(
    ("shift", "exact", "says"),
    [
        (0, [1, 2], r"shift 0 cannot be used: .* did not find shift 0 exact \(exact are: 1, 2\); choose another"),
        ("bracket", [0, 1], "shift bracket cannot be used: .* did not find shift 3 exact"),
        (1, [], r"shift 1 cannot be used: .* \(exact are: none\)"),
        ("auto", [0, 1, 2, 3], "shift auto cannot be used: .* did not find shift 4 exact"),
    ],
)
def test_a_shift_that_was_not_exact_is_refused_when_it_is_opened(emulated, of_this_board, shift, exact, says):
    kv260 = accelerator(emulated, of_this_board(exact_shifts=exact), shift=shift)
    for use in (kv260.open, kv260.configure, lambda: kv260.measure(np.zeros((20, 20), np.uint8))):
        with pytest.raises(DriverError, match=says):
            use()
        assert not kv260.is_open


@generated
def test_auto_needs_what_it_may_choose_and_no_more(emulated, of_this_board):
    assert {reference.suitable_shift(np.full((20, 20), 9, np.uint8))} < set(reference.SUITABLE_SHIFTS)
    assert needed_shifts("auto") == (0, 2, 3, 4)
    kv260 = accelerator(emulated, of_this_board(exact_shifts=[0, 2, 3, 4]), shift="auto")
    assert kv260.open() and kv260.configure() == reference.score_scale("bracket")
    kv260.close()


@generated
def test_the_service_opens_whatever_shift_is_wrong_and_refuses_who_may_come_to_it(emulated, of_this_board):
    served = accelerator(emulated, of_this_board(exact_shifts=[1, 2]), shift="auto")
    assert served.load()
    served.check_setting(1)
    with pytest.raises(DriverError, match="shift bracket cannot be used"):
        served.check_setting("bracket")
    served.close()


@generated
def test_limits_of_another_overlay_change_nothing(emulated, stored, caplog):
    kv260 = accelerator(emulated, stored(BOARD, replace(FOUND, exact_shifts=[])))
    assert "tiles up to 1920 x 1080 (not self-tested)" in kv260.open()
    assert "is of a real board: it is ignored" in caplog.text
    assert kv260.measure(np.zeros((20, 20), np.uint8)).max() == 0
    kv260.close()
