"""All examinations, in the order in which they are most likely to find something."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from focusrail.config.schema import Config
from focusrail.doctor import devices, machine, reach, storage
from focusrail.doctor.button import button
from focusrail.doctor.finding import Finding
from focusrail.errors import ConfigError

_ORDER = ("wrong", "doubtful", "good")


def examine(found: Path | None, load: Callable[[], Config]) -> list[Finding]:
    """Everything, what is wrong first; `found` is the configuration's file. Moves nothing, opens no device."""
    findings = list(_all(found, load))
    return sorted(findings, key=lambda finding: _ORDER.index(finding.state))  # stable: as likely as above


def _all(found: Path | None, load: Callable[[], Config]) -> Iterator[Finding]:
    config: Config | None = None
    try:
        config = load()
    except ConfigError as error:
        for line in str(error).splitlines():
            yield Finding("configuration", "wrong", line, "correct it; docs and config/focusrail.yaml tell the keys")
    else:
        where = "there is none: the simulated rig" if found is None else f"{found} is good"
        yield Finding("configuration", "good", where)
    if config is not None:
        status, of_service = reach.ask(config)
        yield from of_service
        held = status is not None
        yield from devices.rail(config, held=held)
        yield from devices.camera(config, held=held)
        yield from storage.folders(config, ours=not held)
        if not held:
            yield from storage.journal(config)
        yield from devices.accelerator(config)
        yield from button(config, held=held)
        yield from storage.token(config)
    yield from reach.units(config)
    yield from machine.loops()
    yield from machine.memory()
    yield from machine.versions()
