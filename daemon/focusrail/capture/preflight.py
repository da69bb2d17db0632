"""Preflight: everything that can be known to go wrong before the first frame. Nothing moves but homing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from focusrail.capture.carriage import Carriage
from focusrail.errors import DiskFull, PreflightFailed, RecipeRefused
from focusrail.store.durable import make_folder, writing
from focusrail.store.room import LEAST_FREE_BYTES, check_free
from focusrail_drivers.base import OutOfTravel


def check_store(*folders: Path) -> None:
    """Every folder can be written and has some room. Raises StoreNotWritable, DiskFull."""
    for folder in folders:
        make_folder(folder)
        with writing(folder), tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"focusrail")
        free = shutil.disk_usage(folder).free
        if free < LEAST_FREE_BYTES:
            raise DiskFull(f"only {free >> 20} MB are free for {folder}: free some space and try again")


def check_room(folder: Path, *, frames_left: int, frame_bytes: int) -> None:
    """The frames still to come fit, as far as the first one tells. Raises DiskFull."""
    what = f"{frames_left} more frames of {frame_bytes / 1e6:.1f} MB"
    check_free(folder, frames_left * frame_bytes, what=what, advice="take fewer frames")


def check_rail(carriage: Carriage, positions_mm: Sequence[float], *, may_home: bool) -> None:
    """The rail knows where it is, homed if it may, and can make every frame. Raises RecipeRefused, PreflightFailed."""
    try:
        for position_mm in (min(positions_mm), max(positions_mm)):
            carriage.check(position_mm)
    except OutOfTravel as error:
        raise RecipeRefused(f"{error}; change the recipe's range or rail.travel_mm") from error
    if carriage.status().position_mm is None:
        if not carriage.finds_home:
            raise PreflightFailed(
                "the rail does not know where it is, and has no home switch: put the carriage to its zero end by hand "
                "and run `focusrail rail home`, which takes that place as 0 mm (the next command still knows it only "
                "with trust_position_on_open: true in rail.options)"
            )
        if not may_home:
            raise PreflightFailed(
                "the rail does not know where it is: home it with `focusrail rail home`, or set rail.home: if_unknown"
            )
        carriage.home()
