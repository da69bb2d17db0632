"""Where originals and results lie: whether they can be written, and whether there is room."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from focusrail.config.schema import Config
from focusrail.doctor.finding import Finding, user
from focusrail.errors import FocusrailError
from focusrail.store.journal import Journal
from focusrail.store.room import LEAST_FREE_BYTES

_LITTLE_BYTES = 5 << 30  # a shoot of a hundred raw files
_SANE = datetime(2025, 1, 1, tzinfo=timezone.utc)


def folders(config: Config, *, ours: bool) -> Iterator[Finding]:
    """Writable, as far as they are `ours` and not a service's, and with room."""
    store = config.store
    for what, folder in (("spool", store.spool_folder), ("outbound", store.outbound_folder)):
        yield from _folder(what, folder, ours=ours)


def _folder(what: str, folder: Path, *, ours: bool) -> Iterator[Finding]:
    try:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        free_bytes = shutil.disk_usage(there).free
        read_only = os.statvfs(there).f_flag & os.ST_RDONLY
    except OSError as error:
        said = f"{what}: {folder} cannot be looked at by user {user()}: {error.strerror}"
        yield Finding("storage", "wrong" if ours else "doubtful", said, "ask as the service's user, or as root")
        return
    if not there.is_dir():
        yield Finding("storage", "wrong", f"{what}: {there} is a file", f"move it away, or set store.{what}")
    elif read_only:
        do = f"mount it for writing (mount -o remount,rw ..., after a look at dmesg), or set store.{what}"
        yield Finding("storage", "wrong", f"{what}: the file system of {there} is read-only", do)
    elif ours and not os.access(there, os.W_OK | os.X_OK):
        state = "cannot be written" if there == folder else f"cannot be made in {there}"
        do = f"sudo chown {user()} {there}, set store.{what} to a folder of yours, or run as the service's user"
        yield Finding("storage", "wrong", f"{what}: {folder} {state} by user {user()}", do)
    free = f"{free_bytes / 1e9:.1f} GB are free for {what} ({folder})"
    if free_bytes < LEAST_FREE_BYTES:
        yield Finding("storage", "wrong", f"only {free}: no shoot begins", "free some space")
    elif free_bytes < _LITTLE_BYTES:
        yield Finding("storage", "doubtful", f"only {free}", "free some space before a long shoot")
    else:
        yield Finding("storage", "good", free)


def journal(config: Config) -> Iterator[Finding]:
    """Whether it can be opened, and was not written in what the clock takes for the future."""
    now, path = datetime.now(timezone.utc), config.store.journal_file
    if now < _SANE:
        said = f"the clock says {now:%Y-%m-%d}: the names of shoots come from it"
        yield Finding("clock", "wrong", said, "sudo timedatectl set-ntp true, or set it by hand (date -s)")
    if not path.exists():
        return
    try:
        opened = Journal(path)
    except FocusrailError as error:
        yield Finding("journal", "wrong", str(error))
        return
    try:
        newest = next(iter(opened.shoots()), None)
    except FocusrailError as error:
        yield Finding("journal", "wrong", str(error))
        return
    finally:
        opened.close()
    if newest is not None and newest.created_at > now:
        yield Finding(
            "clock", "wrong", f"the newest shoot, {newest.shoot_id}, is of a time to come ({newest.created_at:%c} UTC)",
            "set the clock (sudo timedatectl set-ntp true): the next shoot would be taken for an older one",
        )  # fmt: skip
    else:
        yield Finding("clock", "good", f"{now:%Y-%m-%d %H:%M} UTC, after the newest shoot")


def token(config: Config) -> Iterator[Finding]:
    """Whether nobody else can read it."""
    path = config.store.token_file
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:  # there is none yet, or it is not for us to see, which is right
        return
    if mode & 0o077:
        said = f"{path} can be read by others (mode {mode:o}): they can drive the rig by the network"
        yield Finding("token", "wrong", said, f"chmod 600 {path}, then focusrail token --new")
    else:
        yield Finding("token", "good", f"{path} is for its owner only")
