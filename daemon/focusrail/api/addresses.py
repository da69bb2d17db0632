"""Where the service is to be found: addresses for people, and the names that a Host header may say."""

from __future__ import annotations

import socket
from collections.abc import Collection
from contextlib import suppress

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def addresses(listen: tuple[str, int]) -> list[str]:
    """The addresses that lead to a service that listens so, the most general one last."""
    host, port = listen
    if host not in _EVERYWHERE:
        return [f"http://{f'[{host}]' if ':' in host else host}:{port}"]
    return [f"http://{name}:{port}" for name in ("127.0.0.1", f"{socket.gethostname()}.local", *_seen())]


def names(listen: tuple[str, int], more: Collection[str] = ()) -> set[str]:
    """By which a service that listens so may be reached: its address, this machine's names, and `more`."""
    host, _ = listen
    known = {"127.0.0.1", "localhost", "::1", host, *more}
    if host in _EVERYWHERE:
        name = socket.gethostname()
        known |= {name, f"{name}.local", *_seen()}
        with suppress(OSError):
            known |= {str(info[4][0]) for info in socket.getaddrinfo(name, None)}
    return known


def _seen() -> list[str]:
    """The address under which the network sees this machine, if there is a network."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        return [str(probe.getsockname()[0])]
    return []
