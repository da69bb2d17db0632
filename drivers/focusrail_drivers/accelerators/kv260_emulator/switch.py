"""The AXI4-Stream switch, routed by its control registers (AMD PG085)."""

from __future__ import annotations

from collections.abc import Callable

from focusrail_drivers.accelerators.kv260_emulator.layout import Layout

_CONTROL = 0x00
_UPDATE = 0x2
_MUX = 0x40
_DISABLED = 0x80000000


class NoRoute(Exception):
    """No data can come from memory to memory; the message says where the route ends."""


class AxisSwitch:
    """For each master interface the slave interface that feeds it; new values count from the update on.

    An update resets the switch for some clocks: `on_update` is told.
    """

    def __init__(self, layout: Layout, on_update: Callable[[], None] = lambda: None) -> None:
        self._on_update = on_update
        self._ports = layout.ports
        self._source_of = {port.out_of: name for name, port in layout.ports.items()}
        self._masters = 1 + max(port.into for port in layout.ports.values())
        self._written = [_DISABLED] * self._masters
        self._routes: dict[int, int] = {}

    def read(self, offset: int) -> int:
        """A register; the update bit is back at 0 at once."""
        master = (offset - _MUX) // 4
        return self._written[master] if 0 <= master < self._masters else 0

    def write(self, offset: int, value: int) -> None:
        """A register."""
        master = (offset - _MUX) // 4
        if offset == _CONTROL and value & _UPDATE:
            self._commit()
        elif 0 <= master < self._masters:
            self._written[master] = value & (_DISABLED | 0xF)

    def _commit(self) -> None:
        # A slave interface feeds one master interface only: where two want it, the lower one has it.
        self._routes = {}
        for master, value in enumerate(self._written):
            if not value & _DISABLED and value not in self._routes.values():
                self._routes[master] = value
        self._on_update()

    def source_of(self, name: str) -> str | None:
        """The block that feeds the port of block `name`, if one does."""
        slave = self._routes.get(self._ports[name].into)
        return None if slave is None else self._source_of.get(slave)

    def path(self) -> list[str]:
        """The blocks between reading from memory and writing to memory, in the order of the data. Raises NoRoute."""
        found: list[str] = []
        master = self._ports["ps_video"].into
        asking = "the way back to memory"
        while True:
            slave = self._routes.get(master)
            if slave is None:
                raise NoRoute(f"nothing is routed to {asking}")
            name = self._source_of.get(slave)
            if name is None:
                raise NoRoute(f"slave interface {slave} of the switch, routed to {asking}, has no source")
            if name == "ps_video":
                return found[::-1]
            if name in found:
                raise NoRoute(f"the route goes in a circle through {name}")
            found.append(name)
            master, asking = self._ports[name].into, name
