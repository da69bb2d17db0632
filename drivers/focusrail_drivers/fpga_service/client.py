"""A client's end of a connection to the service that owns the FPGA."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from focusrail_drivers.base import ConnectionLost, DeviceNotFound, DriverError, ProtocolError
from focusrail_drivers.fpga_service import messages
from focusrail_drivers.fpga_service.messages import Hello, Request
from focusrail_drivers.fpga_service.packets import Packets
from focusrail_drivers.fpga_service.session import WORKING_EVERY_S
from focusrail_drivers.pulse import beat

SILENCE_S = 5 * WORKING_EVERY_S  # after which a service that should say that it works is taken for lost
SHORTEST_SILENCE_S = 2 * WORKING_EVERY_S
LIMIT_S = 300.0  # for one request, however often the service says that it works


class HelperLost(ConnectionLost):
    """The service was killed, is stopped or stuck: the connection is of no use any more."""


class NotServing(HelperLost):
    """The service's socket is there and nobody listens: it was killed, and may be started again any moment."""


class Connection:
    """Greeted and ready for requests. One thread uses it. After HelperLost only `close` makes sense."""

    def __init__(self, socket: Path, *, silence_s: float = SILENCE_S, limit_s: float = LIMIT_S) -> None:
        """Connect, and be greeted within `limit_s`.

        Raises DeviceNotFound (there is no service), HelperLost, DeviceInUse (it has too many clients), ProtocolError
        (another version), DriverError (no right to).
        """
        self._silence_s = silence_s
        self._ids = 0
        self.heard_s = time.monotonic()  # when the service last said anything
        try:
            self._packets = Packets.connect(socket)
        except FileNotFoundError as error:
            raise DeviceNotFound(
                f"the FPGA's helper service is not running, there is no {socket}: "
                "systemctl start focusrail-fpga, or as root: focusrail fpga serve"
            ) from error
        except PermissionError as error:
            raise DriverError(
                f"{socket} may be used by its group only: add the user to it (usermod -aG focusrail USER), or "
                "SupplementaryGroups=focusrail to the unit"
            ) from error
        except (ConnectionRefusedError, BlockingIOError) as error:
            raise NotServing(f"nobody serves {socket}: {error} (journalctl -u focusrail-fpga)") from error
        except OSError as error:
            raise DriverError(f"{socket}: {error}") from error
        try:
            self.peer = self._packets.peer
            version = self.call(Hello(messages.VERSION), limit_s=limit_s).get("version")
            if version != messages.VERSION:
                raise ProtocolError(f"the FPGA's helper service speaks version {version}, not {messages.VERSION}")
        except BaseException:
            self.close()
            raise

    def call(self, request: Request, *, descriptor: int | None = None, limit_s: float = LIMIT_S) -> dict[str, Any]:
        """Send a request, with a descriptor if it takes one, and wait for its result.

        Raises HelperLost when the service is gone, silent for too long or not done within `limit_s`, or else the
        DriverError that it answers.
        """
        self._ids += 1
        deadline_s = time.monotonic() + limit_s
        ended: EOFError | None = None
        try:
            text = messages.encode_request(self._ids, request)
            self._packets.send(text, timeout_s=min(self._silence_s, limit_s), descriptor=descriptor)
        except TimeoutError:
            raise HelperLost(f"the FPGA's helper service (process {self.peer.pid}) takes no requests") from None
        except EOFError as error:
            ended = error  # it may have said why
        while True:
            beat()
            answer = self._receive(request, min(self._silence_s, deadline_s - time.monotonic()), ended)
            if answer is not None:
                return answer

    def _receive(self, request: Request, timeout_s: float, ended: EOFError | None) -> dict[str, Any] | None:
        who = f"the FPGA's helper service (process {self.peer.pid})"
        try:
            packet = self._packets.receive(timeout_s=timeout_s)
        except TimeoutError:
            raise HelperLost(f"{who} does not answer: {request.kind}") from None
        except EOFError as error:
            raise HelperLost(f"{who} hung up: {request.kind}: {ended or error}") from error
        except ProtocolError as error:
            raise HelperLost(f"{who}: {error}") from error
        packet.discard()
        self.heard_s = time.monotonic()
        return messages.decode_answer(packet.data, self._ids)

    def close(self) -> None:
        """Never raises; closing twice is fine."""
        self._packets.close()
