"""The command line. Every command calls the service; every failure is one sentence and an exit code of its own."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import structlog

import focusrail
from focusrail.capture.begin import usual_outputs
from focusrail.capture.events import Published
from focusrail.capture.rig import Rig
from focusrail.config.loader import default_config_path, dump, load_config, load_recipe, shipped_with
from focusrail.config.schema import Config
from focusrail.console import ProgressDisplay, interruptible, summary
from focusrail.errors import (
    UNEXPECTED,
    ConfigError,
    FocusrailError,
    InvalidValue,
    StoreNotWritable,
    UnknownShoot,
    exit_code,
)
from focusrail.model.method import FUSIONS, MODELS, Method, notebook
from focusrail.model.outputs import Outputs
from focusrail.model.recipe import Recipe
from focusrail.model.selection import parse_frames
from focusrail.service import Service
from focusrail.store.durable import write_durably
from focusrail.store.media_types import suffix_of
from focusrail.telemetry.logging import configure_logging
from focusrail_drivers import registry
from focusrail_drivers.base import DriverError

log = structlog.get_logger(__name__)
_T = TypeVar("_T")
_USAGE = 64  # EX_USAGE
_PATH = click.Path(path_type=Path, readable=False)  # what is wrong with one has a sentence and a code of ours


@dataclass
class _Context:
    """What the global options say; the configuration is read when a command first needs it."""

    config_path: Path | None
    data: Path | None
    verbose: bool

    def config(self) -> Config:
        path = self.config_path if self.config_path is not None else default_config_path()
        config = load_config(path) if path is not None else Config()
        if self.data is not None:
            store = config.store.model_copy(update={"root": self.data.absolute(), "spool": None, "outbound": None})
            config = config.model_copy(update={"store": store})
        # Bars tell a person at a terminal what is going on; the log speaks up only when something is wrong.
        quiet = sys.stderr.isatty() and not self.verbose and config.log.level == "info"
        configure_logging("warning" if quiet else config.log.level, config.log.format)
        return config

    @contextmanager
    def service(self, listen: Callable[[object], None] = lambda _: None) -> Iterator[Service]:
        config = self.config()
        options = (("--config", self.config_path), ("--data", self.data))
        command = " ".join(["focusrail", *(f"{name} {shlex.quote(str(path))}" for name, path in options if path)])
        service = Service(config, listen=listen, command=command)
        try:
            yield service
        finally:
            service.close()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "config_path", type=_PATH, help="Configuration file (YAML).")
@click.option("--data", type=_PATH, help="Folder of spool and outbound, instead of store.root.")
@click.option("-v", "--verbose", is_flag=True, help="Log everything, also on a terminal.")
@click.version_option(focusrail.__version__)
@click.pass_context
def cli(context: click.Context, config_path: Path | None, data: Path | None, verbose: bool) -> None:
    """Unattended macro photography: shoot a focus stack and fuse it while it is still being shot."""
    context.obj = _Context(config_path, data, verbose)


# --- shooting and stacking --------------------------------------------------------------------------------------------


@cli.command()
@click.argument("recipe", type=_PATH, required=False)
@click.option("--name", help="Instead of the recipe's name.")
@click.option("--specimen", help="Instead of the recipe's specimen ID.")
@click.pass_obj
def shoot(context: _Context, recipe: Path | None, name: str | None, specimen: str | None) -> None:
    """Shoot RECIPE (YAML) and stack it meanwhile. Without one, the demonstration on the simulated rig."""
    with ProgressDisplay(shooting=True) as display, context.service(display) as service:
        wanted = _recipe(recipe, service.config, name=name, specimen_id=specimen)
        done = interruptible(lambda: service.shoot(wanted), abort=service.abort)
    _conclude(done)


@cli.command()
@click.argument("shoot_id", required=False)
@click.pass_obj
def resume(context: _Context, shoot_id: str | None) -> None:
    """Go on with a shoot that ended before its last frame; without SHOOT_ID, with the newest. The carriage moves.

    Only where nothing has been touched since: the frames that are missing are shot where the plan has them.
    """
    with ProgressDisplay(shooting=True) as display, context.service(display) as service:
        if shoot_id is None:
            unfinished = service.unfinished()
            if unfinished is None:
                raise UnknownShoot("every shoot is finished: there is none to go on with")
            shoot_id = unfinished.shoot_id
        wanted = shoot_id
        done = interruptible(lambda: service.shoot_on(wanted), abort=service.abort)
    _conclude(done)


def _recipe(path: Path | None, config: Config, **overrides: str | None) -> Recipe:
    if path is None:
        if config.camera.driver != "simulated":
            raise ConfigError("name a recipe: only the simulated rig has a default one")
        path = shipped_with("recipes") / "demo.yaml"
    recipe = load_recipe(path, method=config.stacking.method, outputs=config.outputs)
    return replace(recipe, **{key: value for key, value in overrides.items() if value is not None})  # type: ignore[arg-type]


@cli.command()
@click.argument("folder", type=_PATH, required=False)
@click.option("--shoot", "shoot_id", help="Stack a shoot's frames from the spool, as its next version.")
@click.option("-o", "--out", type=_PATH, help="The folder that the results become.")
@click.option("--step-mm", type=float, help="Distance from frame to frame, so that depth is in mm.")
@click.option(
    "--reference",
    type=click.Choice(["first", "middle", "last", "auto"]),
    help="The frame the others are laid on; auto: the smallest field.",
)
@click.option("--method", "fusion", type=click.Choice(FUSIONS), help="How frames are fused.")
@click.option("--blur", "blur_px", type=int, help="lob: size of the Gaussian blur (odd; 5).")
@click.option("--laplacian", "laplacian_px", type=int, help="lob: size of the Laplacian's kernel (odd; 5).")
@click.option("--detector", type=click.Choice(["dense", "sift", "orb"]), help="Register by all pixels, or by features.")
@click.option("--model", type=click.Choice(MODELS), help="Kind of transform.")
@click.option("--estimator", type=click.Choice(["ransac", "lmeds", "rho", "least_squares"]), help="How it is fitted.")
@click.option("--threshold-px", type=float, help="Reprojection error of an inlier (2.0).")
@click.option("--warp", type=click.Choice(["keys", "linear", "cubic", "lanczos"]), help="Interpolation.")
@click.option("--crop/--no-crop", default=None, help="Keep only the area that every frame covers.")
@click.option("--compat", is_flag=True, help="With --method lob: the original notebook's arithmetic, pixel for pixel.")
@click.option("--without", help="Leave these frames out, by their numbers in the report: 12,40-43.")
@click.option("--aligned/--no-aligned", default=None, help="FOLDER's photographs lie on each other already.")
@click.option("--mesh/--no-mesh", default=None, help="Make surface.glb, the result as a textured mesh.")
@click.option("--save-aligned", is_flag=True, help="Save every aligned frame: 16-bit TIFF, each as result.tif lies.")
@click.option("--slab-frames", type=int, help="Also fuse every so many frames on their own, as 16-bit TIFF.")
@click.option("--slab-overlap", type=int, help="Frames that a slab shares with the one before (a third).")
@click.option("--debug", is_flag=True, help="Save aligned frames, focus measures and winners.")
@click.pass_obj
def stack(
    context: _Context,
    /,
    *,
    folder: Path | None,
    shoot_id: str | None,
    out: Path | None,
    step_mm: float | None,
    compat: bool,
    without: str | None,
    aligned: bool | None,
    mesh: bool | None,
    save_aligned: bool,
    slab_frames: int | None,
    slab_overlap: int | None,
    debug: bool,
    **options: Any,
) -> None:
    """Stack the photographs in FOLDER, or with --shoot those of a shoot."""
    if (folder is None) == (shoot_id is None):
        raise click.UsageError("give either a folder of photographs or --shoot ID")
    if compat and options["fusion"] != "lob":
        raise click.UsageError("--compat goes with --method lob")
    if step_mm is not None and not 0 < step_mm < float("inf"):
        raise click.UsageError(f"--step-mm must be above 0, not {step_mm}")
    if aligned is not None and shoot_id is not None:
        raise click.UsageError("--aligned goes with a folder of photographs")
    wish: Any = {"out": out, "debug": debug, "without": _frames(without)}
    more = _more(mesh, save_aligned, slab_frames, slab_overlap)
    with ProgressDisplay(shooting=False) as display, context.service(display) as service:
        if shoot_id is not None:
            shoot = service.journal.shoot(shoot_id)
            method = _method(notebook() if compat else shoot.method, options)
            wish["outputs"] = _outputs(usual_outputs(service.config, shoot), more)
            done = interruptible(lambda: service.restack(shoot_id, method=method, **wish), abort=service.abort)
        else:
            assert folder is not None
            method = _method(notebook() if compat else service.config.stacking.method, options)
            wish["outputs"] = _outputs(usual_outputs(service.config), more)
            _, done = interruptible(
                lambda: service.stack_folder(folder, method=method, step_mm=step_mm, aligned=aligned, **wish),
                abort=service.abort,
            )
    _conclude(done)


def _frames(text: str | None) -> frozenset[int]:
    try:
        return frozenset() if text is None else parse_frames("--without", text)
    except InvalidValue as error:
        raise click.UsageError(str(error)) from error


def _more(mesh: bool | None, aligned: bool, slab_frames: int | None, slab_overlap: int | None) -> dict[str, Any]:
    """The outputs that were asked for, by name; they are checked here, before anything is opened."""
    if slab_frames is None and slab_overlap is not None:
        raise click.UsageError("--slab-overlap goes with --slab-frames")
    if slab_frames is not None and slab_overlap is None:
        slab_overlap = max(0, slab_frames) // 3
    more = {"mesh": mesh, "aligned": aligned or None, "slab_frames": slab_frames, "slab_overlap": slab_overlap}
    given = {name: value for name, value in more.items() if value is not None}
    _outputs(Outputs(), given)
    return given


def _outputs(usual: Outputs, more: dict[str, Any]) -> Outputs:
    try:
        return replace(usual, **more)
    except InvalidValue as error:
        raise click.UsageError(f"--{error.field.replace('_', '-')} {error.message}") from error


def _method(base: Method, options: dict[str, Any]) -> Method:
    """A method with the options that were given in place of its own. Raises InvalidValue."""
    given = {key: value for key, value in options.items() if value is not None}
    registration = {key: given.pop(key) for key in ("detector", "model", "estimator", "threshold_px") if key in given}
    return replace(base, registration=replace(base.registration, **registration), **given)


@cli.command()
@click.pass_obj
def shoots(context: _Context) -> None:
    """List all shoots, newest first."""
    with context.service() as service:
        for one in service.journal.shoots():
            frames = len(service.journal.frames(one.shoot_id))
            planned = f"/{len(one.positions_mm)}" if one.positions_mm else ""
            state = "interrupted" if service.was_interrupted(one) else one.state.value
            click.echo(f"{one.shoot_id}  {state:<11}  {frames:>4}{planned:<5} frames  {one.name}")
            for version, folder in service.journal.publications(one.shoot_id):
                click.echo(f"    version {version}: {folder}")


def _conclude(done: Published) -> None:
    click.echo(summary(done))
    for warning in done.finished.warnings:
        click.echo(f"warning    {warning}", err=True)
    if done.left_out:
        sys.exit(exit_code(done.left_out[0]))


# --- the rig ----------------------------------------------------------------------------------------------------------


@cli.group()
def rail() -> None:
    """Move the rail by hand."""


def _with_rig(context: _Context, work: Callable[[Rig], _T], *, camera: bool = False) -> _T:
    with context.service() as service:

        def run() -> _T:
            with service.rig(with_camera=camera) as rig:
                return work(rig)

        return interruptible(run, abort=service.abort)


@rail.command("status")
@click.pass_obj
def rail_status(context: _Context) -> None:
    """Say where the rail is."""

    def work(rig: Rig) -> str:
        status = rig.carriage.status()
        place = "unknown: home it first" if status.position_mm is None else f"{status.position_mm:.4f} mm"
        detail = f"\nstate      {status.detail}" if status.detail else ""
        return f"rail       {rig.name}\nposition   {place}\ntravel     {rig.carriage.travel}{detail}"

    click.echo(_with_rig(context, work))


@rail.command("home")
@click.pass_obj
def rail_home(context: _Context) -> None:
    """Find the home switch. The carriage moves."""
    click.echo(f"position   {_with_rig(context, lambda rig: rig.carriage.home()):.4f} mm")


@rail.command("goto", context_settings={"ignore_unknown_options": True})
@click.argument("position_mm", type=float)
@click.pass_obj
def rail_goto(context: _Context, position_mm: float) -> None:
    """Go to POSITION_MM (from home)."""
    click.echo(f"position   {_with_rig(context, lambda rig: rig.carriage.go_to(position_mm)):.4f} mm")


@rail.command("jog", context_settings={"ignore_unknown_options": True})
@click.argument("distance_mm", type=float)
@click.pass_obj
def rail_jog(context: _Context, distance_mm: float) -> None:
    """Move by DISTANCE_MM; negative is towards home."""

    def work(rig: Rig) -> float:
        return rig.carriage.go_to(rig.carriage.position_mm() + distance_mm)

    click.echo(f"position   {_with_rig(context, work):.4f} mm")


@rail.command("halt")
@click.pass_obj
def rail_halt(context: _Context) -> None:
    """Stop the rail now, also that of a shoot in another terminal (which is aborted)."""
    with context.service() as service:
        if service.halt_elsewhere():
            click.echo("halted     the process that holds the rig")
            return
        with service.rig(with_camera=False) as rig:
            rig.carriage.halt()
    click.echo("halted     the rail")


@cli.group()
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
@click.option("-o", "--out", type=_PATH, default=Path("shot"), help="File name without suffix.")
@click.pass_obj
def camera_shot(context: _Context, out: Path) -> None:
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


# --- configuration ----------------------------------------------------------------------------------------------------


@cli.group()
def config() -> None:
    """Check and show configuration files."""


@config.command("check")
@click.argument("file", type=_PATH)
def config_check(file: Path) -> None:
    """Check a configuration FILE."""
    load_config(file)
    click.echo(f"{file}: good")


@config.command("show")
@click.pass_obj
def config_show(context: _Context) -> None:
    """Show the configuration in force, defaults included."""
    click.echo(dump(context.config()), nl=False)


# --- entry ------------------------------------------------------------------------------------------------------------


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
        log.exception("cli.failed")
        click.echo(f"focusrail: this is a bug of ours: {type(error).__name__}: {error}", err=True)
        sys.exit(UNEXPECTED)


def _as_interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
