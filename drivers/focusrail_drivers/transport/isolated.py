"""A C library in a process of its own, because a library that hangs in a USB call can only be ended by a kill.

`Isolated` starts the program, calls it with deadlines by the wall clock, and kills it when it is late; the next call
starts it afresh. `focusrail_drivers.transport.isolated_child.serve` is the other end.

A message is a fixed head (magic, header length, payload length), a JSON header and a binary payload. Nothing is
unpickled, and errors cross as a class name from a fixed table and a message. Messages go over stdin and stdout; what
the library prints goes to stderr, whose end is quoted when the process dies.
"""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from focusrail_drivers import base
from focusrail_drivers.pulse import BEAT_S, beat

HEAD = struct.Struct("!4sII")  # magic, length of the JSON header, length of the payload (bytes)
MAGIC = b"FRI1"
HEADER_LIMIT_BYTES = 1 << 20
PAYLOAD_LIMIT_BYTES = 1 << 30
LAST_WORDS_BYTES = 4096

ERRORS: Mapping[str, type[base.DriverError]] = {
    error.__name__: error
    for error in (
        base.DriverError,
        base.DeviceNotFound,
        base.DeviceInUse,
        base.ConnectionLost,
        base.DeviceTimeout,
        base.ProtocolError,
        base.SettingRefused,
        base.NotOffered,
        base.CaptureFailed,
        base.CameraStorageFull,
        base.AcceleratorLost,
    )
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a call came back with."""

    result: Any  # whatever JSON can say
    payload: bytes


def pack(header: Mapping[str, object], payload_bytes: int = 0) -> bytes:
    """One message as it goes over the pipe, up to its payload, which follows as it is."""
    text = json.dumps(header).encode()
    return HEAD.pack(MAGIC, len(text), payload_bytes) + text


def unpack_head(head: bytes | bytearray) -> tuple[int, int]:
    """The lengths (bytes) of header and payload. Raises ProtocolError if this is no head of ours."""
    magic, header_bytes, payload_bytes = HEAD.unpack_from(head)
    if magic != MAGIC or header_bytes > HEADER_LIMIT_BYTES or payload_bytes > PAYLOAD_LIMIT_BYTES:
        raise base.ProtocolError(f"not a message: {bytes(head[: HEAD.size])!r}")
    return header_bytes, payload_bytes


def unpack_header(text: bytes | bytearray) -> dict[str, Any]:
    """The JSON header. Raises ProtocolError."""
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise base.ProtocolError(f"not a message header: {bytes(text[:60])!r}: {error}") from error
    if not isinstance(header, dict):
        raise base.ProtocolError(f"not a message header: {bytes(text[:60])!r}")
    return header


def error_fields(error: base.DriverError) -> dict[str, str]:
    """An error as it crosses: its class, or the nearest that the table has, and its message."""
    kind = next((kind for kind in type(error).__mro__ if kind.__name__ in ERRORS), base.DriverError)
    return {"class": kind.__name__, "message": str(error)}


def error_from(fields: Mapping[str, object]) -> base.DriverError:
    """The error that crossed, to be raised."""
    return ERRORS.get(str(fields.get("class")), base.ProtocolError)(str(fields.get("message")))


class Isolated:
    """One helper process, started when first needed. All calls come from one owner thread."""

    def __init__(self, argv: Sequence[str], *, name: str, start_s: float = 30.0) -> None:
        """`argv` is run without a shell, in our environment; `name` is for messages; `start_s` allows for imports."""
        self._argv = tuple(argv)
        self._name = name
        self._start_s = start_s
        self._process: subprocess.Popen[bytes] | None = None
        self._last_words = bytearray()
        self._calls = 0

    @property
    def pid(self) -> int | None:
        """The helper process, if one has been started and not yet been ended from here."""
        return None if self._process is None else self._process.pid

    def call(self, method: str, args: Mapping[str, object] | None = None, *, timeout_s: float) -> Reply:
        """Let the helper do `method(**args)`, within `timeout_s` (on top of starting it, where that is needed).

        Raises the DriverError that the helper raised; DeviceTimeout when it is late (it has been killed);
        ConnectionLost when it has died, now or since the last call; ProtocolError when it talks nonsense. After any
        of the last three the next call starts a new helper, which knows nothing of what the old one did.
        """
        process = self._process or self._start()
        self._calls += 1
        request = pack({"id": self._calls, "method": method, "args": dict(args or {})})
        header, payload = self._exchange(process, request, timeout_s, doing=method)
        if header.get("id") != self._calls:
            self.kill()
            raise base.ProtocolError(f"{self._name}: answer {header.get('id')!r} to call {self._calls} ({method})")
        if (error := header.get("error")) is not None:
            raise error_from(error)
        return Reply(header.get("result"), payload)

    def kill(self) -> None:
        """End the helper now, whatever it is doing. Never raises; with none running it does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            _bury(process)

    def close(self, timeout_s: float = 5.0) -> None:
        """Let the helper end by itself (its stdin closes), and kill it after `timeout_s`. Never raises."""
        process = self._process
        if process is not None:
            _pipes(process)[0].close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout_s)
        self.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        self._last_words.clear()
        try:
            process = subprocess.Popen(
                self._argv, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise base.DriverError(f"{self._name}: cannot start {self._argv[0]}: {error}") from error
        for pipe in _pipes(process):
            os.set_blocking(pipe.fileno(), False)
        self._process = process
        header, _ = self._exchange(process, b"", self._start_s, doing="start")
        if "hello" not in header:
            self.kill()
            raise base.ProtocolError(f"{self._name}: the helper greets with {header!r}")
        return process

    def _exchange(
        self, process: subprocess.Popen[bytes], request: bytes, timeout_s: float, *, doing: str
    ) -> tuple[dict[str, Any], bytes]:
        """Send `request` and return the next message. The helper is ended before anything is raised."""
        try:
            return self._pump(process, request, time.monotonic() + timeout_s)
        except TimeoutError:
            self.kill()
            raise base.DeviceTimeout(
                f"{self._name}: no answer to {doing} within {timeout_s:g} s; its helper process was ended, "
                f"the next call starts a new one{self._quoted()}"
            ) from None
        except EOFError:
            with suppress(subprocess.TimeoutExpired):  # stdout may close a moment before the process is gone
                process.wait(1.0)
            status = process.poll()
            self._listen(process)
            self.kill()
            raise base.ConnectionLost(
                f"{self._name}: the helper process died ({_fate(status)}) at {doing}{self._quoted()}"
            ) from None
        except base.ProtocolError as error:
            self.kill()
            raise base.ProtocolError(f"{self._name}: {error}{self._quoted()}") from error

    def _pump(
        self, process: subprocess.Popen[bytes], request: bytes, deadline_s: float
    ) -> tuple[dict[str, Any], bytes]:
        stdin, stdout, stderr = (pipe.fileno() for pipe in _pipes(process))
        unsent = memoryview(request)
        received = bytearray()
        poller = select.poll()
        poller.register(stdout, select.POLLIN)
        poller.register(stderr, select.POLLIN)
        if unsent:
            poller.register(stdin, select.POLLOUT)
        while True:
            if (message := _complete(received)) is not None:
                return message
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0:
                raise TimeoutError
            beat()
            for fd, _ in poller.poll(min(remaining_s, BEAT_S) * 1000 + 1):
                if fd == stdin:
                    try:
                        unsent = unsent[os.write(stdin, unsent[:65536]) :]
                    except BrokenPipeError:
                        unsent = unsent[:0]  # it has died: stdout is about to end, and says so
                    if not unsent:
                        poller.unregister(stdin)
                elif fd == stdout:
                    chunk = os.read(stdout, 1 << 20)
                    if not chunk:
                        raise EOFError
                    received += chunk
                elif not self._hear(stderr):
                    poller.unregister(stderr)

    def _hear(self, stderr: int) -> bool:
        """Keep the end of what the library says; return whether there was something."""
        try:
            chunk = os.read(stderr, 65536)
        except BlockingIOError:
            return False
        self._last_words += chunk
        del self._last_words[:-LAST_WORDS_BYTES]
        return bool(chunk)

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        while self._hear(_pipes(process)[2].fileno()):
            pass

    def _quoted(self) -> str:
        words = self._last_words.decode(errors="replace").strip()
        return f"; its last words: {words[-600:]}" if words else ""


def _complete(received: bytearray) -> tuple[dict[str, Any], bytes] | None:
    """The message in `received`, None while it is still coming. Raises ProtocolError, also for more than one."""
    if len(received) < HEAD.size:
        return None
    header_bytes, payload_bytes = unpack_head(received)
    start = HEAD.size + header_bytes
    surplus = len(received) - start - payload_bytes
    if surplus < 0:
        return None
    if surplus > 0:
        raise base.ProtocolError(f"{surplus} bytes more than were announced")
    return unpack_header(received[HEAD.size : start]), bytes(memoryview(received)[start:])


def _fate(status: int | None) -> str:
    if status is None:
        return "its output ended, it did not"
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def _bury(process: subprocess.Popen[bytes]) -> None:
    # Bounded: a process stuck in the kernel (an unplugged USB hub) dies only when the driver lets go of it.
    with suppress(subprocess.TimeoutExpired):
        process.wait(5.0)
    for pipe in _pipes(process):
        pipe.close()


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    return process.stdin, process.stdout, process.stderr
