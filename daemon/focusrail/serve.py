"""`focusrail serve`: the desk, reached by HTTP over TCP and over a Unix socket, until it is told to end."""

from __future__ import annotations

import asyncio
import errno
import faulthandler
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import structlog
import uvicorn

from focusrail.api.addresses import names
from focusrail.api.app import make_app
from focusrail.api.connections import Connection
from focusrail.api.token import token_at
from focusrail.button import CaptureButton
from focusrail.capture.unfinished import end_stacks, interrupted
from focusrail.config.schema import Config
from focusrail.desk import Desk
from focusrail.errors import ConfigError, FocusrailError, ShootInUse
from focusrail.event_log import EventLog
from focusrail.inbound import InboundFolder
from focusrail.watchdog import Watchdog
from focusrail_drivers.base import DriverError

log = structlog.get_logger(__name__)
_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # the last: the terminal that it runs in is closed
_LOOK_S = 1.0  # after the rig
_AGAIN_S = 60.0  # to a shoot that could not be gone on with
_ATTEMPTS = 10  # to go on with a shoot that comes no further, before a person has to look
_RETRY_S = 5.0  # between two attempts to open a rig that is not there
_BACKLOG = 128
_TURN_S = 0.001  # until another thread may go on: the shutter does not wait for those who ask
_STALE_S = 60  # a peer that acknowledges nothing for so long is gone: a phone that has left the room
_LONGEST_PATH_BYTES = 107  # of a Unix socket
_UNSENT_BYTES = 32 << 10
_IP_FREEBIND = 15  # ip(7); Python has no name for it
_ENDING_S = 3  # for answers under way when it is told to end


def serve(config: Config, *, command: str = "focusrail") -> None:
    """Open the rig, go on with what was interrupted, answer, until SIGTERM, SIGINT or SIGHUP. Raises FocusrailError.

    `command` is what a person types to reach this configuration.
    """
    sys.setswitchinterval(_TURN_S)
    if sys.stderr is sys.__stderr__:
        faulthandler.enable()  # what hung is to be seen when the watchdog ends it
    with ExitStack() as stack:
        # No event of this log has the number of one that an earlier service has told.
        desk = Desk(config, EventLog(first=int(time.time() * 1000)), command=command)
        stack.callback(desk.service.close)
        end_stacks(desk.service.journal, desk.service.spool)
        watchdog = stack.enter_context(Watchdog(desk))
        tcp, unix = (
            stack.enter_context(_tcp(*config.service.address)),
            stack.enter_context(_unix(config.service_socket)),
        )
        stack.callback(desk.close)
        app = make_app(
            desk, token=token_at(config.store.token_file), hosts=names(config.service.address, config.service.hosts)
        )
        settings = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            log_level="error",  # that a stranger sends nonsense is not worth a line each time
            server_header=False,
            date_header=False,
            lifespan="off",
            ws="none",
            http=Connection,
            proxy_headers=False,  # who asks is who is connected, whatever a header says
            backlog=_BACKLOG,
            timeout_graceful_shutdown=_ENDING_S,
        )
        if config.service.inbound.folder is not None:
            inbound = InboundFolder(desk, config.service.inbound)
            inbound.start()
            stack.callback(inbound.stop)
            stack.callback(desk.suspend)
        if config.button.driver is not None:
            button = CaptureButton(desk, config.button)
            button.start()
            stack.callback(button.stop)
        asyncio.run(_serve(settings, [tcp, unix], desk, config, watchdog))


async def _serve(
    config: uvicorn.Config, sockets: list[socket.socket], desk: Desk, given: Config, watchdog: Watchdog
) -> None:
    server = _Server(config, desk, watchdog)
    loop = asyncio.get_running_loop()
    watchdog.watch(loop)
    for number in _ENDS:
        loop.add_signal_handler(number, server.end)
    desk.service.holder.halted_by = signal.SIGUSR1
    loop.add_signal_handler(signal.SIGUSR1, server.halt)
    desk.service.goes_on = given.service.resume
    opening = asyncio.create_task(_keep_open(desk, given, watchdog))
    try:
        await server.serve(sockets)
    finally:
        opening.cancel()
        for number in (*_ENDS, signal.SIGUSR1):  # it ends: who says so again has no need to
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
        watchdog.ending()


class _Server(uvicorn.Server):
    """uvicorn's, whose signals are ours, and which does not wait for those who only listen to events."""

    def __init__(self, config: uvicorn.Config, desk: Desk, watchdog: Watchdog) -> None:
        super().__init__(config)
        self._desk, self._watchdog = desk, watchdog

    def end(self) -> None:
        """Answer what is under way, and end. Whoever waits for a move, or for events, is answered now."""
        self.should_exit = True
        self._watchdog.ending()
        threading.Thread(target=self._desk.suspend, name="ending").start()

    def halt(self) -> None:
        """Stop the rail, and what moves it: another process has asked for that."""

        def halting() -> None:
            try:
                self._desk.halt()
            except (DriverError, FocusrailError) as error:
                log.warning("rail.not_halted", error=str(error))

        threading.Thread(target=halting, name="halting").start()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ours are set already."""
        yield


async def _keep_open(desk: Desk, config: Config, watchdog: Watchdog) -> None:
    """Open the rig, again and again where it is not there; then go on with what was interrupted, and tidy once a day.

    What could not be gone on with is tried again when the rig is opened anew, or has found its place, and once a
    minute where it never came to that: a disk that is mounted late.
    """
    tried, again_s, tidied = (desk.service.holder.kept, False), math.inf, None
    while True:
        if desk.service.holder.kept is None and not desk.status().doing:
            try:
                devices = await asyncio.to_thread(desk.open)
            except (DriverError, FocusrailError) as error:
                log.warning("rig.not_opened", error=str(error), again_in_s=_RETRY_S)
                await asyncio.sleep(_RETRY_S - _LOOK_S)
            except Exception:  # a driver's bug; the next attempt may find it in a better mood
                log.exception("rig.open_failed")
            else:
                log.info("service.started", devices=devices, listens=config.service.listen)
                watchdog.ready()
        rig, status = desk.service.holder.kept, desk.status()
        now = (rig, status.position_mm is not None)
        if rig is not None and not status.doing and (tried != now or time.monotonic() > again_s):
            tried, again_s = now, math.inf
            if config.service.resume and not await asyncio.to_thread(_go_on, desk):
                again_s = time.monotonic() + _AGAIN_S
        today = desk.service.clock.utc().date()
        if tidied != today and not desk.status().doing:
            tidied = today
            await asyncio.to_thread(desk.tidy)
        await asyncio.sleep(_LOOK_S)


def _go_on(desk: Desk) -> bool:
    """Go on with the shoot that waits for it; False where one does, or may, and it has not come to that."""
    journal, shoot_id = desk.service.journal, None
    try:
        shoot = interrupted(journal, desk.service.spool)
        if shoot is None:
            return True
        shoot_id = shoot.shoot_id
        # What has ended each attempt without a word, as a driver that hangs does, may end the next as well.
        if journal.note_going_on(shoot_id) > _ATTEMPTS:
            error = f"{_ATTEMPTS} attempts came no further: see what the rig does, then resume or abort it"
            log.error("shoot.not_resumed", shoot_id=shoot_id, error=error)
            return True
        log.info("shoot.resumed", shoot_id=shoot_id)
        desk.resume(shoot_id, unasked=True)
        return True
    except (DriverError, FocusrailError) as refused:
        log.error("shoot.not_resumed", shoot_id=shoot_id, error=str(refused))
        if shoot_id is not None:
            with suppress(FocusrailError):
                journal.forget_going_on(shoot_id)
        return False


@contextmanager
def _tcp(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Every connection gets this from here: live view must not grow old in the kernel's queue before a slow viewer.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        try:
            try:
                listening.bind((host, port))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                # At boot a network may come later than we; and a machine that finds none has still a rig.
                log.warning("service.address_missing", host=host)
                listening.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
                listening.bind((host, port))
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else "there is no such port"
            # What may be otherwise in a moment must not keep systemd from trying again.
            passes = isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, socket.EAI_AGAIN)
            kind = FocusrailError if passes else ConfigError
            raise kind(f"service.listen: cannot listen on {host}:{port}: {why}") from error
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALE_S * 1000)
        listening.listen(_BACKLOG)
        yield listening


@contextmanager
def _unix(path: Path) -> Iterator[socket.socket]:
    """A socket that only the owner and its group may use; one that a killed service has left is replaced."""
    if len(os.fsencode(path)) > _LONGEST_PATH_BYTES:
        raise ConfigError(f"service.socket: {path} is longer than {_LONGEST_PATH_BYTES} bytes: choose another place")
    if path.exists() and not path.is_socket():
        raise ConfigError(f"service.socket: {path} is there, and is no socket: remove it, or choose another place")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if path.exists() and probe.connect_ex(str(path)) == 0:
            raise ShootInUse(f"a service answers at {path} already: stop it, or use it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        before = os.umask(0o117)
        try:
            path.unlink(missing_ok=True)
            listening.bind(str(path))
        except OSError as error:
            raise ConfigError(f"service.socket: cannot listen at {path}: {error.strerror}") from error
        finally:
            os.umask(before)
        listening.listen(_BACKLOG)
        try:
            yield listening
        finally:
            path.unlink(missing_ok=True)
