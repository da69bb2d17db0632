"""What the global options say, and what every command needs of it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

import focusrail
from focusrail.client.wire import answers
from focusrail.config.loader import default_config_path, load_config, load_whereabouts
from focusrail.config.schema import Config
from focusrail.errors import ConfigError, NoService
from focusrail.telemetry.logging import configure_logging

if TYPE_CHECKING:  # one of the two is imported, when it is known which
    from focusrail.cli.in_process import InProcess
    from focusrail.client.client import Client

PATH = click.Path(path_type=Path, readable=False)  # what is wrong with one has a sentence and a code of ours
_T = TypeVar("_T")


@dataclass
class Context:
    """What the global options say; the configuration is read when a command first needs it."""

    config_path: Path | None
    data: Path | None
    verbose: bool

    def config(self, load: Callable[[Path], Config] = load_config) -> Config:
        """The configuration in force."""
        path = self.found()
        config = load(path) if path is not None else Config()
        if self.data is not None:  # and the service, if any, that works in that folder
            store = config.store.model_copy(update={"root": self.data.absolute(), "spool": None, "outbound": None})
            reached = config.service.model_copy(update={"socket": None})
            config = config.model_copy(update={"store": store, "service": reached})
        # Bars tell a person at a terminal what is going on; the log speaks up only when something is wrong.
        quiet = sys.stderr.isatty() and not self.verbose and config.log.level == "info"
        configure_logging("warning" if quiet else config.log.level, config.log.format)
        return config

    def found(self) -> Path | None:
        """The configuration's file; None: there is none, and it is the simulated rig."""
        return self.config_path if self.config_path is not None else default_config_path()

    @property
    def command(self) -> str:
        """What a person types to reach the same configuration."""
        return self._typed(self.config_path, self.data)

    @property
    def command_anywhere(self) -> str:
        """The same, from whatever folder it is typed in: the service is heard of in many."""
        return self._typed(*(path and path.absolute() for path in (self.config_path, self.data)))

    def _typed(self, config_path: Path | None, data: Path | None) -> str:
        options = (("--config", config_path), ("--data", data))
        return " ".join(["focusrail", *(f"{name} {shlex.quote(str(path))}" for name, path in options if path)])

    @contextmanager
    def performer(
        self, listen: Callable[[object], None] = lambda _: None, *, quietly: bool = False
    ) -> Iterator[Client | InProcess]:
        """Who does what is asked for: the service that answers at the configuration's socket, else this process.

        A line says that it is the service, unless `quietly`.

        Raises NoService, ServiceLost where one is there and cannot be used.
        """
        config = self.config()
        client = service_at(config, listen, quietly=quietly)
        if client is not None:
            try:
                yield client
            finally:
                client.close()
            return
        from focusrail.cli.in_process import InProcess  # noqa: PLC0415
        from focusrail.service import Service  # noqa: PLC0415

        service = Service(config, listen=listen, command=self.command)
        try:
            yield InProcess(service)
        finally:
            service.close()

    @contextmanager
    def stopper(self) -> Iterator[Client | InProcess]:
        """Who can halt what goes on: a service also where somebody has spoilt the configuration since it began."""
        try:
            self.config()
        except ConfigError as error:
            client = service_at(self.config(load_whereabouts))
            if client is None:
                raise
            click.echo(f"focusrail: {error}", err=True)
            with closing(client):
                yield client
            return
        with self.performer() as performer:
            yield performer

    def ask(self, work: Callable[[Client | InProcess], _T]) -> _T:
        """Have something done; Ctrl-C ends it in order."""
        from focusrail.console import interruptible  # noqa: PLC0415

        with self.performer() as performer:
            return interruptible(lambda: work(performer), abort=performer.abort)


def service_at(
    config: Config, listen: Callable[[object], None] = lambda _: None, *, quietly: bool = False
) -> Client | None:
    """The service of a configuration, and one line that says so, where one answers. Raises NoService, ServiceLost."""
    path = config.service_socket
    if path == config.store.socket and not os.access(path.parent, os.X_OK):
        return None  # there is no such folder yet, or nothing in it is for us, of which the journal says more
    if not answers(path):
        return None
    from focusrail.client.client import Client  # noqa: PLC0415

    client = Client(path, listen)
    other = "" if client.version == focusrail.__version__ else f" (version {client.version})"
    if not quietly:
        click.echo(f"by the service at {path}{other}", err=True)
    return client


def no_service(path: Path, what: str) -> NoService:
    """The error where only a service will do."""
    return NoService(f"no service answers at {path}: {what} takes one, `focusrail serve` starts it")
