"""Shooting and stacking."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from focusrail.capture.events import Published
from focusrail.cli.context import PATH, Context
from focusrail.cli.telling import published_facts, tell, with_json
from focusrail.config.loader import load_recipe, shipped_with
from focusrail.config.schema import Config
from focusrail.console import ProgressDisplay, interruptible, summary
from focusrail.errors import ConfigError, InvalidValue, exit_code
from focusrail.model.method import FUSIONS, MODELS, Method, notebook
from focusrail.model.outputs import Outputs
from focusrail.model.recipe import LARGEST_STACK, Recipe
from focusrail.model.selection import parse_frames
from focusrail.recipe_book import RecipeBook


@click.command()
@click.argument("recipe", type=PATH, required=False)
@click.option("--saved", help="Shoot the saved recipe of that name.")
@click.option("--name", help="Instead of the recipe's name.")
@click.option("--specimen", help="Instead of the recipe's specimen ID.")
@with_json
@click.pass_obj
def shoot(
    context: Context,
    recipe: Path | None,
    *,
    saved: str | None,
    name: str | None,
    specimen: str | None,
    as_json: bool,
) -> None:
    """Shoot RECIPE (YAML) and stack it meanwhile. Without one, the demonstration on the simulated rig."""
    if recipe is not None and saved is not None:
        raise click.UsageError("give either RECIPE or --saved NAME")
    config, display = context.config(), ProgressDisplay(shooting=True)
    if saved is None:
        wanted = _recipe(recipe, config, name=name, specimen_id=specimen)
    with context.performer(display) as performer, display:
        if saved is not None:
            found = RecipeBook(config.store.root / "recipes", config).parse(performer.recipe(saved), name=saved)
            wanted = _but(found, name=name, specimen_id=specimen)
        done = interruptible(lambda: performer.shoot(wanted), abort=performer.abort)
    conclude(done, as_json=as_json)


@click.command()
@click.argument("shoot_id", required=False)
@with_json
@click.pass_obj
def resume(context: Context, shoot_id: str | None, as_json: bool) -> None:
    """Go on after a pause, or with a shoot that ended before its last frame; without SHOOT_ID, with the newest.

    The carriage moves. Only where nothing has been touched since: the frames that are missing are shot where the plan
    has them.
    """
    display = ProgressDisplay(shooting=True)
    with context.performer(display) as performer, display:
        done = interruptible(lambda: performer.resume(shoot_id), abort=performer.abort)
    if isinstance(done, Published):
        conclude(done, as_json=as_json)
    else:
        tell({"shoot_id": done}, f"goes on    {done}; `focusrail watch` shows it", as_json=as_json)


_MORE = click.IntRange(1, LARGEST_STACK - 1)


@click.command()
@click.argument("shoot_id")
@click.option("--near", type=_MORE, metavar="N", help="So many frames more towards the camera.")
@click.option("--far", type=_MORE, metavar="N", help="So many frames more away from it.")
@with_json
@click.pass_obj
def extend(context: Context, shoot_id: str, *, near: int | None, far: int | None, as_json: bool) -> None:
    """Shoot more frames before or behind those of a published shoot, and publish it again as its next version.

    The carriage moves. Only where nothing has been touched since. Step and settings are those of the shoot.
    """
    if near is None and far is None:
        raise click.UsageError("give --near N, --far N, or both")
    display = ProgressDisplay(shooting=True)
    with context.performer(display) as performer, display:
        done = interruptible(lambda: performer.extend(shoot_id, near=near or 0, far=far or 0), abort=performer.abort)
    conclude(done, as_json=as_json)


def _recipe(path: Path | None, config: Config, **overrides: str | None) -> Recipe:
    if path is None:
        if config.camera.driver != "simulated":
            raise ConfigError("name a recipe: only the simulated rig has a default one")
        path = shipped_with("recipes") / "demo.yaml"
    return _but(load_recipe(path, method=config.stacking.method, outputs=config.outputs), **overrides)


def _but(recipe: Recipe, **overrides: str | None) -> Recipe:
    return replace(recipe, **{key: value for key, value in overrides.items() if value is not None})  # type: ignore[arg-type]


@click.command()
@click.argument("folder", type=PATH, required=False)
@click.option("--shoot", "shoot_id", help="Stack a shoot's frames from the spool, as its next version.")
@click.option("-o", "--out", type=PATH, help="The folder that the results become.")
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
@with_json
@click.pass_obj
def stack(
    context: Context,
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
    as_json: bool,
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
    config, display = context.config(), ProgressDisplay(shooting=False)
    with context.performer(display) as performer, display:

        def work() -> Published:
            if shoot_id is not None:
                was, outputs = performer.usual(shoot_id)
                wish["outputs"] = _outputs(outputs or config.outputs, more)
                return performer.restack(shoot_id, method=_method(notebook() if compat else was, options), **wish)
            assert folder is not None
            method = _method(notebook() if compat else config.stacking.method, options)
            wish["outputs"] = _outputs(config.outputs, more)
            return performer.stack_folder(folder.absolute(), method=method, step_mm=step_mm, aligned=aligned, **wish)

        done = interruptible(work, abort=performer.abort)
    conclude(done, as_json=as_json)


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


def conclude(done: Published, *, as_json: bool, told: bool = False) -> None:
    """Say what a shoot or stack came to, unless that is told already.

    Where frames were left out, exit with what the first one's fault was.
    """
    if not told:
        tell(published_facts(done), summary(done), as_json=as_json)
    for warning in done.finished.warnings:
        click.echo(f"warning    {warning}", err=True)
    if done.left_out:
        sys.exit(exit_code(done.left_out[0]))
