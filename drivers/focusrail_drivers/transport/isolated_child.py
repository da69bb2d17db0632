"""The inside of a helper process: takes calls from `Isolated` on stdin, answers on what was stdout.

It ends when its parent does, also while the library hangs: a thread watches for the end of stdin.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from focusrail_drivers.base import DriverError
from focusrail_drivers.transport.isolated import HEAD, error_fields, pack, unpack_head, unpack_header


def serve(
    handlers: Mapping[str, Callable[..., Any]],
    *,
    idle: Callable[[], None] | None = None,
    idle_s: float = 5.0,
    orphan_grace_s: float = 5.0,
) -> None:
    """Answer calls until stdin ends; call `idle` whenever nothing was asked for `idle_s`.

    A call that is still going on `orphan_grace_s` after stdin has ended is cut off: time to let go of the device.
    A handler gets the call's arguments by keyword and returns bytes (the payload) or anything that JSON can say.
    """
    # The parent decides when this process ends: neither a Ctrl-C in its terminal nor a service manager's TERM to the
    # whole group may cut off the frame that is being transferred.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Whatever a C library prints to stdout would spoil the messages.
    answers = os.dup(1)
    os.dup2(2, 1)
    threading.Thread(target=_die_with_parent, args=(orphan_grace_s,), name="orphan-watch", daemon=True).start()
    try:
        _write(answers, pack({"hello": os.getpid()}))
        while True:
            while idle is not None and not select.select([0], [], [], idle_s)[0]:
                idle()
            head = _read(HEAD.size)
            header_bytes, payload_bytes = unpack_head(head)
            header = unpack_header(_read(header_bytes))
            _read(payload_bytes)  # no call has one yet
            for part in _answer(handlers, header):
                _write(answers, part)
    except (EOFError, BrokenPipeError):
        return


def _answer(handlers: Mapping[str, Callable[..., Any]], header: dict[str, Any]) -> tuple[bytes, ...]:
    try:
        result = handlers[header["method"]](**header["args"])
        if isinstance(result, bytes):
            return pack({"id": header["id"]}, len(result)), result
        return (pack({"id": header["id"], "result": result}),)
    except DriverError as error:
        return _failure(header, error_fields(error))
    except Exception as error:  # noqa: BLE001  the top of this worker: a bug here must reach a person
        traceback.print_exc()
        return _failure(header, error_fields(DriverError(f"internal error at {header.get('method')}: {error!r}")))


def _failure(header: dict[str, Any], error: dict[str, str]) -> tuple[bytes, ...]:
    return (pack({"id": header.get("id"), "error": error}),)


def _read(count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        chunk = os.read(0, count - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return bytes(data)


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _die_with_parent(grace_s: float) -> None:
    # Needs a library that lets go of the interpreter while it waits, as gphoto2 does.
    # Not PR_SET_PDEATHSIG: it fires when the thread that started us ends, not the process.
    watch = select.poll()
    watch.register(0, 0)  # a hang-up is reported without being asked for
    watch.poll()
    time.sleep(grace_s)
    sys.stderr.flush()
    os._exit(1)
