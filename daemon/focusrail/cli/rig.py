"""The rig by hand: the rail and the camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from focusrail.cli.context import PATH, Context
from focusrail.cli.telling import tell, with_json
from focusrail.errors import StoreNotWritable
from focusrail.store.durable import write_durably
from focusrail_drivers import registry
from focusrail_drivers.base import Travel

if TYPE_CHECKING:
    from focusrail.cli.in_process import InProcess
    from focusrail.client.client import Client


@click.group()
def rail() -> None:
    """Move the rail by hand."""


@rail.command("status")
@with_json
@click.pass_obj
def rail_status(context: Context, as_json: bool) -> None:
    """Say where the rail is."""
    told = context.ask(lambda performer: performer.rail())
    place = "unknown: home it first" if told["position_mm"] is None else f"{told['position_mm']:.4f} mm"
    detail = f"\nstate      {told['detail']}" if told["detail"] else ""
    travel = Travel(told["min_mm"], told["max_mm"])
    tell(told, f"rail       {told['name']}\nposition   {place}\ntravel     {travel}{detail}", as_json=as_json)


def _move(context: Context, work: Callable[[Client | InProcess], float], as_json: bool) -> None:
    position_mm = context.ask(work)
    tell({"position_mm": position_mm}, f"position   {position_mm:.4f} mm", as_json=as_json)


@rail.command("home")
@with_json
@click.pass_obj
def rail_home(context: Context, as_json: bool) -> None:
    """Find the home switch. The carriage moves."""
    _move(context, lambda performer: performer.home(), as_json)


@rail.command("goto", context_settings={"ignore_unknown_options": True})
@click.argument("position_mm", type=float)
@with_json
@click.pass_obj
def rail_goto(context: Context, position_mm: float, as_json: bool) -> None:
    """Go to POSITION_MM (from home)."""
    _move(context, lambda performer: performer.go_to(position_mm), as_json)


@rail.command("jog", context_settings={"ignore_unknown_options": True})
@click.argument("distance_mm", type=float)
@with_json
@click.pass_obj
def rail_jog(context: Context, distance_mm: float, as_json: bool) -> None:
    """Move by DISTANCE_MM; negative is towards home."""
    _move(context, lambda performer: performer.jog(distance_mm), as_json)


@rail.command("halt")
@with_json
@click.pass_obj
def rail_halt(context: Context, as_json: bool) -> None:
    """Stop the rail now, also that of a shoot in another terminal or of the service (which is aborted)."""
    with context.stopper() as performer:
        halted = performer.halt()
    tell({"halted": halted}, f"halted     {halted}", as_json=as_json)


@click.group()
def camera() -> None:
    """Find cameras and try them."""


@camera.command("find")
@with_json
def camera_find(as_json: bool) -> None:
    """List the cameras that are connected."""
    found = registry.find_cameras()
    lines = "\n".join(f"{one.driver:<10} {one.model}  (port: {one.port})" for one in found)
    tell([asdict(one) for one in found], lines, as_json=as_json)
    if not found:
        click.echo(
            "no cameras found: switch the camera on, set it to PTP or PC remote, and plug its cable in", err=True
        )


@camera.command("shot")
@click.option("-o", "--out", type=PATH, default=Path("shot"), help="File name without suffix.")
@with_json
@click.pass_obj
def camera_shot(context: Context, out: Path, as_json: bool) -> None:
    """Take one photograph and save it as the camera delivers it."""
    saved = []
    for suffix, data in context.ask(lambda performer: performer.photograph()):
        named = out.suffix.casefold() == f".{suffix}"
        path = out if named else out.with_name(f"{out.name}.{suffix}")
        if path.exists():
            raise StoreNotWritable(f"{path} exists already: name another file with -o")
        write_durably(path.absolute(), data)
        saved.append(path)
    lines = "\n".join(f"saved      {path}" for path in saved)
    tell({"saved": [path.absolute() for path in saved]}, lines, as_json=as_json)
