"""What is said between the service that owns the FPGA and its clients.

A message is one packet of a Unix socket (SOCK_SEQPACKET): a JSON object of at most LIMIT_BYTES, in ASCII. A request is
`{"id": 7, "kind": "measure", ...}` with exactly the fields of its class below; the first one of a connection is
`hello`. It is answered once, by `{"id": 7, "result": {...}}` or `{"id": 7, "error": {"class": ..., "message": ...}}`,
and before that by any number of `{"id": 7, "working": true}`: the service lives, and the FPGA moves. The service
speaks unasked only to refuse a connection, with the id null.

A further kind of request is a further class here and a handler in the service (session.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.accelerators.kv260.options import ShiftSetting
from focusrail_drivers.base import DriverError, ProtocolError
from focusrail_drivers.fpga_service.shared_memory import LIMIT_BYTES as MEMORY_LIMIT_BYTES
from focusrail_drivers.fpga_service.shared_memory import MAX_SIDE_PX
from focusrail_drivers.kv260_mipi.modes import MAX_STALE_FRAMES, STALE_FRAMES, mode_of
from focusrail_drivers.transport.isolated import error_fields, error_from, unpack_header

VERSION = 2
LIMIT_BYTES = 4096
_MESSAGE_CHARACTERS = 600  # of an error; an ASCII escape takes six bytes of a character
_MAX_ID = (1 << 53) - 1
_MAX_SETTINGS, _SETTING_CHARACTERS = 8, 100


class Request:
    """One thing that a client may ask for. A subclass is a frozen dataclass that checks its own fields."""

    __slots__ = ()
    kind: ClassVar[str]
    brings_memory: ClassVar[bool] = False  # whether one descriptor comes with it


@dataclass(frozen=True, slots=True)
class Hello(Request):
    """The first request: what the client speaks. Result: `version`, what the service speaks."""

    kind: ClassVar[str] = "hello"
    version: int

    def __post_init__(self) -> None:
        check_whole("version", self.version, 1, 1 << 16)


@dataclass(frozen=True, slots=True)
class Open(Request):
    """Be ready to measure; an FPGA that was lost is tried again. Result: `device`, a line that names it.

    `shift` is the client's setting, `auto` included: what it may come to and is not exact here is refused now.
    """

    kind: ClassVar[str] = "open"
    shift: ShiftSetting

    def __post_init__(self) -> None:
        if self.shift != "auto":
            _check_shift(self.shift)


@dataclass(frozen=True, slots=True)
class Share(Request):
    """Sealed memory for what follows comes with this, in place of any before it. Result: nothing."""

    kind: ClassVar[str] = "share"
    brings_memory: ClassVar[bool] = True
    size_bytes: int

    def __post_init__(self) -> None:
        check_whole("size_bytes", self.size_bytes, 1, MEMORY_LIMIT_BYTES)


@dataclass(frozen=True, slots=True)
class Measure(Request):
    """Score the luma in the shared memory, and lay the scores beside it (shared_memory.Places). Result: nothing."""

    kind: ClassVar[str] = "measure"
    height_px: int
    width_px: int
    shift: reference.Shift

    def __post_init__(self) -> None:
        check_whole("height_px", self.height_px, 1, MAX_SIDE_PX)
        check_whole("width_px", self.width_px, 1, MAX_SIDE_PX)
        _check_shift(self.shift)


@dataclass(frozen=True, slots=True)
class OpenCamera(Request):
    """Set the MIPI camera up, and have it until CloseCamera or the connection's end. Result: `camera`, a line."""

    kind: ClassVar[str] = "open camera"
    mode: str
    stale_frames: int

    def __post_init__(self) -> None:
        try:
            mode_of(self.mode)
        except (ValueError, TypeError) as error:
            raise ProtocolError(str(error)[:200]) from None
        check_whole("stale_frames", self.stale_frames, STALE_FRAMES, MAX_STALE_FRAMES)


@dataclass(frozen=True, slots=True)
class SetCamera(Request):
    """Change settings of the camera. Result: `settings`, as they now are."""

    kind: ClassVar[str] = "set camera"
    settings: Mapping[str, str]

    def __post_init__(self) -> None:
        given = self.settings
        if not isinstance(given, dict) or len(given) > _MAX_SETTINGS:
            raise ProtocolError(f"settings are {_quoted(given)}, not an object of at most {_MAX_SETTINGS} texts")
        for each in (*given, *given.values()):
            if not isinstance(each, str) or len(each) > _SETTING_CHARACTERS:
                raise ProtocolError(f"a setting has {_quoted(each)}, no text of at most {_SETTING_CHARACTERS}")


@dataclass(frozen=True, slots=True)
class Expose(Request):
    """Take a picture of what is from now on. Result, when the exposure has ended: `capture`, its number."""

    kind: ClassVar[str] = "expose"
    timeout_ms: int

    def __post_init__(self) -> None:
        check_whole("timeout_ms", self.timeout_ms, 1, 600_000)


@dataclass(frozen=True, slots=True)
class Fetch(Request):
    """Lay the picture of that capture into the shared memory: height x width x 3 bytes. Result: nothing."""

    kind: ClassVar[str] = "fetch"
    capture: int

    def __post_init__(self) -> None:
        check_whole("capture", self.capture, 0, _MAX_ID)


@dataclass(frozen=True, slots=True)
class CloseCamera(Request):
    """Let the camera go. Result: nothing."""

    kind: ClassVar[str] = "close camera"


def check_whole(name: str, value: object, least: int, most: int) -> None:
    """Raise ProtocolError unless this is a whole number in that closed range."""
    if type(value) is not int or not least <= value <= most:  # JSON's true is no number
        raise ProtocolError(f"{name} is {_quoted(value)}, not a whole number from {least} to {most}")


def _check_shift(shift: object) -> None:
    if shift != "bracket":
        check_whole("shift", shift, reference.SHIFTS[0], reference.SHIFTS[-1])


def encode_request(request_id: int, request: Request) -> bytes:
    """A request as it is sent."""
    given = {field.name: getattr(request, field.name) for field in fields(request)}  # type: ignore[arg-type]
    return _packed({"id": request_id, "kind": request.kind, **given})


def decode_request(text: bytes, kinds: Mapping[str, type[Request]]) -> tuple[int, Request]:
    """The id of a request and what it asks for. Raises ProtocolError, with a sentence for the client."""
    message = unpack_header(text)
    request_id = message.pop("id", None)
    check_whole("id", request_id, 0, _MAX_ID)
    assert isinstance(request_id, int)
    kind = message.pop("kind", None)
    class_ = kinds.get(kind) if isinstance(kind, str) else None
    if class_ is None:
        raise ProtocolError(f"kind is {_quoted(kind)}, none of {', '.join(kinds)}")
    wanted = {field.name for field in fields(class_)}  # type: ignore[arg-type]
    if message.keys() != wanted:
        listed = ", ".join(_quoted(name) for name in sorted(message)[:8])
        raise ProtocolError(f"{kind} takes the fields ({', '.join(sorted(wanted))}), not ({listed})")
    return request_id, class_(**message)


def encode_result(request_id: int, result: Mapping[str, object]) -> bytes:
    """The answer to a request that was done."""
    return _packed({"id": request_id, "result": dict(result)})


def encode_working(request_id: int) -> bytes:
    """The sign of life of a request that is being done."""
    return _packed({"id": request_id, "working": True})


def encode_error(request_id: int | None, error: DriverError) -> bytes:
    """The answer to a request that cannot be done; without an id, to one that was not understood."""
    told = error_fields(error)
    return _packed({"id": request_id, "error": {**told, "message": told["message"][:_MESSAGE_CHARACTERS]}})


def decode_answer(text: bytes, request_id: int) -> dict[str, Any] | None:
    """The result of a request; None: it is being worked on. Raises what the service raised, or ProtocolError."""
    message = unpack_header(text)
    error, result = message.get("error"), message.get("result")
    if isinstance(error, dict) and message.get("id") in {None, request_id}:
        raise error_from(error)
    if message.get("id") != request_id:
        raise ProtocolError(f"answer to {_quoted(message.get('id'))}, not to {request_id}")
    if message.get("working") is True:
        return None
    if not isinstance(result, dict):
        raise ProtocolError(f"no answer: {bytes(text[:60])!r}")
    return result


def _packed(message: Mapping[str, object]) -> bytes:
    text = json.dumps(message, allow_nan=False).encode()
    if len(text) > LIMIT_BYTES:
        raise ProtocolError(f"a message of {len(text)} bytes is too long: {LIMIT_BYTES} are the most")
    return text


def _quoted(value: object) -> str:
    return repr(value)[:60]
