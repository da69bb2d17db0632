"""The rig by hand: the rail and the camera."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from focusrail.capture.rig import Rig
from focusrail.cli.context import PATH, Context
from focusrail.console import interruptible
from focusrail.errors import StoreNotWritable
from focusrail.store.durable import write_durably
from focusrail.store.media_types import suffix_of
from focusrail_drivers import registry

_T = TypeVar("_T")


@click.group()
def rail() -> None:
    """Move the rail by hand."""


def _with_rig(context: Context, work: Callable[[Rig], _T], *, camera: bool = False) -> _T:
    with context.service() as service:

        def run() -> _T:
            with service.rig(with_camera=camera) as rig:
                return work(rig)

        return interruptible(run, abort=service.abort)


@rail.command("status")
@click.pass_obj
def rail_status(context: Context) -> None:
    """Say where the rail is."""

    def work(rig: Rig) -> str:
        status = rig.carriage.status()
        place = "unknown: home it first" if status.position_mm is None else f"{status.position_mm:.4f} mm"
        detail = f"\nstate      {status.detail}" if status.detail else ""
        return f"rail       {rig.name}\nposition   {place}\ntravel     {rig.carriage.travel}{detail}"

    click.echo(_with_rig(context, work))


@rail.command("home")
@click.pass_obj
def rail_home(context: Context) -> None:
    """Find the home switch. The carriage moves."""
    click.echo(f"position   {_with_rig(context, lambda rig: rig.carriage.home()):.4f} mm")


@rail.command("goto", context_settings={"ignore_unknown_options": True})
@click.argument("position_mm", type=float)
@click.pass_obj
def rail_goto(context: Context, position_mm: float) -> None:
    """Go to POSITION_MM (from home)."""
    click.echo(f"position   {_with_rig(context, lambda rig: rig.carriage.go_to(position_mm)):.4f} mm")


@rail.command("jog", context_settings={"ignore_unknown_options": True})
@click.argument("distance_mm", type=float)
@click.pass_obj
def rail_jog(context: Context, distance_mm: float) -> None:
    """Move by DISTANCE_MM; negative is towards home."""

    def work(rig: Rig) -> float:
        return rig.carriage.go_to(rig.carriage.position_mm() + distance_mm)

    click.echo(f"position   {_with_rig(context, work):.4f} mm")


@rail.command("halt")
@click.pass_obj
def rail_halt(context: Context) -> None:
    """Stop the rail now, also that of a shoot in another terminal (which is aborted)."""
    with context.service() as service:
        if service.halt_elsewhere():
            click.echo("halted     the process that holds the rig")
            return
        with service.rig(with_camera=False) as rig:
            rig.carriage.halt()
    click.echo("halted     the rail")


@click.group()
def camera() -> None:
    """Find cameras and try them."""


@camera.command("find")
def camera_find() -> None:
    """List the cameras that are connected."""
    found = registry.find_cameras()
    for one in found:
        click.echo(f"{one.driver:<10} {one.model}  (port: {one.port})")
    if not found:
        click.echo(
            "no cameras found: switch the camera on, set it to PTP or PC remote, and plug its cable in", err=True
        )


@camera.command("shot")
@click.option("-o", "--out", type=PATH, default=Path("shot"), help="File name without suffix.")
@click.pass_obj
def camera_shot(context: Context, out: Path) -> None:
    """Take one photograph and save it as the camera delivers it."""
    settings = context.config().camera.settings

    def work(rig: Rig) -> list[Path]:
        if settings:
            rig.camera_thread.submit(rig.camera.configure, settings).result()
        exposure = rig.camera_thread.submit(rig.camera.expose, 0).result()
        saved = []
        for photograph in rig.camera_thread.submit(rig.camera.deliver, exposure).result():
            suffix = f".{suffix_of(photograph.media_type)}"
            path = out if out.suffix.casefold() == suffix else out.with_name(out.name + suffix)
            if path.exists():
                raise StoreNotWritable(f"{path} exists already: name another file with -o")
            write_durably(path.absolute(), photograph.data)
            saved.append(path)
        return saved

    for path in _with_rig(context, work, camera=True):
        click.echo(f"saved      {path}")
