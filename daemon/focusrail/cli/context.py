"""What the global options say, and what every command needs of it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from focusrail.config.loader import default_config_path, load_config
from focusrail.config.schema import Config
from focusrail.service import Service
from focusrail.telemetry.logging import configure_logging

PATH = click.Path(path_type=Path, readable=False)  # what is wrong with one has a sentence and a code of ours


@dataclass
class Context:
    """What the global options say; the configuration is read when a command first needs it."""

    config_path: Path | None
    data: Path | None
    verbose: bool

    def config(self) -> Config:
        path = self.config_path if self.config_path is not None else default_config_path()
        config = load_config(path) if path is not None else Config()
        if self.data is not None:
            store = config.store.model_copy(update={"root": self.data.absolute(), "spool": None, "outbound": None})
            config = config.model_copy(update={"store": store})
        # Bars tell a person at a terminal what is going on; the log speaks up only when something is wrong.
        quiet = sys.stderr.isatty() and not self.verbose and config.log.level == "info"
        configure_logging("warning" if quiet else config.log.level, config.log.format)
        return config

    @contextmanager
    def service(self, listen: Callable[[object], None] = lambda _: None) -> Iterator[Service]:
        config = self.config()
        options = (("--config", self.config_path), ("--data", self.data))
        command = " ".join(["focusrail", *(f"{name} {shlex.quote(str(path))}" for name, path in options if path)])
        service = Service(config, listen=listen, command=command)
        try:
            yield service
        finally:
            service.close()
