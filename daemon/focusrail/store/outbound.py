"""The outbound folder: finished results, published whole by one rename, never partial and never overwritten."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from focusrail.errors import StoreNotWritable
from focusrail.store.durable import make_folder, sync_folder, sync_tree, writing
from focusrail.store.folder import is_text, printable

# As `Destination.scratch` names them, with the ID of a shoot: nobody else's folder looks like this.
_SCRATCH = re.compile(r"\..+\.\d{8}T\d{6}-[0-9a-f]{4}\.partial", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where results will appear, and the scratch folder beside it that becomes it."""

    folder: Path
    version: int
    owner: str = ""  # the shoot; two that aim at one folder must not share a scratch folder

    @property
    def scratch(self) -> Path:
        """On the same file system, hidden from whoever watches the outbound folder."""
        return self.folder.parent / f".{self.folder.name}.{self.owner}.partial"


def destination(parent: Path, name: str, *, at_least: int = 1) -> Destination:
    """The first free version: `name`, then `name.v2`, `name.v3`; an empty folder counts as free.

    Raises StoreNotWritable.
    """
    version = at_least
    with writing(parent):
        while True:
            folder = versioned(parent, name, version)
            if not os.path.lexists(folder) or _is_empty_folder(folder):
                return Destination(folder.absolute(), version)
            version += 1


def versioned(parent: Path, name: str, version: int) -> Path:
    """Where a version lies: `name`, then `name.v2`, `name.v3`."""
    return parent / (name if version == 1 else f"{name}.v{version}")


def chosen(out: Path, name: str, *, at_least: int = 1) -> Destination:
    """The destination when a user names the folder `out`. Raises StoreNotWritable.

    It becomes the result when it does not exist, or is empty, or is an earlier result (then the next version lies
    beside it); in any other folder a new one, `name`, is made.
    """
    if not is_text(out):
        raise StoreNotWritable(f"{printable(out)} is not UTF-8 text: name another folder with -o")
    with writing(out):
        if out.exists() and not out.is_dir():
            raise StoreNotWritable(f"{out} is not a folder: name another with -o, or move it away")
        if out.is_dir() and any(out.iterdir()) and not (out / "shoot.json").exists():
            return destination(out, name, at_least=at_least)
        return destination(out.parent, out.name, at_least=at_least)


def _is_empty_folder(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())


@contextmanager
def held(place: Destination) -> Iterator[None]:
    """Hold the scratch folder, so that nobody takes it for abandoned. Ends with the process, whatever ends it.

    Raises DiskFull, StoreNotWritable.
    """
    prepare(place)
    with writing(place.scratch):
        folder = _locked(place.scratch, wait=True)
        while not _is_at(place.scratch, folder):  # somebody removed it before we held it
            os.close(folder)
            prepare(place)
            folder = _locked(place.scratch, wait=True)
    try:
        yield
    finally:
        os.close(folder)


def remove_abandoned(parent: Path) -> list[Path]:
    """Remove the scratch folders in `parent` that nobody holds: those who made them were killed."""
    try:
        found = [Path(entry.path) for entry in os.scandir(parent) if _SCRATCH.fullmatch(entry.name)]
    except OSError:
        return []
    removed = []
    for scratch in sorted(found):
        try:
            folder = _locked(scratch, wait=False)
        except OSError:  # somebody holds it, or it is nothing of ours
            continue
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(folder)
        if not scratch.exists():
            removed.append(scratch)
    return removed


def _locked(folder: Path, *, wait: bool) -> int:
    """The descriptor of a folder, locked. Raises OSError, without waiting where somebody else has locked it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        if not wait:
            os.close(descriptor)
            raise
        # A file system that cannot lock folders: then nobody can, and none is ever taken for abandoned.
    return descriptor


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def prepare(place: Destination) -> None:
    """Make an empty scratch folder; what an earlier attempt left there is removed. Who holds it goes on holding it."""
    make_folder(place.folder.parent)
    with writing(place.scratch):
        if not place.scratch.is_dir() or place.scratch.is_symlink():
            place.scratch.unlink(missing_ok=True)
            place.scratch.mkdir()
            return
        for path in list(place.scratch.iterdir()):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def publish(place: Destination) -> None:
    """Make the scratch folder's files durable and rename it to its place. Raises DiskFull, StoreNotWritable."""
    with writing(place.folder):
        sync_tree(place.scratch)
        try:
            place.scratch.rename(place.folder)
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                raise OSError(error.errno, "somebody else made that folder meanwhile") from error
            raise
        sync_folder(place.folder.parent)


def discard(place: Destination) -> None:
    """Remove the scratch folder, if it is still there."""
    shutil.rmtree(place.scratch, ignore_errors=True)
