"""Connections that nobody can hold for nothing: uvicorn's HTTP/1.1 with deadlines, and room for those who are let in.

A request must be whole within a time, what is answered must be fetched, and of too many connections by TCP those who
have never shown the token go first, the oldest before the others. An address that connects very often waits a little
each time before it is listened to, and who never shows the token has to connect anew every few requests. The Unix
socket is for those on the machine, and has its own place: whoever floods the network's side does not keep the command
line from halting the rail.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_MOST = 256  # by TCP at once
_REQUEST_S = 15.0  # from its first byte to its last; the largest body is 1 MB
_STALLED_S = 30.0  # as long as nothing of an answer is fetched
_OFTEN = 50  # connections in a second from one address
_WAIT_S = 0.5  # before the next one is listened to
_REQUESTS = 20  # on one connection without the token
_ADDRESSES = 1000  # that are kept count of


class Connection(H11Protocol):
    """One connection."""

    known = False  # has shown the token
    began_s = 0.0
    counted: ClassVar[dict[str, tuple[int, int]]] = {}  # address -> the second, and how often it has connected in it
    _answered = 0
    _asking: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.began_s = self.loop.time()
        self.app_state = {**self.app_state, "connection": self}
        self._watch()
        if self.by_tcp:
            if self._comes_often():
                # Not yet: Python 3.10 begins to read after this, paused or not.
                self.loop.call_soon(self._wait)
            others = [one for one in self.connections if isinstance(one, Connection) and one.by_tcp]
            if len(others) > _MOST:
                _dismiss(others, self)

    def _comes_often(self) -> bool:
        """Whether this address has connected too often within a second."""
        address, second = (self.client or ("",))[0], int(self.began_s)
        then, count = self.counted.get(address, (second, 0))
        count = count + 1 if then == second else 1
        if len(self.counted) >= _ADDRESSES:
            self.counted.clear()
        self.counted[address] = second, count
        return count > _OFTEN

    def _wait(self) -> None:
        if not self.transport.is_closing():
            self.transport.pause_reading()
            self.loop.call_later(_WAIT_S, self._listen)

    def _listen(self) -> None:
        if not self.transport.is_closing() and not self.flow.read_paused:
            self.transport.resume_reading()

    def on_response_complete(self) -> None:
        self._answered += 1
        super().on_response_complete()

    def handle_events(self) -> None:
        super().handle_events()
        if self.by_tcp and not self.known and self._answered >= _REQUESTS and self.cycle is not None:
            self.cycle.keep_alive = False

    @property
    def by_tcp(self) -> bool:
        """Whether it has not come by the Unix socket."""
        return self.server is None or self.server[1] is not None

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._asking, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def pause_writing(self) -> None:
        if self._stalled is None:
            self._stalled = self.loop.call_later(_STALLED_S, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def _watch(self) -> None:
        """Give a request that has begun its time to become whole."""
        coming = self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        if coming and self._asking is None:
            self._asking = self.loop.call_later(_REQUEST_S, self.transport.abort)
        elif not coming and self._asking is not None:
            self._asking.cancel()
            self._asking = None


def _dismiss(connections: list[Any], newest: Connection) -> None:
    """End one of too many: one that is not known and has been here longest; the newest if all others are known."""
    strangers = [one for one in connections if not one.known and one is not newest]
    oldest = min(strangers, key=lambda one: one.began_s, default=newest)
    oldest.transport.abort()
