"""The aligned frames as files: each exactly as it was fused, on the pixels of result.tif.

Where the result lies is known only when all frames are in. So each frame is then read again from its original and
warped once more, which takes less time than to write it uncropped, read it back and cut it, and no room on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np

from focusrail.errors import FrameError
from focusrail.model.frame import FrameRecord
from focusrail.model.method import Method
from focusrail.model.outcome import FrameOutcome
from focusrail.stacking.arrays import Image
from focusrail.stacking.laying import lay
from focusrail.stacking.pipeline import Result
from focusrail.store.image_io import Metadata, write_tiff
from focusrail.worker.scratch import Scratch

FOLDER = "aligned"


def save_aligned(
    scratch: Scratch,
    frames: Sequence[tuple[FrameRecord, FrameOutcome]],
    result: Result,
    method: Method,
    *,
    read: Callable[[FrameRecord], Image],
    executor: Executor,
    title: str,
    um_per_px: float | None,
    saved: Callable[[], None],
) -> list[str]:
    """Write `aligned/000012.tif`, 16 bit, for every frame, by its place in the stack, and call `saved` after each.

    Returns a sentence for each frame that could not be. At most two are in memory at a time.
    """
    (scratch.folder / FOLDER).mkdir()
    lost: list[str] = []
    pending = ""
    for record, outcome in frames:
        try:
            frame = read(record)
        except FrameError as error:  # it was there before: somebody has changed it meanwhile
            lost.append(f"frame {record.index} is not in {FOLDER}/: {error}")
            continue
        transform = np.array(outcome.transform).reshape(3, 3)
        image = lay(
            frame, transform, method,
            gain=outcome.gain_bgr, halo_px=result.halo_px, crop=result.crop, executor=executor,
        )  # fmt: skip
        if pending:
            scratch.durable_s(pending)
        pending = f"{FOLDER}/{outcome.place:06d}.tif"
        scratch.add(pending, _writer(image, f"{title}: {record.original.path.name}, aligned", um_per_px))
        del frame, image
        saved()
    if pending:
        scratch.durable_s(pending)
    return lost


def _writer(image: Image, about: str, um_per_px: float | None) -> Callable[[Path], None]:
    return lambda path: write_tiff(path, image, Metadata(), description=about, um_per_px=um_per_px)
