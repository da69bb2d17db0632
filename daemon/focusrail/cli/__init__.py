"""The command line. Each failure is one sentence and an exit code of its own.

A command's module is imported when the command is used: `focusrail --version` does not wait for what a shoot needs.
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

import focusrail
from focusrail.errors import UNEXPECTED, ConfigError, FocusrailError, exit_code
from focusrail_drivers.base import DriverError

_USAGE = 64  # EX_USAGE
_MODULES = {
    "shoot": "stacks", "stack": "stacks", "status": "going_on", "watch": "going_on", "pause": "going_on",
    "resume": "stacks", "extend": "stacks", "abort": "going_on", "shoots": "listing", "results": "listing",
    "recipe": "recipes", "rail": "rig", "camera": "rig", "serve": "serving", "token": "serving",
    "config": "configuration", "doctor": "doctor", "fpga": "fpga",
}  # fmt: skip
_PATH = click.Path(path_type=Path, readable=False)  # what is wrong with one has a sentence and a code of ours


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        command: click.Command = getattr(import_module(f"focusrail.cli.{_MODULES[cmd_name]}"), cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "config_path", type=_PATH, help="Configuration file (YAML).")
@click.option("--data", type=_PATH, help="Folder of spool and outbound, instead of store.root.")
@click.option("-v", "--verbose", is_flag=True, help="Log everything, also on a terminal.")
@click.version_option(focusrail.__version__)
@click.pass_context
def cli(context: click.Context, config_path: Path | None, data: Path | None, verbose: bool) -> None:
    """Unattended macro photography: shoot a focus stack and fuse it while it is still being shot."""
    from focusrail.cli.context import Context  # noqa: PLC0415 - as the module says

    context.obj = Context(config_path, data, verbose)


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
        import structlog  # noqa: PLC0415 - as the module says

        log = structlog.get_logger(__name__)
        log.exception("cli.failed")
        click.echo(f"focusrail: this is a bug of ours: {type(error).__name__}: {error}", err=True)
        sys.exit(UNEXPECTED)


def _as_interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
