"""The service's door: listens, lets clients in, each in a thread of its own, and tells systemd that it lives."""

from __future__ import annotations

import logging
import select
import socket
import stat
import threading
import time
from collections import Counter
from concurrent import futures
from contextlib import suppress
from pathlib import Path

from focusrail_drivers.base import DeviceInUse, DriverError
from focusrail_drivers.fpga_service import messages
from focusrail_drivers.fpga_service.fpga import Fpga
from focusrail_drivers.fpga_service.log_rate import LogRate
from focusrail_drivers.fpga_service.packets import Packets, Peer
from focusrail_drivers.fpga_service.session import Handlers, Session
from focusrail_drivers.fpga_service.shared_memory import Budget
from focusrail_drivers.notify import notify

log = logging.getLogger(__name__)
log.addFilter(LogRate())
CONNECTIONS = 16
CONNECTIONS_OF_ONE_PROCESS = 6  # so that none can take them all
CONNECTIONS_OF_ONE_USER = 12  # nor one user by many processes; a rig needs two: what measures, and the camera
_BACKLOG = 16
TICK_S = 0.5
REST_S = 8.0


class Server:
    """Serves on a socket that it makes, until it is told to stop."""

    def __init__(self, path: Path, fpga: Fpga, handlers: Handlers) -> None:
        self._path, self._fpga, self._handlers = path, fpga, handlers
        self._lock = threading.Lock()
        self._sessions: dict[Packets, threading.Thread] = {}
        self._pids: Counter[int] = Counter()
        self._uids: Counter[int] = Counter()
        self._budget = Budget()

    def run(self, stop: threading.Event) -> None:
        """Open the FPGA, serve until `stop` is set, and bring the FPGA to rest. Raises DriverError."""
        try:
            opening = self._fpga.ready()
            while not futures.wait([opening], TICK_S).done:
                if stop.is_set():
                    return
            name = opening.result()
            with _listen(self._path) as listening:
                log.info("serving on %s: %s", self._path, name)
                notify(f"READY=1\nSTATUS={name}")
                try:
                    self._serve(listening, stop)
                finally:
                    self._path.unlink(missing_ok=True)
        finally:
            notify("STOPPING=1")
            self._hang_up()
            if not self._fpga.close(REST_S):
                log.error("the FPGA did not come to rest within %g s", REST_S)

    def _serve(self, listening: socket.socket, stop: threading.Event) -> None:
        poll = select.poll()
        poll.register(listening, select.POLLIN)
        alive, told_s = True, 0.0
        while not stop.is_set():
            if poll.poll(1000 * TICK_S):
                self._let_in(listening)
            if time.monotonic() - told_s < TICK_S:
                continue  # who connects again and again is no reason to flood systemd
            told_s = time.monotonic()
            was_alive, alive = alive, self._fpga.alive()
            if alive:
                notify("WATCHDOG=1")
            elif was_alive:
                log.error("the FPGA does not answer, and has no deadline: the watchdog will end this process")

    def _let_in(self, listening: socket.socket) -> None:
        try:
            connected, _ = listening.accept()
        except OSError as error:  # it hung up already, or there are no descriptors left
            log.warning("a connection was not accepted: %s", error)
            return
        packets = Packets(connected)
        peer = packets.peer
        with self._lock:
            if (in_use := self._in_use(peer)) is None:
                name = f"client {peer.pid}"
                thread = threading.Thread(target=self._attend, args=(packets, peer), name=name, daemon=True)
                self._sessions[packets] = thread
                self._pids[peer.pid] += 1
                self._uids[peer.uid] += 1
                thread.start()
                return
        log.warning("refused %s: %s", peer, in_use)
        with suppress(EOFError, TimeoutError):
            packets.send(messages.encode_error(None, in_use), timeout_s=0.01)
        packets.close()

    def _in_use(self, peer: Peer) -> DeviceInUse | None:
        if len(self._sessions) >= CONNECTIONS:
            return DeviceInUse(f"the service has {CONNECTIONS} connections already")
        if self._pids[peer.pid] >= CONNECTIONS_OF_ONE_PROCESS:
            return DeviceInUse(f"process {peer.pid} has {CONNECTIONS_OF_ONE_PROCESS} connections already")
        if self._uids[peer.uid] >= CONNECTIONS_OF_ONE_USER:
            return DeviceInUse(f"user {peer.uid} has {CONNECTIONS_OF_ONE_USER} connections already")
        return None

    def _attend(self, packets: Packets, peer: Peer) -> None:
        try:
            Session(packets, self._fpga, self._handlers, budget=self._budget).run()
        finally:
            with self._lock:
                del self._sessions[packets]
                self._pids -= Counter([peer.pid])
                self._uids -= Counter([peer.uid])

    def _hang_up(self) -> None:
        with self._lock:
            sessions = dict(self._sessions)
        for packets in sessions:
            packets.hang_up()
        for thread in sessions.values():
            thread.join(1.0)


def _listen(path: Path) -> socket.socket:
    """A socket at `path` for whoever is of this process's group, in place of what a killed service left there."""
    beside = path.with_name(f".{path.name}.new")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
            raise DriverError(f"{path} is in the way: it is no socket")
        beside.unlink(missing_ok=True)
        listening.bind(str(beside))
        beside.chmod(0o660)
        listening.listen(_BACKLOG)
        beside.replace(path)  # never a moment at which it is there and cannot be used
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise DriverError(f"no socket at {path}: {error}") from error
    except BaseException:
        listening.close()
        raise
    return listening
