"""One connection of the service, in a thread of its own: takes requests one by one and answers them.

A handler gets the session and a request that has checked itself, and returns the result's fields. What it asks of the
FPGA it waits for by `Session.wait`, which meanwhile tells the client that work goes on, and gives up when the client
has gone.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from concurrent import futures
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from typing import Any, TypeVar

from focusrail_drivers.base import DeviceInUse, DriverError, ProtocolError
from focusrail_drivers.fpga_service import messages
from focusrail_drivers.fpga_service.fpga import Fpga
from focusrail_drivers.fpga_service.log_rate import LogRate
from focusrail_drivers.fpga_service.messages import Hello, Request, Share
from focusrail_drivers.fpga_service.packets import Packet, Packets
from focusrail_drivers.fpga_service.shared_memory import Budget, SharedMemory

log = logging.getLogger(__name__)
log.addFilter(LogRate())
T = TypeVar("T")
Handler = Callable[["Session", Any], Mapping[str, object]]  # the second is the request of the handler's class
Handlers = Mapping[type[Request], Handler]
GREETING_S = 5.0
SEND_S = 2.0
WORKING_EVERY_S = 1.0


class Session:
    """What the service knows of a client."""

    def __init__(self, packets: Packets, fpga: Fpga, handlers: Handlers, *, budget: Budget | None = None) -> None:
        self.fpga = fpga
        self.peer = packets.peer
        self.at_end = ExitStack()  # what handlers want done when the client has gone
        self._packets = packets
        self._handlers = handlers
        self._kinds: dict[str, type[Request]] = {each.kind: each for each in handlers} | {Share.kind: Share}
        self._budget = budget or Budget()
        self._memory: SharedMemory | None = None
        self._request_id = 0

    @property
    def memory(self) -> SharedMemory:
        """What the client shares. Raises ProtocolError if it shares nothing."""
        if self._memory is None:
            raise ProtocolError("no memory was shared")
        return self._memory

    def wait(self, future: Future[T]) -> T:
        """The result of what the FPGA was asked for. Raises what it raised, or EOFError when the client has gone.

        However it ends, the FPGA has then nothing of this session in hand: what waits in the queue is cancelled, and
        what has begun is waited for, for it may be at the memory that the client shares.
        """
        try:
            while not futures.wait([future], WORKING_EVERY_S).done:
                self.tell_working()
            return future.result()
        finally:
            if not future.cancel():
                futures.wait([future])
            del future  # or an error's traceback would hold it, and it the error, and both the client's memory

    def tell_working(self) -> None:
        """Every WORKING_EVERY_S, by whoever works in many short waits. Raises EOFError when the client has gone."""
        if self._packets.gone():
            raise EOFError("it hung up while the FPGA worked for it")
        if self.fpga.alive():
            self._packets.send(messages.encode_working(self._request_id), timeout_s=SEND_S)

    def run(self) -> None:
        """Until the client or the service ends it. Raises nothing."""
        log.info("connected: %s", self.peer)
        why = "it hung up"
        try:
            self._greet()
            while True:
                self._serve(self._packets.receive(timeout_s=None))
        except ProtocolError as error:
            why = str(error)
            self._refuse(error)
        except TimeoutError:
            why = "it is too slow"
        except EOFError as error:
            why = str(error)
        except Exception as error:  # the top of a request: a bug here must reach a person
            log.exception("%s: internal error", self.peer)
            why = f"internal error: {error!r}"
            self._refuse(DriverError(why))
        finally:
            self._end()
        log.info("disconnected: %s: %s", self.peer, why)

    def _end(self) -> None:
        try:
            self.at_end.close()
        except Exception:  # as in run
            log.exception("%s: internal error at its end", self.peer)
        self._let_go()
        self._packets.close()

    def _greet(self) -> None:
        request = self._decode(self._packets.receive(timeout_s=GREETING_S), {Hello.kind: Hello})
        assert isinstance(request, Hello)
        if request.version != messages.VERSION:
            raise ProtocolError(
                f"the service speaks version {messages.VERSION}, and its client {request.version}: "
                "restart whichever is older (systemctl restart focusrail-fpga)"
            )
        self._answer({"version": messages.VERSION})

    def _serve(self, packet: Packet) -> None:
        request = self._decode(packet, self._kinds)
        try:
            if isinstance(request, Share):
                self._adopt(packet.descriptors[0], request.size_bytes)
                self._answer({})
                return
            self._answer(self._handlers[type(request)](self, request))
        except ProtocolError:
            raise
        except DriverError as error:
            self._packets.send(messages.encode_error(self._request_id, error), timeout_s=SEND_S)

    def _adopt(self, descriptor: int, size_bytes: int) -> None:
        """Use this memory in place of any before. Raises ProtocolError, DeviceInUse if all share too much."""
        self._let_go()
        try:
            self._budget.take(size_bytes)
        except DeviceInUse:
            os.close(descriptor)
            raise
        try:
            self._memory = SharedMemory.adopt(descriptor, size_bytes)
        except BaseException:
            self._budget.give_back(size_bytes)
            raise

    def _let_go(self) -> None:
        memory, self._memory = self._memory, None
        if memory is not None:
            size_bytes = memory.size_bytes
            memory.close()
            self._budget.give_back(size_bytes)

    def _decode(self, packet: Packet, kinds: Mapping[str, type[Request]]) -> Request:
        """The request in a packet. Its descriptor is still to be taken; if anything is wrong, none is left open."""
        try:
            self._request_id, request = messages.decode_request(packet.data, kinds)
            if len(packet.descriptors) != request.brings_memory:
                wanted = int(request.brings_memory)
                raise ProtocolError(f"{request.kind} came with {len(packet.descriptors)} descriptors, not {wanted}")
        except BaseException:
            packet.discard()
            raise
        return request

    def _answer(self, result: Mapping[str, object]) -> None:
        self._packets.send(messages.encode_result(self._request_id, result), timeout_s=SEND_S)

    def _refuse(self, error: DriverError) -> None:
        with suppress(EOFError, TimeoutError):
            self._packets.send(messages.encode_error(None, error), timeout_s=0.1)
