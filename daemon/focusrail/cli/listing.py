"""What was shot and what was published."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from focusrail.cli.context import Context
from focusrail.cli.telling import tell, with_json

_SHOOT_KEYS = ("shoot_id", "name", "specimen_id", "created_at", "state", "planned", "stored", "source", "let_go_at")


def shoot_facts(told: dict[str, Any]) -> dict[str, Any]:
    """What `shoots` and `status` tell of a shoot; one that nobody has ended is interrupted."""
    versions = [{"version": one["version"], "folder": one["folder"]} for one in told["versions"]]
    state = "interrupted" if told["interrupted"] else told["state"]
    return {**{key: told[key] for key in _SHOOT_KEYS}, "state": state, "versions": versions}


@click.command()
@with_json
@click.pass_obj
def shoots(context: Context, as_json: bool) -> None:
    """List all shoots, newest first."""
    with context.performer() as performer:
        found = [shoot_facts(told) for told in performer.shoots()]
    lines = []
    for one in found:
        planned = f"/{one['planned']}" if one["planned"] else ""
        gone = "" if one["let_go_at"] is None else f"  (originals let go {one['let_go_at'][:10]})"
        lines.append(
            f"{one['shoot_id']}  {one['state']:<11}  {one['stored']:>4}{planned:<5} frames  {one['name']}{gone}"
        )
        lines += [f"    version {version['version']}: {version['folder']}" for version in one["versions"]]
    tell(found, "\n".join(lines), as_json=as_json)


@click.command()
@click.option("-n", "--most", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@with_json
@click.pass_obj
def results(context: Context, most: int, as_json: bool) -> None:
    """List what was published, with its folders, newest first."""
    with context.performer() as performer:
        found = performer.results(most)
    lines = []
    for one in found:
        at = datetime.fromisoformat(one["published_at"].replace("Z", "+00:00")).astimezone()
        version = f" v{one['version']}" if one["version"] > 1 else ""
        gone = "" if one["there"] else "  (moved away)"
        lines.append(f"{at:%Y-%m-%d %H:%M}  {one['name']}{version}  {one['folder']}{gone}")
    tell(found, "\n".join(lines), as_json=as_json)
