"""The machine and what is installed on it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import focusrail
from focusrail.doctor.finding import Finding
from focusrail.worker.memory_free import free_bytes
from focusrail_drivers import native

_LEAST_BYTES = 1 << 30  # what a stack of 24 megapixels takes, and some
_LOOPS = (
    ("focusrail.stacking.kernels", "native/libnative.so"),
    ("focusrail_drivers.accelerators.lob", "libaccelerators.so"),
)
_PACKAGES = ("numpy", "opencv-contrib-python", "pillow", "tifffile", "httpx", "fastapi", "uvicorn")


def loops() -> Iterator[Finding]:
    """Whether the inner loops are compiled."""
    for module, library in _LOOPS:
        found = find_spec(module)
        if found is None or found.origin is None or native.load(found.origin, library) is None:
            folder = Path(found.origin).parent if found is not None and found.origin else "?"
            said = f"{library} is not compiled for this machine ({folder}): stacking takes ten times as long"
            yield Finding("installation", "doubtful", said, "install a C compiler (apt install gcc) and install again")
            return
    yield Finding("installation", "good", "the inner loops are compiled")


def memory() -> Iterator[Finding]:
    """Whether there is enough for a stack."""
    free = free_bytes()
    said = f"{free / 1e9:.1f} GB of memory are free"
    if free < _LEAST_BYTES:
        do = "end other programs; what has no room lies in a file, which is slower (stacking.memory_limit_mb)"
        yield Finding("memory", "doubtful", f"only {said}: frames of 24 megapixels take about 0.8 GB", do)
    else:
        yield Finding("memory", "good", said)


def versions() -> Iterator[Finding]:
    """What runs."""
    python = f"Python {platform.python_version()}"
    said = f"focusrail {focusrail.__version__}, {python}, {platform.machine()}, Linux {platform.release()}"
    yield Finding("versions", "good", f"{said} ({sys.prefix})")
    there, missing = [], []
    for name in _PACKAGES:
        try:
            there.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    yield Finding("versions", "good", ", ".join(there))
    if missing:
        said = f"not installed as packages: {', '.join(missing)}"
        yield Finding(
            "versions", "doubtful", said, "install focusrail again (make install; in a checkout, make environment)"
        )
