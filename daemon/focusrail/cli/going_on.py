"""What is going on: seen, waited for, paused, ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

import focusrail
from focusrail.cli.context import Context, no_service, service_at
from focusrail.cli.listing import shoot_facts
from focusrail.cli.telling import span, tell, with_json
from focusrail.store.room import free_bytes

_TOLD = ("doing", "progress", "rig", "trouble", "position_mm", "moving", "travel_mm")


@click.command()
@with_json
@click.pass_obj
def status(context: Context, as_json: bool) -> None:
    """Everything at a glance: service, rig, what is going on, the newest shoot, room on the disk. Nothing is opened."""
    config = context.config()
    with context.performer(quietly=True) as performer:
        told = performer.status()
        newest = next(iter(performer.shoots()), None)
        facts = {
            "version": focusrail.__version__,
            "service": performer.version,
            "socket": str(config.service_socket),
            **{key: told[key] for key in _TOLD},
            "held_by": told.get("held_by"),
            "newest": None if newest is None else shoot_facts(newest),
            "outbound": str(config.store.outbound_folder),
            "free_bytes": _free_bytes(config.store.spool_folder),
        }
    tell(facts, "\n".join(_lines(facts)), as_json=as_json)


def _lines(facts: Mapping[str, Any]) -> list[str]:
    if facts["service"] is None:
        lines = [f"service    none answers at {facts['socket']}: commands work in their own process"]
        held = facts["held_by"]
        lines.append(f"rig        {'not open' if held is None else f'held by process {held}'}")
    else:
        lines = [f"service    version {facts['service']} at {facts['socket']}"]
        trouble = f"not open: {facts['trouble']}" if facts["trouble"] else "not open yet"
        lines.append(f"rig        {facts['rig'] or trouble}")
        if facts["travel_mm"] is not None:
            low_mm, high_mm = facts["travel_mm"]
            at_mm = facts["position_mm"]
            place = "unknown: home it first" if at_mm is None else f"{at_mm:.4f} mm"
            moves = "moving" if facts["moving"] else "standing"
            lines.append(f"position   {place}, {moves}; travel {low_mm:g} to {high_mm:g} mm")
        lines.append(f"doing      {_doing(facts)}")
    newest = facts["newest"]
    if newest is not None:
        planned = f"/{newest['planned']}" if newest["planned"] else ""
        lines.append(
            f"newest     {newest['shoot_id']} {newest['name']}: {newest['state']}, {newest['stored']}{planned} frames"
        )
    room = "unknown" if facts["free_bytes"] is None else f"{facts['free_bytes'] / 1e9:.1f} GB"
    return [*lines, f"free       {room}; results in {facts['outbound']}"]


def _doing(facts: Mapping[str, Any]) -> str:
    progress = facts["progress"]
    if progress is None:
        return facts["doing"] or "nothing"
    left = "" if progress["remaining_s"] is None else f", {span(progress['remaining_s'])} left"
    stored = f"{progress['stored']} of {progress['frames']} frames stored, " if facts["doing"] == "shooting" else ""
    return f"{progress['state']} {progress['name']} ({progress['shoot_id']}): {stored}{progress['fused']} fused{left}"


def _free_bytes(folder: Path) -> int | None:
    try:
        return free_bytes(folder)
    except OSError:
        return None


@click.command()
@with_json
@click.pass_obj
def watch(context: Context, as_json: bool) -> None:
    """Show what the service is doing until it ends; with --json one event a line. Ctrl-C ends only the watching."""
    from focusrail.cli.stacks import conclude  # noqa: PLC0415 - `status` needs neither
    from focusrail.console import ProgressDisplay  # noqa: PLC0415

    config = context.config()
    display: list[ProgressDisplay] = []

    def hear(event: object) -> None:
        for one in display:
            one(event)

    client = service_at(config, hear)
    if client is None:
        raise no_service(config.service_socket, "to watch it")
    try:
        doing = client.status()["doing"]
        with ProgressDisplay(shooting=doing == "shooting") as bars:
            display.append(bars)
            done = client.watch(bars.catch_up, _line if as_json else lambda *_: None)
    finally:
        client.close()
    if done is None:
        click.echo(f"{doing}: no shoot, no stack" if doing else "nothing is going on", err=as_json)
    else:
        conclude(done, as_json=as_json, told=as_json)


def _line(number: int, name: str, data: Mapping[str, Any]) -> None:
    click.echo(json.dumps({"id": number, "event": name, "data": data}))


@click.command()
@with_json
@click.pass_obj
def pause(context: Context, as_json: bool) -> None:
    """Let the service's shoot wait before its next frame; `focusrail resume` goes on."""
    with context.performer() as performer:
        shoot_id = performer.pause()
    tell({"shoot_id": shoot_id}, f"paused     {shoot_id}; `focusrail resume` goes on", as_json=as_json)


@click.command()
@with_json
@click.pass_obj
def abort(context: Context, as_json: bool) -> None:
    """End the shoot or stack that is going on, the service's or that of another terminal; what is stored is safe."""
    with context.stopper() as performer:
        shoot_id = performer.end()
    what = shoot_id or "the process that holds the rig"
    tell({"shoot_id": shoot_id or None}, f"aborted    {what}", as_json=as_json)
