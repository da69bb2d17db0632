"""The service, and the address at which browsers reach it."""

from __future__ import annotations

import sys
from contextlib import suppress

import click

from focusrail.cli.context import Context
from focusrail.cli.telling import tell, with_json


@click.command()
@click.pass_obj
def serve(context: Context) -> None:
    """Own the rig and answer: the page in the browser, HTTP, and the command line; until it is told to end.

    What a crash or a power cut has interrupted is gone on with (service.resume). The carriage moves.
    """
    with suppress(KeyboardInterrupt):  # told to end before it listened: no failure, as later it is none
        from focusrail.serve import serve as serve_config  # noqa: PLC0415 - a web server is only for who serves

        serve_config(context.config(), command=context.command_anywhere)


@click.command()
@with_json
@click.option("--new", is_flag=True, help="Make another token: all browsers have to be let in again.")
@click.pass_obj
def token(context: Context, new: bool, as_json: bool) -> None:
    """Show the address, with its token, at which browsers reach the service: also as a QR code, for a phone."""
    import segno  # noqa: PLC0415

    from focusrail.api.addresses import addresses  # noqa: PLC0415
    from focusrail.api.token import token_at  # noqa: PLC0415

    config = context.config()
    if new:
        config.store.token_file.unlink(missing_ok=True)
    secret = token_at(config.store.token_file)
    found = [f"{address}/?token={secret}" for address in addresses(config.service.address)]
    tell({"token": secret, "addresses": found}, "\n".join(found), as_json=as_json)
    if not as_json and sys.stdout.isatty():
        segno.make(found[-1]).terminal(compact=True)
    if new:
        click.echo("a running service still wants the old one: restart it", err=True)
