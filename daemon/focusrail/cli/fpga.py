"""The KV260's FPGA: tried on the bench, its speed foretold, and served to the daemon by the helper that runs as root.

What belongs to the FPGA is imported when it is used: the command line itself loads no image library.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from focusrail.cli.context import PATH, Context
from focusrail.errors import exit_code
from focusrail.store.durable import make_folder, write_durably
from focusrail_drivers.base import DeviceNotFound, DriverError

if TYPE_CHECKING:
    from focusrail_drivers.accelerators.kv260.limits import Proven
    from focusrail_drivers.accelerators.kv260.remote import RemoteKv260
    from focusrail_drivers.accelerators.kv260.report import Finding, Report, Trying

_DEVICE_HELP = "A module that puts another board in pynq's place: focusrail_drivers.accelerators.kv260_emulator.device"


@click.group()
def fpga() -> None:
    """Try the KV260's FPGA, foretell its speed, serve it."""


def _options(context: Context) -> RemoteKv260.Options:
    """The KV260's options in the configuration, or the usual ones where it names another accelerator."""
    from focusrail_drivers.accelerators.kv260.remote import RemoteKv260  # noqa: PLC0415 - as the module says

    options = context.config().accelerator.options
    return options if isinstance(options, RemoteKv260.Options) else RemoteKv260.Options()


# --- self-test --------------------------------------------------------------------------------------------------------


@fpga.command("self-test")
@click.option("--overlay", help="A bitstream, instead of the one in accelerator.options.")
@click.option("--device", help=_DEVICE_HELP)
@click.option(
    "--repeats", type=click.IntRange(1, 1000), default=8, show_default=True, help="Tiles to take the time of."
)
@click.option("--limits", type=PATH, help="Where what is proven is stored, instead of accelerator.options.limits.")
@click.pass_obj
def self_test(context: Context, overlay: str | None, device: str | None, repeats: int, limits: Path | None) -> None:
    """Find out whether this board's FPGA computes what it must, and how fast; store what it can do.

    Run it as root, with the service stopped (systemctl stop focusrail-fpga).
    """
    from focusrail_drivers.accelerators.kv260 import selftest  # noqa: PLC0415
    from focusrail_drivers.fpga_service.ownership import sole_owner  # noqa: PLC0415
    from focusrail_drivers.fpga_service.service import using_device  # noqa: PLC0415

    options: Any = _options(context)
    if overlay is not None:
        if not overlay.strip():
            raise click.BadParameter("is empty", param_hint="--overlay")
        options = replace(options, overlay=overlay)
    with ExitStack() as stack:
        if device is None:
            stack.enter_context(sole_owner(options.socket))
        else:
            _refuse_a_missing_overlay(options.overlay)
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="focusrail-fpga-"))
            options = using_device(device, options, Path(folder))
        # An emulator's limits must not take the place of a board's.
        kept = limits if limits is not None else options.limits if device is None else None
        if kept is not None:
            make_folder(kept.absolute().parent)
        click.echo(f"Self-test of {options.overlay}: a minute at most")
        with _Progress() as progress:
            report = selftest.self_test(options, repeats=repeats, listen=progress)
    click.echo(f"\n{report.conclusion}")
    _store(report, kept)
    if not report.passed:
        sys.exit(exit_code(DriverError()))


def _refuse_a_missing_overlay(overlay: str) -> None:
    """Raise DeviceNotFound if a path is named at which nothing lies: the stand-in must not take its own instead.

    A name without a folder is one that pynq knows on a board, and that the stand-in has, too.
    """
    if Path(overlay).name != overlay and not Path(overlay).exists():
        raise DeviceNotFound(f"there is no overlay {overlay}")


class _Progress:
    """Each finding as soon as it is there; at a terminal also what is being tried."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._status = self._console.status("")

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def __call__(self, event: Trying | Finding) -> None:
        from focusrail_drivers.accelerators.kv260.report import Trying  # noqa: PLC0415

        if not isinstance(event, Trying):
            self._status.stop()  # or the finding would be written behind it
            click.echo(str(event))
        elif self._console.is_terminal:
            self._status.update(f"{event.what} ...")
            self._status.start()


def _store(report: Report, path: Path | None) -> None:
    from focusrail_drivers.accelerators.kv260.limits import Proven  # noqa: PLC0415

    if report.identity is None or not report.completed:
        kept = f" What {path} says of an earlier one still holds." if path is not None and path.exists() else ""
        click.echo(f"Nothing is stored, for the self-test did not come to its end.{kept}")
    elif path is None:
        click.echo("What was proven is not stored; --limits FILE stores it.")
    else:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        write_durably(path.absolute(), Proven(report.identity, report.limits, now).dump())
        click.echo(f"Stored in {path}: {report.limits}.")


# --- prediction -------------------------------------------------------------------------------------------------------


class _Size(click.ParamType):  # type: ignore[type-arg]  # it takes none in older click
    """WIDTHxHEIGHT in pixels."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        try:
            width, height = (int(side) for side in str(value).lower().split("x"))
        except ValueError:
            self.fail(f"{value!r} is no size; write WIDTHxHEIGHT in pixels, as 6000x4000", param, ctx)
        if not (0 < width <= 1 << 16 and 0 < height <= 1 << 16):
            self.fail(f"{value!r}: a side is 1 to 65536 pixels", param, ctx)
        return width, height


@fpga.command("predict")
@click.option(
    "--size", "sizes", type=_Size(), multiple=True, help="Of a frame, in pixels; may be given more than once."
)
@click.pass_obj
def predict(context: Context, sizes: tuple[tuple[int, int], ...]) -> None:
    """Foretell the time for a frame. A prediction by arithmetic, with what a self-test measured where there is one."""
    from focusrail.stacking.laying import measured_pieces  # noqa: PLC0415
    from focusrail_drivers.accelerators.kv260 import forecast  # noqa: PLC0415

    options = _options(context)
    proven, why = _proven(options.limits)
    click.echo(forecast.forecast(sizes or forecast.USUAL_SIZES, options, proven, why, cut=measured_pieces))


def _proven(path: Path | None) -> tuple[Proven | None, str]:
    """The stored self-test of a board, or why there is none."""
    from focusrail_drivers.accelerators.kv260.limits import LimitsUnusable, load  # noqa: PLC0415

    if path is None:
        return None, "accelerator.options.limits names no file"
    try:
        proven = load(path)
    except LimitsUnusable as error:
        return None, str(error)
    if proven.identity.emulated:
        return None, f"{path} is of an emulated board, whose times say nothing of a real one"
    return proven, ""


# --- service ----------------------------------------------------------------------------------------------------------


@fpga.command("serve")
@click.option("--socket", type=PATH, help="Where the daemon connects, instead of accelerator.options.socket.")
@click.option("--device", help=_DEVICE_HELP)
@click.pass_obj
def serve(context: Context, socket: Path | None, device: str | None) -> None:
    """Own the FPGA and measure for the daemon, until it is told to end. Runs as root: see focusrail-fpga.service."""
    from focusrail_drivers.fpga_service import service  # noqa: PLC0415

    options = _options(context)
    if device is not None:
        _refuse_a_missing_overlay(options.overlay)
    service.serve(options, socket.absolute() if socket is not None else options.socket, device=device)
