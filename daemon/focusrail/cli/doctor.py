"""What could be wrong, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict

import click

from focusrail.cli.context import Context
from focusrail.cli.telling import tell, with_json
from focusrail.errors import Unhealthy


@click.command()
@with_json
@click.pass_obj
def doctor(context: Context, as_json: bool) -> None:
    """Look for all that could be wrong with machine, rig and installation: what is wrong comes first.

    Nothing moves and no device is opened. Run it as the user for whom something does not work.
    """
    from focusrail.doctor.examination import examine  # noqa: PLC0415 - only a doctor looks at everything

    findings = examine(context.found(), context.config)
    lines = []
    for one in findings:
        lines.append(f"{one.state:<10} {one.area}: {one.said}")
        if one.do:
            lines.append(f"{'':<10} -> {one.do}")
    tell([asdict(one) for one in findings], "\n".join(lines), as_json=as_json)
    wrong = sum(one.state == "wrong" for one in findings)
    if wrong:
        raise Unhealthy(f"{wrong} thing{'s are' if wrong > 1 else ' is'} wrong, see above")
