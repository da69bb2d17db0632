"""The rig: the devices of a configuration, open, and nobody else's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from focusrail.capture.carriage import Approach, Carriage
from focusrail.config.schema import Config
from focusrail.errors import FocusrailError
from focusrail.store.durable import sync_folder, write_durably
from focusrail_drivers import registry
from focusrail_drivers.base import Camera, KeepsCount, KeepsPosition, Photograph, Rail
from focusrail_drivers.clock import Clock
from focusrail_drivers.pulse import OwnerThread, when_done

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rig:
    """The open devices."""

    carriage: Carriage
    camera: Camera
    camera_thread: OwnerThread  # has one thread, which makes all calls to the camera
    name: str  # what the devices call themselves
    rail_name: str  # what the rail does

    def photograph(self, settings: Mapping[str, str]) -> tuple[Photograph, ...]:
        """All files of one photograph, taken where the rail stands. Raises DriverError."""
        if settings:
            when_done(self.camera_thread.submit(self.camera.configure, settings)).result()
        exposure = when_done(self.camera_thread.submit(self.camera.expose, 0)).result()
        return when_done(self.camera_thread.submit(self.camera.deliver, exposure)).result()


@contextmanager
def open_rig(config: Config, clock: Clock, *, with_camera: bool = True) -> Iterator[Rig]:
    """Open a configuration's devices; close them in the end, whatever ends it. Raises DriverError."""
    with ExitStack() as stack:
        rail: Rail = registry.load("rails", config.rail.driver)(config.rail.options, clock)
        stack.callback(rail.close)
        names = [rail.open()]
        identity = {"driver": config.rail.driver, "options": repr(config.rail.options)}
        stack.enter_context(_remembered(rail, config.store.root / "rail.json", identity))
        thread = stack.enter_context(OwnerThread("camera"))
        camera: Camera = registry.load("cameras", config.camera.driver)(config.camera.options, clock, rail)
        if with_camera:
            stack.callback(lambda: when_done(thread.submit(camera.close), by=thread.pulse).result())
            names.append(when_done(thread.submit(camera.open), by=thread.pulse).result())
        approach = Approach(config.rail.backlash_mm, config.rail.approach == "forward", config.rail.settle_s)
        carriage = Carriage(rail, clock, approach=approach, soft_limits=config.rail.travel)
        log.info("rig.opened", devices=names)
        yield Rig(carriage, camera, thread, ", ".join(names), names[0])


@contextmanager
def _remembered(rail: Rail, memory: Path, identity: Mapping[str, str]) -> Iterator[None]:
    """Let a rail take up where it was left, if it can prove that it still stands there; note where it is left now.

    While it is open there is no note: after a crash, or a power cut, nothing is believed.
    """
    with suppress(OSError, ValueError, KeyError, TypeError):
        note = json.loads(memory.read_text())
        memory.unlink()
        sync_folder(memory.parent)
        if all(note[key] == value for key, value in identity.items()) and _takes_up(rail, note):
            log.info("rail.remembered", position_mm=note["position_mm"])
    try:
        yield
    finally:
        position_mm = rail.status().position_mm
        if position_mm is not None:
            zero_mm = rail.zero_mm if isinstance(rail, KeepsCount) else None
            left = {**identity, "position_mm": position_mm, "zero_mm": zero_mm}
            with suppress(OSError, FocusrailError):
                write_durably(memory, json.dumps(left).encode())


def _takes_up(rail: Rail, note: Mapping[str, Any]) -> bool:
    position_mm = float(note["position_mm"])
    if isinstance(rail, KeepsCount):
        return rail.confirm(position_mm, float(note["zero_mm"]))
    return isinstance(rail, KeepsPosition) and rail.believe(position_mm)
