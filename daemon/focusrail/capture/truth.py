"""Keeping what a simulated camera knows of its scene, so that a result can be judged at any time."""

from __future__ import annotations

import json
from pathlib import Path

from focusrail.store.durable import make_folder, write_durably, writing
from focusrail_drivers.base import Exposure, TruthfulCamera


def save_truth(camera: TruthfulCamera, folder: Path) -> None:
    """all_in_focus.png and depth.tif; nothing when no single picture is the truth."""
    make_folder(folder)
    truth = camera.truth()
    if not truth.one_view:
        return  # likeness to one view would judge the parallax, not the stack
    # The process that owns a real rig touches no image, and does without the libraries for it.
    from focusrail.store.image_io import Metadata, write_png, write_tiff  # noqa: PLC0415

    with writing(folder):
        write_png(folder / "all_in_focus.png", truth.all_in_focus)
        write_tiff(folder / "depth.tif", truth.depth_mm, Metadata(), description="true depth in mm")


def save_true_transform(camera: TruthfulCamera, exposure: Exposure, folder: Path) -> None:
    """The transform from the truth's pixels to a frame's, as 000012.json."""
    transform = camera.true_transform(exposure)
    write_durably(folder / f"{exposure.frame_index:06d}.json", json.dumps(transform.tolist()).encode())
