"""Slabs as files: kept uncropped until it is known where the result lies, then cut one at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from focusrail.stacking.slabs import Slab
from focusrail.store.image_io import Metadata, write_tiff
from focusrail.worker.scratch import Scratch

FOLDER = "slabs"


class SlabFiles:
    """Takes finished slabs, and writes `slabs/slab_000-011.tif`, 16 bit, in the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._folder.mkdir()
        self._names: list[str] = []

    @property
    def count(self) -> int:
        """How many have been put aside."""
        return len(self._names)

    def keep(self, slab: Slab) -> None:
        """Put a slab aside."""
        self._names.append(f"slab_{slab.first:03d}-{slab.last:03d}")
        np.save(self._uncropped(self._names[-1]), slab.image)

    def _uncropped(self, name: str) -> Path:
        return self._folder / f".{name}.npy"

    def save(
        self,
        scratch: Scratch,
        crop: tuple[int, int, int, int],
        *,
        title: str,
        um_per_px: float | None,
        saved: Callable[[], None],
    ) -> None:
        """Write all slabs, cut to `crop` (x, y, width, height), and call `saved` after each."""
        x, y, width, height = crop
        for name in self._names:
            path = self._uncropped(name)
            window = np.load(path, mmap_mode="r")[y : y + height, x : x + width]

            def write(out: Path, *, pixels: object = window, about: str = f"{title}: {name}") -> None:
                write_tiff(out, np.asarray(pixels), Metadata(), description=about, um_per_px=um_per_px)

            scratch.add(f"{FOLDER}/{name}.tif", write)
            scratch.durable_s(f"{FOLDER}/{name}.tif")  # the room for one is free again before the next
            path.unlink()
            saved()
