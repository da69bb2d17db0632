"""Which switch port a block hangs on, read from the hardware hand-off file (.hwh) that lies beside each bitstream.

The file is Vivado's description of the block design. Streams are named buses that connect two modules; between the
switch and a block lie only modules that pass the stream on (register slices, width converters, decouplers, FIFOs).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from focusrail_drivers.base import DriverError

_UP = frozenset({"TARGET", "SLAVE"})  # a module takes this stream in; both words occur
_DOWN = frozenset({"INITIATOR", "MASTER"})
_STREAM = re.compile(r":interface:axis:")
_PASSES_ON = ("pixel_pack", "pixel_unpack")  # have registers, yet every stream goes through


class WrongOverlay(DriverError):
    """The overlay is not the one that this driver knows, or not what its name says."""


@dataclass(frozen=True, slots=True)
class Port:
    """A stream port of a module: the module's path in the design without the leading slash, and the port's name."""

    module: str
    name: str


class Design:
    """The modules and streams of one .hwh file."""

    def __init__(self, file: Path) -> None:
        try:
            root = ET.parse(file).getroot()  # noqa: S314 - root's own file, as trusted as the bitstream
        except FileNotFoundError:
            raise WrongOverlay(f"{file} is missing; it belongs beside the bitstream and comes with it") from None
        except ET.ParseError as error:
            raise WrongOverlay(f"{file} is no hardware description: {error}") from None
        self.file = file
        self._modules = {each.get("FULLNAME", "").lstrip("/"): each for each in root.iterfind("./MODULES/MODULE")}
        self._external = {
            each.get("BUSNAME", ""): each.get("NAME", "") for each in root.iterfind("./EXTERNALINTERFACES/BUSINTERFACE")
        }
        self._ends: dict[tuple[str, bool], Port] = {}
        for path, module in self._modules.items():
            for bus in _streams(module):
                self._ends[bus.get("BUSNAME", ""), bus.get("TYPE") in _DOWN] = Port(path, bus.get("NAME", ""))

    def __contains__(self, module: str) -> bool:
        return module in self._modules

    def paths(self, kind: str) -> list[str]:
        """The paths of all modules of one type, as axis_switch."""
        return sorted(path for path, module in self._modules.items() if module.get("MODTYPE") == kind)

    def far_end(self, port: Port) -> Port | None:
        """The block at the other end of the stream at `port`, through everything that only passes it on."""
        seen: set[Port] = set()
        here: Port | None = port
        while here is not None and here not in seen:
            seen.add(here)
            bus = self._bus(here)
            there = None if bus is None else self._ends.get((bus.get("BUSNAME", ""), bus.get("TYPE") not in _DOWN))
            if there is None:
                return None  # there is no such port, or nothing is connected to it
            onward = self._way_through(there)
            if onward is None:
                return there
            here = onward
        return None

    def boundary(self, port: Port) -> str | None:
        """The name under which the stream at `port` leaves a partial design, as stream_in0."""
        here: Port | None = port
        while here is not None:
            bus = self._bus(here)
            if bus is None:
                return None
            name = bus.get("BUSNAME", "")
            if name in self._external:
                return self._external[name]
            there = self._ends.get((name, bus.get("TYPE") not in _DOWN))
            here = None if there is None else self._way_through(there)
        return None

    def port_driving(self, module: str, pin: str) -> Port | None:
        """The module and pin that a wire `pin` of a module comes from or goes to."""
        for each in self._modules[module].iterfind("./PORTS/PORT"):
            if each.get("NAME") == pin:
                other = each.find("./CONNECTIONS/CONNECTION")
                if other is not None:
                    return self._by_instance(other.get("INSTANCE", ""), other.get("PORT", ""))
        return None

    def parameter(self, module: str, name: str) -> str | None:
        """The value of a module's parameter."""
        found = self._modules[module].find(f"./PARAMETERS/PARAMETER[@NAME='{name}']")
        return None if found is None else found.get("VALUE")

    def _by_instance(self, instance: str, pin: str) -> Port | None:
        for path, module in self._modules.items():
            if module.get("INSTANCE") == instance:
                return Port(path, pin)
        return None

    def _bus(self, port: Port) -> ET.Element | None:
        return next((bus for bus in _streams(self._modules[port.module]) if bus.get("NAME") == port.name), None)

    def _way_through(self, port: Port) -> Port | None:
        """Where a stream leaves a module that only passes it on; None if the module is a block of its own."""
        module = self._modules[port.module]
        streams = list(_streams(module))
        if module.get("MODTYPE") == "dfx_decoupler":
            twin = re.sub(r"^(s|rp)_", lambda side: "rp_" if side[1] == "s" else "s_", port.name)
            return Port(port.module, twin)
        registers = any("aximm" in bus.get("VLNV", "") for bus in module.iterfind("./BUSINTERFACES/BUSINTERFACE"))
        if len(streams) != 2 or (registers and not module.get("MODTYPE", "").startswith(_PASSES_ON)):
            return None
        return next(Port(port.module, each.get("NAME", "")) for each in streams if each.get("NAME") != port.name)


def _streams(module: ET.Element) -> list[ET.Element]:
    return [
        bus
        for bus in module.iterfind("./BUSINTERFACES/BUSINTERFACE")
        if _STREAM.search(bus.get("VLNV", "")) and bus.get("TYPE") in _UP | _DOWN
    ]
