"""What an examination comes to, one sentence a matter."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One matter that was looked at."""

    area: str
    state: Literal["wrong", "doubtful", "good"]
    said: str
    do: str = ""  # what to do about it


def may_use(area: str, path: Path, *, what: str, mode: int = os.R_OK | os.W_OK) -> Finding | None:
    """Why a device or socket cannot be read and written, or what `mode` says, by this user; None if it can."""
    if os.access(path, mode):
        return None
    facts = path.stat()
    try:
        group = grp.getgrgid(facts.st_gid).gr_name
    except KeyError:
        group = str(facts.st_gid)
    said = f"{what} {path} may not be used by user {user()}: it is for group {group}"
    if group == "root":
        return Finding(area, "wrong", said, "install the udev rules, then plug the device in again")
    if user() in _members(group):
        return Finding(area, "wrong", f"{said}, which this session does not know yet", "log out and in again")
    return Finding(area, "wrong", said, f"sudo usermod -aG {group} {user()}, then log out and in again")


def user() -> str:
    """The name of the user who asks."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _members(group: str) -> list[str]:
    try:
        return grp.getgrnam(group).gr_mem
    except KeyError:
        return []


def processes(proc: Path = Path("/proc")) -> dict[int, str]:
    """The names of all processes by their number, as far as this user sees them; the system cuts names to 15 bytes."""
    found = {}
    for folder in proc.iterdir():
        if folder.name.isdecimal():
            try:
                found[int(folder.name)] = (folder / "comm").read_text().strip()
            except (OSError, UnicodeDecodeError):  # has just ended
                continue
    return found


def users_of(path: Path, proc: Path = Path("/proc")) -> list[int]:
    """The other processes that have a file or device open, as far as this user may see that."""
    target, found = os.path.realpath(path), []
    for pid in processes(proc):
        if pid == os.getpid():
            continue
        try:
            if any(str(link.readlink()) == target for link in (proc / str(pid) / "fd").iterdir()):
                found.append(pid)
        except OSError:
            continue
    return found
