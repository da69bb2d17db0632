"""Build hook: compiles the C files of each folder to one shared library in it, for the Python modules beside them.

They are plain libraries, called by ctypes, so that one build serves every Python. Without a compiler focusrail installs
all the same: each of these modules has a twin in numpy, which gives the same results in more time.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# No contraction: a fused multiply-add rounds once where numpy, and an older processor, round twice.
_FLAGS = ("-O3", "-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")
_SHARED = Path(__file__).parent / "drivers" / "focusrail_drivers"  # loops.h


class CompileHook(BuildHookInterface[Any]):
    """Compiles for wheels and for editable installs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a build; a source distribution takes the C files as they are."""
        if self.target_name != "wheel" or platform.system() != "Linux":
            return
        root = Path(self.root)
        folders = {source.parent for part in ("daemon", "drivers") for source in (root / part).rglob("*.c")}
        built = [_library(folder) for folder in sorted(folders) if _compile(folder)]
        if built and version != "editable":
            build_data["artifacts"] += [f"/{path.relative_to(root)}" for path in built]
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def _library(folder: Path) -> Path:
    return folder / f"lib{folder.name}.so"


def _compile(folder: Path) -> bool:
    """Whether a library came of a folder's C files."""
    target = _library(folder)
    target.unlink(missing_ok=True)
    partial = target.with_suffix(".so.partial")
    sources = [str(source) for source in sorted(folder.glob("*.c"))]
    said = ""
    for variant in ((), ("-DONE_TARGET",)):  # not every C library can choose among clones of a function
        compiler = shlex.split(os.environ.get("CC") or "cc")
        command = [*compiler, *_FLAGS, *variant, f"-I{_SHARED}", *sources, "-o", str(partial), "-lm"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            continue
        partial.replace(target)  # a process that has the old one loaded keeps it
        return True
    print(f"focusrail: {folder} is not compiled, and stacking will be slower: {said}", file=sys.stderr)  # noqa: T201
    return False
