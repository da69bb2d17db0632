"""The command line. Every command calls the service; every failure is one sentence and an exit code of its own."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import NoReturn

import click
import structlog

import focusrail
from focusrail.cli.configuration import config
from focusrail.cli.context import PATH, Context
from focusrail.cli.doctor import doctor
from focusrail.cli.fpga import fpga
from focusrail.cli.going_on import abort, pause, status, watch
from focusrail.cli.listing import results, shoots
from focusrail.cli.recipes import recipe
from focusrail.cli.rig import camera, rail
from focusrail.cli.serving import serve, token
from focusrail.cli.stacks import resume, shoot, stack
from focusrail.errors import UNEXPECTED, ConfigError, FocusrailError, exit_code
from focusrail_drivers.base import DriverError

log = structlog.get_logger(__name__)
_USAGE = 64  # EX_USAGE


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "config_path", type=PATH, help="Configuration file (YAML).")
@click.option("--data", type=PATH, help="Folder of spool and outbound, instead of store.root.")
@click.option("-v", "--verbose", is_flag=True, help="Log everything, also on a terminal.")
@click.version_option(focusrail.__version__)
@click.pass_context
def cli(context: click.Context, config_path: Path | None, data: Path | None, verbose: bool) -> None:
    """Unattended macro photography: shoot a focus stack and fuse it while it is still being shot."""
    context.obj = Context(config_path, data, verbose)


for _command in (
    shoot, stack, status, watch, pause, resume, abort, shoots, results, recipe, rail, camera, serve, token, config,
    doctor, fpga,
):  # fmt: skip
    cli.add_command(_command)


def main() -> None:
    """Run, and turn every error into its sentence and exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # a service manager; a terminal that is closed
        signal.signal(number, _as_interrupt)
    try:
        sys.exit(cli.main(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(_USAGE)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except (FocusrailError, DriverError) as error:
        prefix = "" if isinstance(error, ConfigError) else "focusrail: "
        click.echo(f"{prefix}{error}", err=True)
        sys.exit(exit_code(error))
    except Exception as error:
        log.exception("cli.failed")
        click.echo(f"focusrail: this is a bug of ours: {type(error).__name__}: {error}", err=True)
        sys.exit(UNEXPECTED)


def _as_interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
