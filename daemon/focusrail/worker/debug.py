"""The debug mode: every stage of every frame as a picture."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.stacking.canvas import Stripe
from focusrail.store.image_io import write_png


class StageRecorder:
    """Puts the stripes of each stage together and saves them as `STAGE/000012.png` when a frame is done.

    Aligned frames are saved as they are; the focus measure as its square root, scaled to 16 bits by the frame's own
    largest value, since a linear picture of it is black but for a few lines.
    """

    def __init__(self, folder: Path, height: int) -> None:
        self._folder = folder
        self._height = height
        self._planes: dict[str, npt.NDArray[Any]] = {}
        self._lock = threading.Lock()

    def __call__(self, stage: str, index: int, stripe: Stripe, plane: npt.NDArray[Any]) -> None:
        """Take one stripe of one stage; from any thread."""
        with self._lock:
            if stage not in self._planes:
                self._planes[stage] = np.zeros((self._height, *plane.shape[1:]), plane.dtype)
            whole = self._planes[stage]
        whole[stripe.rows] = plane

    def save(self, index: int) -> None:
        """Write what has been collected of one frame."""
        for stage, plane in self._planes.items():
            target = self._folder / stage
            target.mkdir(parents=True, exist_ok=True)
            picture = plane if stage == "aligned" else _visible(plane)
            write_png(target / f"{index:06d}.png", picture)


def _visible(measure: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    root = cv2.sqrt(measure.astype(np.float32))
    return (root * (65535 / max(float(root.max()), 1e-6))).astype(np.uint16)
