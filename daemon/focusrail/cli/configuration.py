"""Configuration files: checked and shown."""

from __future__ import annotations

from pathlib import Path

import click

from focusrail.cli.context import PATH, Context
from focusrail.config.loader import dump, load_config


@click.group()
def config() -> None:
    """Check and show configuration files."""


@config.command("check")
@click.argument("file", type=PATH)
def config_check(file: Path) -> None:
    """Check a configuration FILE."""
    load_config(file)
    click.echo(f"{file}: good")


@config.command("show")
@click.pass_obj
def config_show(context: Context) -> None:
    """Show the configuration in force, defaults included."""
    click.echo(dump(context.config()), nl=False)
