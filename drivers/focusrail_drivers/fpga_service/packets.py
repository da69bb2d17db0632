"""Packets over a Unix socket, whole or not at all, each wait with its deadline, no descriptor left behind."""

from __future__ import annotations

import array
import os
import select
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from focusrail_drivers.base import ProtocolError
from focusrail_drivers.fpga_service.messages import LIMIT_BYTES

_DESCRIPTORS = 4  # room for so many at once; what does not fit the kernel drops, and says that it did
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Packet:
    """What came in one piece. Who takes the descriptors owns them."""

    data: bytes
    descriptors: tuple[int, ...] = ()

    def discard(self) -> None:
        """Close the descriptors."""
        for each in self.descriptors:
            os.close(each)


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, by the kernel's word."""

    pid: int
    uid: int
    gid: int

    def __str__(self) -> str:
        return f"process {self.pid} (user {self.uid}, group {self.gid})"


class Packets:
    """One end of a connection. One thread sends and receives; `hang_up` is for any."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        connected.setblocking(False)

    @classmethod
    def connect(cls, path: Path) -> Packets:
        """To the socket at this path, at once or not at all. Raises OSError."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            made.setblocking(False)
            made.connect(str(path))
        except BaseException:
            made.close()
            raise
        return cls(made)

    @property
    def peer(self) -> Peer:
        """Who connected, or who listens."""
        raw = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return Peer(*_CREDENTIALS.unpack(raw))

    def send(self, data: bytes, *, timeout_s: float, descriptor: int | None = None) -> None:
        """Raises TimeoutError if the other end does not take it, EOFError if it is gone."""
        deadline_s = time.monotonic() + timeout_s
        rights = [] if descriptor is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        while True:
            try:
                self._socket.sendmsg([data], rights, socket.MSG_NOSIGNAL)
                return
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline_s)
            except OSError as error:
                raise EOFError(str(error)) from error

    def receive(self, *, timeout_s: float | None) -> Packet:
        """The next packet. Raises TimeoutError, EOFError at the end, ProtocolError for one that is too long.

        None waits for ever.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            self._wait(select.POLLIN, deadline_s)
            try:
                return self._take()
            except BlockingIOError:
                continue

    def gone(self) -> bool:
        """Whether the other end has hung up, though what it sent before may still be there."""
        return bool(self._poll(select.POLLRDHUP, 0))

    def hang_up(self) -> None:
        """End the connection, for both ends, from any thread; it is still to be closed."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Never raises; closing twice is fine."""
        self._socket.close()

    def _take(self) -> Packet:
        room = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
        flags = socket.MSG_CMSG_CLOEXEC
        try:
            data, ancillary, told, _ = self._socket.recvmsg(LIMIT_BYTES, room, flags)
        except ConnectionResetError:
            # The other end closed before it had read everything. What it said before comes after this notice.
            data, ancillary, told, _ = self._receive_after_reset(room, flags)
        packet = Packet(data, _descriptors(ancillary))
        if told & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            packet.discard()
            what = f"more than {LIMIT_BYTES} bytes" if told & socket.MSG_TRUNC else "too many descriptors"
            raise ProtocolError(f"a message with {what}")
        if not data:  # the end; an empty packet looks the same, and nobody needs one
            packet.discard()
            raise EOFError("the connection ended")
        return packet

    def _receive_after_reset(self, room: int, flags: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
        try:
            return self._socket.recvmsg(LIMIT_BYTES, room, flags)
        except OSError as error:
            raise EOFError(str(error)) from error

    def _wait(self, events: int, deadline_s: float | None) -> None:
        remaining_s = None if deadline_s is None else deadline_s - time.monotonic()
        if (remaining_s is not None and remaining_s <= 0) or not self._poll(events, remaining_s):
            raise TimeoutError

    def _poll(self, events: int, timeout_s: float | None) -> int:
        poll = select.poll()
        poll.register(self._socket, events)
        ready = poll.poll(None if timeout_s is None else 1000 * timeout_s)
        return ready[0][1] if ready else 0


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return tuple(found)
