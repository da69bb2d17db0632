"""Is there room for what is going to be written?"""

from __future__ import annotations

import shutil
from pathlib import Path

from focusrail.errors import DiskFull

LEAST_FREE_BYTES = 200 << 20  # less than this is a full disk whatever is to be written


def free_bytes(folder: Path) -> int:
    """On the disk of a folder that may still have to be made."""
    return shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free


def check_free(folder: Path, needed_bytes: int, *, what: str, advice: str) -> int:
    """How many bytes are free in `folder`. Raises DiskFull, which names `what` needs how many, and says what to do."""
    free = shutil.disk_usage(folder).free
    if needed_bytes > free - LEAST_FREE_BYTES:
        raise DiskFull(
            f"{what} need {needed_bytes / 1e9:.2f} GB, and {folder} has {free / 1e9:.2f} GB free: "
            f"free some space, or {advice}"
        )
    return free
