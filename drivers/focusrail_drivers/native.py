"""Loading the compiled libraries that stand beside the Python modules they speed up."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path


def load(module_file: str, name: str) -> ctypes.CDLL | None:
    """The library at `name`, a path from a module (its `__file__`); None where it was not compiled for this machine.

    `FOCUSRAIL_PLAIN=1` in the environment leaves it aside, so that what numpy makes can be compared.
    """
    if os.environ.get("FOCUSRAIL_PLAIN") == "1":
        return None
    try:
        return ctypes.CDLL(str(Path(module_file).parent / name))
    except OSError:
        return None
