"""The token that browsers must know, in a file for its owner's eyes only."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from secrets import token_urlsafe

from focusrail.errors import ConfigError
from focusrail.store.durable import make_folder, sync_folder, writing

_USABLE = re.compile(r"[A-Za-z0-9._~-]{16,200}")  # long enough not to be guessed; goes into a cookie and an address


def token_at(path: Path) -> str:
    """The token that a file holds; made where there is none. Raises ConfigError, StoreNotWritable, DiskFull."""
    try:
        token = _kept(path)
    except FileNotFoundError:
        token = ""
    if not token:
        _make(path)
        token = _kept(path)
    if not _USABLE.fullmatch(token):
        raise ConfigError(f"{path}: is no token of 16 or more letters and digits; remove it, and another is made")
    return token


def _kept(path: Path) -> str:
    """What the file says. One that others may read is closed to them: they have had their chance before."""
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            if facts.st_mode & 0o077 and facts.st_uid == os.geteuid():
                os.fchmod(file.fileno(), 0o600)
            return file.read(4096).decode("ascii", "replace").strip()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _make(path: Path) -> None:
    """Write a new token, whole or not at all; where somebody else has just made one, that one stays."""
    make_folder(path.parent)
    with writing(path):
        descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=".token-")  # 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(token_urlsafe(24) + "\n")
                file.flush()
                os.fsync(descriptor)
                if os.geteuid() == 0:  # made by `sudo focusrail token --new`: the service must be able to read it
                    os.fchown(descriptor, path.parent.stat().st_uid, -1)
            if path.exists() and not path.read_bytes().strip():  # what a power cut has left
                path.unlink()
            try:
                os.link(scratch, path)
            except FileExistsError:
                if not path.exists():
                    raise ConfigError(f"{path}: is a link that leads nowhere; remove it") from None
            except OSError:  # a file system without hard links
                Path(scratch).replace(path)
        finally:
            Path(scratch).unlink(missing_ok=True)
        sync_folder(path.parent)
