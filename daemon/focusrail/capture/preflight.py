"""Preflight: everything that can be known to go wrong before the first frame. Nothing moves but homing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from focusrail.capture.carriage import Carriage
from focusrail.config.schema import AcceleratorConfig
from focusrail.errors import DiskFull, PreflightFailed, RecipeRefused
from focusrail.model.frame import FrameRecord
from focusrail.model.method import Method
from focusrail.store.durable import make_folder, writing
from focusrail.store.room import LEAST_FREE_BYTES, check_free
from focusrail_drivers import registry
from focusrail_drivers.base import DriverError, OnDevice, OutOfTravel
from focusrail_drivers.clock import SystemClock

log = structlog.get_logger(__name__)


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
    """The frames still to come fit, as far as those tell that were made before. Raises DiskFull."""
    what = f"{frames_left} more frames of {frame_bytes / 1e6:.1f} MB"
    check_free(folder, frames_left * frame_bytes, what=what, advice="take fewer frames")


def check_settings(now: Mapping[str, str], stored: Sequence[FrameRecord]) -> None:
    """The camera is set as it was when frames were made that others are to be added to. Raises PreflightFailed.

    What was not the same in all of them, like a clock, says nothing.
    """
    then = stored[0].settings
    steady = {name for name in then if all(record.settings.get(name) == then[name] for record in stored)}
    differing = [
        f"{name} is {now[name]}, was {then[name]}" for name in sorted(steady & now.keys()) if now[name] != then[name]
    ]
    if differing:
        raise PreflightFailed(
            f"the camera is not set as it was for the other frames ({'; '.join(differing)}): set it so, by hand or in "
            "camera.settings, and extend the shoot then"
        )


def check_accelerator(config: AcceleratorConfig, method: Method) -> None:
    """What measures focus can do so; without a fallback only. Raises RecipeRefused, PreflightFailed.

    Where the processor may take over there is nothing to refuse, and the stack tells what became of it.
    """
    if config.driver == "cpu":
        return
    if not method.accelerated:
        if config.fallback == "never":
            raise RecipeRefused(
                f"method lob with sizes {method.blur_px} and {method.laplacian_px} runs on the processor only, which "
                "accelerator.fallback: never forbids: use 3 and 1 (--blur 3 --laplacian 1), or another method"
            )
        log.info("method.measured_on_processor", blur_px=method.blur_px, laplacian_px=method.laplacian_px)
    if config.fallback == "cpu":
        return
    try:
        accelerator = registry.load("accelerators", config.driver)(config.options, SystemClock())
        if isinstance(accelerator, OnDevice):
            accelerator.open()
            accelerator.close()
    except DriverError as error:
        raise PreflightFailed(f"{error}; or let the processor take over with accelerator.fallback: cpu") from error


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
