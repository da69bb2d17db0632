"""The service: whether it runs, answers, and has its rig; and whether nothing stands in its way."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import focusrail
from focusrail.client.client import Client
from focusrail.client.wire import answers
from focusrail.config.schema import Config
from focusrail.doctor.finding import Finding
from focusrail.errors import FocusrailError

_SYSTEMD = Path("/run/systemd/system")


def ask(config: Config) -> tuple[dict[str, Any] | None, list[Finding]]:
    """The service's status, None where none answers, and what is to be said of that."""
    path = config.service_socket
    try:
        if not answers(path):
            return None, list(_not_running(config))
        client = Client(path)
        try:
            status, version = client.status(), client.version
        finally:
            client.close()
    except FocusrailError as error:
        return None, [Finding("service", "wrong", str(error), "systemctl restart focusrail, or as the sentence says")]
    found = [Finding("service", "good", f"answers at {path}")]
    if version != focusrail.__version__:
        said = f"is version {version}, and this is {focusrail.__version__}"
        found.append(Finding("service", "doubtful", said, "systemctl restart focusrail"))
    if status["trouble"]:
        found.append(Finding("rig", "wrong", status["trouble"], "it is tried again every few seconds"))
    elif status["rig"]:
        found.append(Finding("rig", "good", status["rig"]))
    if status["store_trouble"]:
        found.append(Finding("journal", "wrong", status["store_trouble"], "stop the service before that"))
    return status, found


def _not_running(config: Config) -> Iterator[Finding]:
    host, port = config.service.address
    path = config.service_socket
    made_by_systemd = path.parent.parent == Path("/run")
    if path != config.store.socket and not path.parent.is_dir() and not made_by_systemd:
        said = f"service.socket: {path}: there is no folder {path.parent}: a service could not listen there"
        yield Finding("service", "wrong", said, f"mkdir {path.parent}, or set service.socket to another place")
    yield Finding("service", "good", f"none answers at {config.service_socket}: commands work in their own process")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        if probe.connect_ex((host, port)) == 0:
            yield Finding(
                "service", "wrong", f"something else listens at {config.service.listen}: a service could not",
                f"stop it (ss -ltnp 'sport = :{port}' names it), or set service.listen to another port",
            )  # fmt: skip


def units(config: Config | None) -> Iterator[Finding]:
    """What systemd says of our units, where it is in charge."""
    if not _SYSTEMD.exists() or shutil.which("systemctl") is None:
        yield Finding("systemd", "good", "is not in charge here: nothing starts the service but you")
        return
    names = ["focusrail.service"]
    if config is not None and config.accelerator.driver == "kv260":
        names.append("focusrail-fpga.service")
    for name in names:
        state = _shown(name, "LoadState", "ActiveState", "Result", "UnitFileState")
        if state.get("LoadState") != "loaded":
            yield Finding("systemd", "good", f"{name} is not installed")
        elif state.get("ActiveState") == "failed":
            unit = name.removesuffix(".service")
            yield Finding(
                "systemd", "wrong", f"{name} has failed ({state.get('Result')})",
                f"journalctl -u {unit} -e says why; then systemctl restart {unit}",
            )  # fmt: skip
        elif state.get("ActiveState") != "active":
            yield Finding("systemd", "doubtful", f"{name} is {state.get('ActiveState')}", f"systemctl start {name}")
        elif state.get("UnitFileState") == "disabled":
            said = f"{name} runs, and will not after the next boot"
            yield Finding("systemd", "doubtful", said, f"systemctl enable {name}")
        else:
            yield Finding("systemd", "good", f"{name} runs")


def _shown(unit: str, *properties: str) -> dict[str, str]:
    command = ["systemctl", "show", unit, *(f"--property={name}" for name in properties)]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return dict(line.split("=", 1) for line in said.stdout.splitlines() if "=" in line)
