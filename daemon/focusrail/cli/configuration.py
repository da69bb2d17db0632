"""Configuration files: checked and shown."""

from __future__ import annotations

from pathlib import Path

import click

from focusrail.cli.context import PATH, Context
from focusrail.cli.telling import checked, tell, with_json
from focusrail.config.loader import dump, load_config


@click.group()
def config() -> None:
    """Check and show configuration files."""


@config.command("check")
@click.argument("file", type=PATH)
@with_json
def config_check(file: Path, as_json: bool) -> None:
    """Check a configuration FILE."""
    with checked(file, as_json=as_json):
        load_config(file)
    tell({"file": file, "good": True, "problems": []}, f"{file}: good", as_json=as_json)


@config.command("show")
@with_json
@click.pass_obj
def config_show(context: Context, as_json: bool) -> None:
    """Show the configuration in force, defaults included."""
    config = context.config()
    tell(config.model_dump(mode="json"), dump(config).rstrip("\n"), as_json=as_json)
