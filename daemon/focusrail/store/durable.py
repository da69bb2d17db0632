"""Writing files so that they are whole after a power cut, and naming what went wrong when they cannot be."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from focusrail.errors import DiskFull, FocusrailError, StoreNotWritable

_SYNCED_AT_ONCE = 8


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of writing at `path` into DiskFull or StoreNotWritable."""
    try:
        yield
    except OSError as error:
        raise refusal(path, error) from error


def refusal(path: Path, error: OSError) -> FocusrailError:
    """The sentence for a write that failed."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no space left for {path}: free some and try again; what was stored before is whole")
    return StoreNotWritable(
        f"cannot write {path}: {error.strerror or error}; check that it exists and is yours to write"
    )


def sync_file(path: Path) -> None:
    """Make what has been written to a file durable."""
    _sync(path, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make every file and folder below `folder` durable.

    Many at once, since a journalling file system then commits them together: of 300 small files, each waiting for its
    own commit, a second becomes a twentieth.
    """
    folders, files = [], []
    for here, _, names in os.walk(folder, topdown=False):
        folders.append(Path(here))
        files += [Path(here, name) for name in names]
    with ThreadPoolExecutor(_SYNCED_AT_ONCE) as executor:
        for _ in executor.map(sync_file, files):
            pass
        for _ in executor.map(sync_folder, folders):
            pass


def write_durably(path: Path, data: bytes) -> None:
    """Write a whole file or none: when this returns it survives a power cut. Raises DiskFull, StoreNotWritable."""
    scratch = path.with_name(f".{path.name}.partial")
    with writing(path):
        try:
            with scratch.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        except OSError:
            scratch.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, durably. Raises DiskFull, StoreNotWritable."""
    with writing(folder):
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for made in reversed(missing):
            sync_folder(made.parent)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
