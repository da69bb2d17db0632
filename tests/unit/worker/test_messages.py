from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focusrail.model.frame import FrameRecord, Original
from focusrail.model.method import Method, notebook
from focusrail.model.recipe import Recipe
from focusrail.worker.messages import (
    Begin,
    Failed,
    Finish,
    Finished,
    Frame,
    Fused,
    LeftOut,
    Live,
    LookedAgain,
    Surveyed,
    decode_command,
    decode_event,
    encode,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc) + timedelta(microseconds=1)
RECORD = FrameRecord(
    "s1", 3, 1.3000000000000003, NOON, (Original(Path("/spool/ä b.jpg"), "0" * 64, 12, "image/jpeg"),), {"iso": "100"}
)
BEGIN = Begin(
    shoot_id="s1",
    name='a "beetle"\n',
    specimen_id=None,
    source="rig",
    created_at=NOON,
    version=2,
    method=notebook(),
    scratch=Path("/out/.a.partial"),
    depth_unit="mm",
    live=Path("/spool/live.jpg"),
    live_depth=Path("/spool/live_depth.jpg"),
    depth_ends=(0.9, 1.0),
    truth=Path("/spool/truth"),
    um_per_px=2.5,
    threads=3,
    debug=True,
    recipe=Recipe(name="a", from_mm=1, depth_mm=-0.1, frames=3, method=Method(reference="middle")),
    survey=(RECORD, replace(RECORD, index=4, position_mm=None)),
)
COMMANDS = [
    BEGIN,
    replace(BEGIN, live=None, truth=None, recipe=None, survey=(), depth_unit="frames"),
    Frame(RECORD),
    Frame(RECORD, unusable="it is damaged"),
    Finish(),
    Finish(warnings=("a", "b"), timings_s={"shooting": 1.25}),
]
EVENTS = [
    Surveyed(3),
    LookedAgain(2, 5),
    Fused(3, 40, 0.25),
    LeftOut(3, "DamagedImage", "ä.jpg is damaged\n(at byte 3)"),
    Live(5, Path("/spool/live.jpg")),
    Finished((400, 300), 12, ("a",), 1.5, 10**9),
    Finished((400, 300), 12, (), 1.5, 10**9, psnr_db=31.2, ssim=0.97),
    Failed("TooFewFrames", "there is 1"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_arrives_as_it_was_sent_on_one_line(command: object) -> None:
    line = encode(command)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert decode_command(line) == command


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_arrives_as_it_was_sent_on_one_line(event: object) -> None:
    line = encode(event)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert decode_event(line) == event


GARBAGE = [
    b"",
    b"\n",
    b"null",
    b"[]",
    b"7",
    b"hello",
    b"{",
    b"\xff\xfe\x00",
    b"{}",
    b'{"kind": "fused"}',
    b'{"kind": "fused", "index": "x", "inliers": 1, "took_s": 1}',
    b'{"kind": "frame", "record": null}',
    b'{"kind": "no such thing", "index": 1}',
    b'{"kind": ["fused"]}',
    b"[" * 100_000,
    encode(EVENTS[1])[:-10],
    encode(COMMANDS[0])[:500],
]


@pytest.mark.parametrize("line", GARBAGE)
def test_what_is_no_message_is_a_value_error(line: bytes) -> None:
    for decode in (decode_command, decode_event):
        with pytest.raises(ValueError, match=r"."):
            decode(line)


def test_a_command_is_no_event_and_an_event_no_command() -> None:
    for command in COMMANDS:
        with pytest.raises(ValueError, match="kind"):
            decode_event(encode(command))
    for event in EVENTS:
        with pytest.raises(ValueError, match="kind"):
            decode_command(encode(event))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_value_error(line: bytes) -> None:
    for decode in (decode_command, decode_event):
        with suppress(ValueError):
            decode(line)


@given(st.data())
def test_a_message_with_one_wrong_value_never_does_more_than_raise(data: st.DataObject) -> None:
    event = data.draw(st.sampled_from(EVENTS))
    fields = json.loads(encode(event))
    key = data.draw(st.sampled_from(sorted(fields)))
    wrong = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=3)
    fields[key] = data.draw(wrong)
    try:
        decoded = decode_event(json.dumps(fields).encode())
    except ValueError:
        return
    assert type(decoded) in {type(e) for e in EVENTS}
