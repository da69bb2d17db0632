"""What crosses to the FPGA's service and back, and what is refused with a sentence."""

from __future__ import annotations

import json

import pytest

from focusrail_drivers.base import AcceleratorLost, DeviceInUse, DriverError, ProtocolError
from focusrail_drivers.fpga_service import messages
from focusrail_drivers.fpga_service.messages import Hello, Measure, Open, SetCamera, Share

KINDS = {each.kind: each for each in (Hello, Open, Share, Measure)}
MEASURE = {"id": 1, "kind": "measure", "height_px": 3, "width_px": 4, "shift": 1}


@pytest.mark.parametrize(
    "request_", [Hello(1), Open("auto"), Open(4), Share(4096), Measure(3, 4, 0), Measure(65536, 1, "bracket")], ids=repr
)
def test_a_request_arrives_as_it_was_made(request_):
    assert messages.decode_request(messages.encode_request(7, request_), KINDS) == (7, request_)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"height_px": 0}, "height_px is 0, not a whole number from 1 to 65536"),
        ({"height_px": -5}, "height_px is -5"),
        ({"height_px": 2.0}, "height_px is 2.0"),
        ({"height_px": float("nan")}, "height_px is nan"),
        ({"width_px": True}, "width_px is True"),
        ({"width_px": "4"}, "width_px is '4'"),
        ({"width_px": None}, "width_px is None"),
        ({"width_px": 10**30}, "width_px is 1000"),
        ({"shift": 5}, "shift is 5, not a whole number from 0 to 4"),
        ({"shift": "auto"}, "shift is 'auto'"),
        ({"shift": ["bracket"]}, "shift is"),
        ({"overlay": "/tmp/mine.bit"}, "measure takes the fields .height_px, shift, width_px., not .*'overlay'"),
        ({"kind": "reset"}, "kind is 'reset', none of hello, open, share, measure"),
        ({"kind": ["measure"]}, "kind is"),
        ({"id": -1}, "id is -1"),
        ({"id": None}, "id is None"),
        ({"id": 1 << 60}, "id is"),
    ],
    ids=repr,
)
def test_what_is_wrong_with_a_request_is_said(change, sentence):
    text = json.dumps({**MEASURE, **change}).encode()
    with pytest.raises(ProtocolError, match=sentence):
        messages.decode_request(text, KINDS)


@pytest.mark.parametrize(
    "text",
    [b"", b"\x00" * 40, b"[1]", b"7", b"{", b"\xff\xfe", b"[" * 4096, b'{"a":' * 800, b"{}", b'{"id": 1}'],
    ids=lambda text: repr(text[:12]),
)
def test_what_is_no_request_is_refused(text):
    with pytest.raises(ProtocolError):
        messages.decode_request(text, KINDS)


def test_a_field_that_is_missing_is_refused():
    for name in ("height_px", "shift"):
        text = json.dumps({key: value for key, value in MEASURE.items() if key != name}).encode()
        with pytest.raises(ProtocolError, match="takes the fields"):
            messages.decode_request(text, KINDS)


def test_an_answer_belongs_to_its_request():
    assert messages.decode_answer(messages.encode_result(7, {"device": "a board"}), 7) == {"device": "a board"}
    assert messages.decode_answer(messages.encode_working(7), 7) is None
    for answer in (messages.encode_result(6, {}), messages.encode_working(6), b'{"id": 7}', b"{}"):
        with pytest.raises(ProtocolError):
            messages.decode_answer(answer, 7)


def test_errors_cross_with_class_and_sentence_however_long():
    for error in (
        AcceleratorLost("given up"),
        DeviceInUse("16 connections"),
        DriverError("x" * 10_000),
        DriverError("\x00" * 9999),
    ):
        for request_id in (None, 7):
            with pytest.raises(type(error)) as raised:
                messages.decode_answer(messages.encode_error(request_id, error), 7)
            assert str(raised.value) == str(error)[:600]


def test_what_is_too_long_to_be_sent_is_refused_with_a_sentence():
    settings = {"\u00e4" * 90 + str(number): "\u00e4" * 100 for number in range(8)}
    with pytest.raises(ProtocolError, match="bytes is too long: 4096 are the most"):
        messages.encode_request(1, SetCamera(settings))
