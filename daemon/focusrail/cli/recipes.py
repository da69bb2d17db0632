"""Recipes: checked without moving anything, and saved under a name."""

from __future__ import annotations

from pathlib import Path

import click

from focusrail.cli.context import PATH, Context
from focusrail.cli.telling import checked, span, tell, with_json
from focusrail.config.loader import load_recipe


@click.group()
def recipe() -> None:
    """Check recipes, and keep them: `focusrail shoot --saved NAME` shoots one."""


@recipe.command("list")
@with_json
@click.pass_obj
def recipe_list(context: Context, as_json: bool) -> None:
    """List the saved ones."""
    with context.performer() as performer:
        names = performer.recipes()
    tell(names, "\n".join(names), as_json=as_json)


@recipe.command("show")
@click.argument("name")
@with_json
@click.pass_obj
def recipe_show(context: Context, name: str, as_json: bool) -> None:
    """Show the saved recipe NAME, as it was written."""
    with context.performer() as performer:
        text = performer.recipe(name)
    tell({"name": name, "yaml": text}, text.rstrip("\n"), as_json=as_json)


@recipe.command("save")
@click.argument("file", type=PATH)
@click.option("--name", help="Instead of the file's name without .yaml.")
@with_json
@click.pass_obj
def recipe_save(context: Context, file: Path, name: str | None, as_json: bool) -> None:
    """Check the recipe FILE and save it, in place of what had its name."""
    name = name if name is not None else file.stem
    with checked(file, as_json=as_json):
        load_recipe(file)
        text = file.read_text(encoding="utf-8")
    with context.performer() as performer:
        performer.save_recipe(name, text)
    tell({"name": name}, f"saved      {name}", as_json=as_json)


@recipe.command("check")
@click.argument("file", type=PATH)
@with_json
@click.pass_obj
def recipe_check(context: Context, file: Path, as_json: bool) -> None:
    """Check a recipe FILE, and say what it comes to on this rig. Nothing moves."""
    config = context.config()
    with checked(file, as_json=as_json):
        wanted = load_recipe(file, method=config.stacking.method, outputs=config.outputs)
    with context.performer() as performer:
        plan = performer.plan(wanted)
    lines = [f"{file}: good"]
    lines.append(
        f"frames     {plan['frames']}, every {abs(plan['step_mm']):.4f} mm from {plan['from_mm']:g} to "
        f"{plan['to_mm']:g} mm"
    )
    if plan.get("estimated_s") is not None:
        lines.append(f"takes      about {span(plan['estimated_s'])}, as the newest shoot went")
    if plan.get("needed_bytes") is not None:
        lines.append(f"needs      {plan['needed_bytes'] / 1e9:.2f} GB; {plan['free_bytes'] / 1e9:.1f} GB are free")
    tell({"file": file, "good": True, "problems": [], "plan": plan}, "\n".join(lines), as_json=as_json)
