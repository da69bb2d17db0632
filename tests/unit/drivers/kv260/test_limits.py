"""What a self-test has proven is kept, believed of that board only, and used where the options leave it open."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from focusrail_drivers.accelerators.kv260 import forecast, limits, reference, tiles
from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.accelerators.kv260.options import needed_shifts
from focusrail_drivers.base import DriverError
from focusrail_drivers.clock import VirtualClock

BOARD = limits.Identity("cv_dfx_3_pr.bit", "ab" * 32, "pynq.pl_server.embedded_device.EmbeddedDevice", "3.0.1")
EMULATED = replace(BOARD, device="focusrail_drivers.accelerators.kv260_emulator.device.EmulatedKv260")
FOUND = limits.Limits(
    transports=["parked", "one-frame"],
    exact_shifts=[0, 1, 2, 3],
    wrong_shifts=[4],
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


def changed(**limits_of):
    """A damage: other values among the limits."""
    return lambda text: json.dumps(json.loads(text) | {"limits": json.loads(text)["limits"] | limits_of})


def without(key):
    """A damage: a key is missing among the limits."""

    def damage(text):
        told = json.loads(text)
        del told["limits"][key]
        return json.dumps(told)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:200],
        lambda text: "",
        lambda text: "[]",
        lambda text: "\0" * 50,
        lambda text: "[" * 100_000,
        lambda text: '{"format": 2, "x": ' + "[" * 100_000,
        lambda text: '{"format": 2, "x": ' + "9" * 10_000 + "}",
        lambda text: text.replace('"ms_processor": 17.5', '"ms_processor": NaN'),
        lambda text: text.replace('"ms_processor"', '"ms_of_the_processor"'),
        lambda text: text.replace("one-frame", "two-frames"),
        lambda text: text.replace('"tested_at": "', '"tested_at": "\\u001b[31m'),
        lambda text: text.replace('"tested_at": "2026', '"tested_at": "soon'),
        lambda text: text.replace("cv_dfx_3_pr.bit", "\\u001b[31mcv_dfx_3_pr.bit"),
        lambda text: text.replace('"format": 2', '"format": true'),
        lambda text: text.replace('"format": 2', '"format": 2, "\\u001b[31m": 2'),
        *(changed(whole_height_px=value) for value in (5, 8192, 99999, -1, 1080.5, "1080", "high", True, None)),
        *(changed(max_width_px=value) for value in (1921, 1920.0, None)),
        *(changed(timed_px=value) for value in ([0, 0], [-1, 5], [1080], [1080, 1920, 3])),
        changed(timed_px={}),
        changed(timed_px=None),
        *(changed(frames_until_new=value) for value in ("2", -7, 0, 1e300, 2.5)),
        *(changed(ms_processor=value) for value in ("2.0", None, -1, 1e9, True)),
        *(changed(exact_shifts=value) for value in ([9], [True], [1.0], [4])),
        changed(exact_shifts={}),
        changed(exact_shifts=None),
        changed(transports={}),
        changed(ms_per_tile=None),
        *(without(key) for key in ("wrong_shifts", "any_width", "ms_without")),
    ],
)
def test_a_damaged_file_is_ignored_with_a_warning(stored, caplog, damage):
    path = stored()
    path.write_text(damage(path.read_text()))
    assert limits.proven_for(BOARD, path) is None
    assert "is damaged" in caplog.text and "it is ignored" in caplog.text
    assert all(message.isprintable() for message in caplog.messages)


def test_whatever_a_file_of_limits_became_it_is_as_it_was_stored_or_ignored(stored, caplog):
    """A few hundred damages at random places; what is still believed can be used."""
    path, random = stored(), Random(260)
    whole = path.read_bytes()
    pieces = [b'"', b"[", b"}", b"-1", b"null", b"1e999", b"true", b'"1080"', b"0", b",", b"\xff", b"\x1b[31m", b"2.5"]
    ignored = 0
    for _ in range(600):
        start = random.randrange(len(whole))
        damaged = whole[:start] + random.choice(pieces) + whole[start + random.choice((0, 1, 4, 9)) :]
        path.write_bytes(damaged)
        caplog.clear()
        proven = limits.proven_for(BOARD, path)
        if proven is None:
            ignored += 1
            assert "it is ignored" in caplog.text and all(message.isprintable() for message in caplog.messages)
        else:
            found = proven.limits
            if found.whole_height_px:
                tiles.TileSize(found.whole_height_px, 1920)
            assert forecast.forecast(forecast.USUAL_SIZES, Kv260Accelerator.Options(), proven)
            assert all(isinstance(found.refusal(shift), str) for shift in (*reference.SHIFTS, "bracket"))
    assert ignored > 500


def test_a_file_of_another_version_is_ignored_with_a_warning(stored, caplog):
    path = stored()
    path.write_text(path.read_text().replace('"format": 2', '"format": 1'))
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
    ("shift", "exact", "wrong", "says"),
    [
        (0, [1, 2], [0, 3, 4], r"shift 0 cannot be used: .* found shift 0 wrong \(exact are: 1, 2\); choose another"),
        ("bracket", [0, 1], [3], "shift bracket cannot be used: .* found shift 3 wrong"),
        (1, [], [1], r"shift 1 cannot be used: .* \(exact are: none\)"),
        ("auto", [0, 1, 2, 3], [4], "shift auto cannot be used: .* found shift 4 wrong"),
    ],
)
def test_a_shift_that_was_wrong_is_refused_when_it_is_opened(emulated, of_this_board, shift, exact, wrong, says):
    kv260 = accelerator(emulated, of_this_board(exact_shifts=exact, wrong_shifts=wrong), shift=shift)
    for use in (kv260.open, kv260.configure, lambda: kv260.measure(np.zeros((20, 20), np.uint8))):
        with pytest.raises(DriverError, match=says):
            use()
        assert not kv260.is_open


@generated
def test_auto_needs_what_it_may_choose_and_no_more(emulated, of_this_board):
    assert {reference.suitable_shift(np.full((20, 20), 9, np.uint8))} < set(reference.SUITABLE_SHIFTS)
    assert needed_shifts("auto") == (0, 2, 3, 4)
    kv260 = accelerator(emulated, of_this_board(exact_shifts=[0, 2, 3, 4], wrong_shifts=[1]), shift="auto")
    assert kv260.open() and kv260.configure() == reference.score_scale("bracket")
    kv260.close()


def test_a_shift_that_was_not_tried_is_not_refused():
    found = replace(FOUND, exact_shifts=[0, 1], wrong_shifts=[4])
    assert found.refusal("bracket") == "" and found.refusal(2) == ""
    assert str(found).endswith("shifts 0, 1 (wrong: 4)")


@generated
def test_the_service_opens_whatever_shift_is_wrong_and_refuses_who_may_come_to_it(emulated, of_this_board):
    served = accelerator(emulated, of_this_board(exact_shifts=[1, 2], wrong_shifts=[0, 3, 4]), shift="auto")
    assert served.load()
    served.check_setting(1)
    with pytest.raises(DriverError, match="shift bracket cannot be used"):
        served.check_setting("bracket")
    served.close()


@generated
def test_limits_of_another_overlay_change_nothing(emulated, stored, caplog):
    kv260 = accelerator(emulated, stored(BOARD, replace(FOUND, exact_shifts=[], wrong_shifts=[1])))
    assert "tiles up to 1920 x 1080 (not self-tested)" in kv260.open()
    assert "is of a real board: it is ignored" in caplog.text
    assert kv260.measure(np.zeros((20, 20), np.uint8)).max() == 0
    kv260.close()
