"""What a service tells systemd (sd_notify): that it is ready, that it lives, that it stops, what to keep for it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence

log = logging.getLogger(__name__)
_TIMEOUT_S = 1.0


def has_systemd() -> bool:
    """Whether somebody wants to be told."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def watchdog_s() -> float | None:
    """Within how many seconds systemd wants to hear WATCHDOG=1 from this process; None: not at all."""
    wanted, whose = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not wanted.isdecimal() or int(wanted) == 0 or (whose and whose != str(os.getpid())):
        return None
    return int(wanted) / 1e6


def notify(state: str, descriptors: Sequence[int] = ()) -> None:
    """Send `state` (READY=1, WATCHDOG=1, STOPPING=1, FDSTORE=1 ...) to whoever started us, if it wants to know."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # in the abstract namespace
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(_TIMEOUT_S)
            datagrams.connect(address)
            socket.send_fds(datagrams, [state.encode()], descriptors)
    except OSError as error:  # also: no descriptor is left for the socket
        log.warning("systemd was not told %s: %s", state.partition("\n")[0], error)
