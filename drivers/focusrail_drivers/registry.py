"""From a driver's name in the configuration to its class.

Every driver, ours and a third party's alike, is an entry point in the group `focusrail.rails`, `focusrail.cameras`,
`focusrail.accelerators` or `focusrail.buttons`.
A driver's module is imported only when it is asked for, so that a missing optional library hurts nobody else.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import Any

from focusrail_drivers.base import DriverError
from focusrail_drivers.cameras.found import FoundCamera


class UnknownDriver(DriverError):
    """The configuration names a driver that nobody provides."""


def names(kind: str) -> list[str]:
    """The names of all drivers of one kind: `rails`, `cameras`, `accelerators` or `buttons`."""
    return sorted(entry_points(group=f"focusrail.{kind}").names)


def load(kind: str, name: str) -> Any:
    """The class of driver `name`, unmade. Raises UnknownDriver; a missing library shows as DriverError."""
    found = entry_points(group=f"focusrail.{kind}", name=name)
    if not found:
        raise UnknownDriver(f"no {kind.removesuffix('s')} driver {name!r}; there are: {', '.join(names(kind))}")
    try:
        return next(iter(found)).load()
    except ImportError as error:
        raise DriverError(f"driver {name!r} cannot be loaded: {error}; install its optional dependency") from error


def find_cameras() -> list[FoundCamera]:
    """All cameras that are connected, of every driver whose module can look for them by a function `find`."""
    found: list[FoundCamera] = []
    for name in names("cameras"):
        try:
            look = getattr(sys.modules[load("cameras", name).__module__], "find", None)
            found.extend(look() if look is not None else ())
        except DriverError:
            continue  # its library is not installed: it can have no cameras here
    return found
