"""What commands print: lines for people, or with --json the same facts for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from focusrail.capture.events import Published
from focusrail.errors import ConfigError, name_of
from focusrail.worker.manifest import plain

_F = TypeVar("_F", bound=Callable[..., Any])


def with_json(command: _F) -> _F:
    """The option --json, as the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print facts as JSON; docs/cli.md tells the keys.")(
        command
    )


def tell(facts: object, lines: str, *, as_json: bool) -> None:
    """Print facts, or the lines that say the same."""
    if as_json:
        click.echo(json.dumps(plain(facts), indent=2, ensure_ascii=False))
    elif lines:
        click.echo(lines)


@contextmanager
def checked(file: Path, *, as_json: bool) -> Iterator[None]:
    """Where a file is wrong, with --json print in what; the error goes on."""
    try:
        yield
    except ConfigError as error:
        if as_json:
            tell({"file": file, "good": False, "problems": str(error).splitlines()}, "", as_json=True)
        raise


def published_facts(done: Published) -> dict[str, object]:
    """What a shoot or stack came to."""
    finished = done.finished
    return {
        "shoot_id": done.shoot_id,
        "version": done.version,
        "folder": done.folder,
        "frames_used": finished.frames_used,
        "size_px": finished.size_px,
        "left_out": [{"error": name_of(error), "message": str(error)} for error in done.left_out],
        "warnings": finished.warnings,
        "psnr_db": finished.psnr_db,
        "ssim": finished.ssim,
    }


def span(seconds: float) -> str:
    """A time for people: 42 s, 3 min 10 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
