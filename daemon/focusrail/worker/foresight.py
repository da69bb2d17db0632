"""What a stack will take of memory and disk, said and refused as soon as its first frame's size is known."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace

from focusrail.errors import NotEnoughMemory
from focusrail.model.method import FUSIONS
from focusrail.stacking.arrays import Image
from focusrail.store.room import LEAST_FREE_BYTES, check_free
from focusrail.worker.memory_free import (
    counted_bytes,
    free_bytes,
    limit_for_mb,
    swap_bytes,
    usable_bytes,
    usable_of_limit_bytes,
)
from focusrail.worker.memory_need import MemoryNeed, memory_need
from focusrail.worker.messages import Begin, Memory, Room


def foresee(
    begin: Begin,
    image: Image,
    say: Callable[[object], None],
    *,
    file_bytes: int,
    threads: int,
    base_bytes: int,
    memory_limit_mb: int | None = None,
) -> tuple[MemoryNeed, int]:
    """The need of memory, and what of it is there for planes (bytes); those beyond it have room on the disk.

    `image` is the first frame, of `file_bytes` as it was photographed; `base_bytes` was in use before.
    Raises DiskFull, NotEnoughMemory.
    """
    folder = begin.scratch.parent
    pictures = begin.outputs.needed_bytes(begin.frames, image.shape[0] * image.shape[1])
    if pictures:
        what = "aligned frames and slabs" if begin.outputs.aligned else "slabs"
        free = check_free(folder, pictures, what=what, advice="do without some of them, or name another with -o")
        say(Room(pictures, free))

    def need_of(fusion: str) -> MemoryNeed:
        return memory_need(
            replace(begin.method, fusion=fusion), begin.outputs,
            width_px=image.shape[1], height_px=image.shape[0], sample_bytes=image.dtype.itemsize,
            file_bytes=file_bytes, threads=threads, base_bytes=base_bytes,
        )  # fmt: skip

    need, free, counted = need_of(begin.method.fusion), free_bytes(), counted_bytes()
    usable, limited = usable_bytes(free), False
    if memory_limit_mb is not None:
        of_limit = usable_of_limit_bytes(memory_limit_mb << 20, counted=counted)
        usable, limited = min(usable, of_limit), of_limit <= usable
    in_file = need.in_file_bytes(usable)
    on_disk = shutil.disk_usage(begin.scratch).free
    too_little = need.least_bytes > (usable if limited else free + swap_bytes())
    if too_little or (in_file and in_file + pictures + LEAST_FREE_BYTES > on_disk):
        easier = [one for one in FUSIONS if need_of(one).total_bytes < min(usable, need.total_bytes)]
        limit_mb = limit_for_mb(need.least_bytes if too_little else need.total_bytes, counted=counted)
        advice = [
            f"raise stacking.memory_limit_mb to {limit_mb}" if limited else "end other programs",
            *([] if too_little else [f"free {in_file / 1e9:.2f} GB on the disk of {folder}"]),
            *([f"take --method {easier[0]}, for which there is enough"] if easier else []),
        ]
        raise NotEnoughMemory(
            f"stacking frames of {image.shape[1]} x {image.shape[0]} px needs {_gb_up(need.total_bytes):.2f} GB of "
            f"memory, {_gb_up(need.least_bytes):.2f} GB of it even with a file, and {usable // 1e7 / 100:.2f} GB are "
            f"usable: {', or '.join(advice)}"
        )
    say(Memory(need.total_bytes, usable, in_file))
    return need, need.room_for_planes_bytes(usable) if in_file else usable


def _gb_up(size_bytes: int) -> float:
    """Rounded up, as what is usable is rounded down: else both may read the same."""
    return math.ceil(size_bytes / 1e7) / 100
