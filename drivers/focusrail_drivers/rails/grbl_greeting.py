"""Meeting a GRBL controller: have it listen, with nothing half said, and learn what it is. Nothing moves."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from focusrail_drivers.base import DeviceNotFound, DeviceTimeout, DriverError, ProtocolError
from focusrail_drivers.clock import Clock
from focusrail_drivers.rails.grbl_geometry import Geometry
from focusrail_drivers.rails.grbl_link import GrblLink
from focusrail_drivers.rails.grbl_options import GrblOptions
from focusrail_drivers.rails.grbl_protocol import FULL_REPORT, Status, parse_build_info, parse_settings
from focusrail_drivers.transport.serial_line import SerialLine


@dataclass(frozen=True, slots=True)
class Greeting:
    """A controller that listens."""

    link: GrblLink
    name: str  # of its firmware
    geometry: Geometry
    untouched: bool  # it was found standing and unlocked, as somebody left it


def greet(line: SerialLine, options: GrblOptions, clock: Clock) -> Greeting:
    """Meet the controller at the end of an open line.

    Raises DeviceNotFound; ProtocolError for what is no GRBL 1.1; DriverError for impossible settings.
    """
    link = GrblLink(line, clock, axis=options.axis, answer_timeout_s=options.answer_timeout_s)
    untouched = _synchronise(link, options)
    name, origin_at_switch = parse_build_info(link.command("$I"), link.banner)
    try:
        settings = parse_settings(link.command("$$"), options.axis)
    except ValueError as error:
        raise ProtocolError(f"{name} at {options.port}: {error}") from error
    if settings.reports_inches:
        raise DriverError(f"{name} at {options.port} reports inches, too coarse for a rail; set $13=0")
    geometry = Geometry(options, settings, origin_at_switch or settings.origin_at_switch)
    return Greeting(link, name, geometry, untouched)


def _synchronise(link: GrblLink, options: GrblOptions) -> bool:
    """Have the controller listening, with nothing half said; return whether it was found standing and unlocked."""
    if link.wait_for_banner(options.banner_wait_s):
        try:
            link.query()
        except DeviceTimeout as error:
            raise ProtocolError(f"{link.banner!r} at {options.port} does not speak GRBL 1.1") from error
        return False
    found: Status | None = None
    with contextlib.suppress(DeviceTimeout):
        link.write_realtime(FULL_REPORT)
        found = link.query()
        link.query()  # grblHAL answers both, and says in the first whether it has been homed
    # Reset it even when it answers: a stranger's half line in its buffer would be executed with ours. An axis that
    # stands keeps its place. A controller that is silent after a limit alarm answers to nothing else.
    try:
        after = link.reset()
    except DeviceTimeout as error:
        raise DeviceNotFound(
            f"nothing at {options.port} answers like GRBL 1.1 at {options.baud} baud; check power, port and baud rate"
        ) from error
    standing = found is not None and found.state == "Idle" and link.homed is not False
    return standing and after.state == "Idle" and link.doubt is None
