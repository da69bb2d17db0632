"""How much memory there is for a stack, by the machine, a control group and the configuration; and how much it took."""

from __future__ import annotations

import resource
from pathlib import Path

_UNKNOWN_BYTES = 2 << 30
_MARGIN_BYTES = 100 << 20  # threads, and what allocators keep
_SHARE = 0.9  # of the rest; estimates are no better
_MORE_COUNTED_BYTES = 16 << 20  # by a limit and never used: stacks of threads that are still to come, and heaps' holes
_SHARE_OF_LIMIT = 0.97  # of the rest: nothing else takes from it, and what is not resident has been counted


def free_bytes(*, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """What a process may still take: the least of what is available and what its control groups leave."""
    available = _told_bytes(proc / "meminfo", "MemAvailable:", unknown=_UNKNOWN_BYTES)
    return min([available, *_left_in_groups(proc / "self" / "cgroup", cgroups)])


def usable_bytes(free: int) -> int:
    """How much of what is free to count on."""
    return max(0, int(_SHARE * (free - _MARGIN_BYTES)))


def counted_bytes(*, proc: Path = Path("/proc")) -> int:
    """What a limit counts of this process beyond what it keeps in memory (RLIMIT_DATA: private writable mappings).

    A hundred megabytes and more: whole stacks of 8 MB a thread, and OpenBLAS's buffers of 32 MB a thread, of both of
    which a few kilobytes are used; less what of libraries is in memory, which a limit does not count.
    """
    data, resident = (_told_bytes(proc / "self" / "status", key, unknown=0) for key in ("VmData:", "VmRSS:"))
    return max(0, data - resident) + _MORE_COUNTED_BYTES


def usable_of_limit_bytes(limit_bytes: int, *, counted: int) -> int:
    """How much memory a limit leaves for use, where it counts so much besides."""
    return max(0, int(_SHARE_OF_LIMIT * (limit_bytes - counted)))


def limit_for_mb(needed_bytes: int, *, counted: int) -> int:
    """A round limit, hardly above the least, that leaves so much for use; what is counted varies by a megabyte."""
    least_mb = (needed_bytes / _SHARE_OF_LIMIT + counted) / (1 << 20)
    return (int(least_mb) + 14) // 10 * 10


def resident_bytes(*, proc: Path = Path("/proc")) -> int:
    """What this process keeps in memory."""
    return _told_bytes(proc / "self" / "status", "VmRSS:", unknown=0)


def hold_to(limit_bytes: int, *, proc: Path = Path("/proc")) -> None:
    """Have the system refuse this process more data than a limit, or than it has already where that is more."""
    least = _told_bytes(proc / "self" / "status", "VmData:", unknown=0)
    resource.setrlimit(resource.RLIMIT_DATA, (max(limit_bytes, least), resource.getrlimit(resource.RLIMIT_DATA)[1]))


def peak_bytes(*, proc: Path = Path("/proc")) -> int:
    """The most that this process has kept in memory so far; `getrusage` tells what its parent kept, if more."""
    return _told_bytes(proc / "self" / "status", "VmHWM:", unknown=0)


def swap_bytes(*, proc: Path = Path("/proc")) -> int:
    """What the system could still write out: slow, but better than to be refused."""
    return _told_bytes(proc / "meminfo", "SwapFree:", unknown=0)


def _told_bytes(path: Path, key: str, *, unknown: int) -> int:
    try:
        lines = path.read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(key))
    except (OSError, StopIteration, ValueError):
        return unknown


def _left_in_groups(membership: Path, cgroups: Path) -> list[int]:
    """What each control group (version 2) that we are in leaves, from ours upwards; pages that can go do not count."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    ours = next((line[3:] for line in lines if line.startswith("0::/")), None)
    if ours is None:
        return []
    folder, left = cgroups / ours.lstrip("/"), []
    for group in (folder, *folder.parents):
        try:
            limit = (group / "memory.max").read_text().strip()
            if limit != "max":
                stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                used = int((group / "memory.current").read_text()) - int(stat["inactive_file"])
                left.append(max(0, int(limit) - used))
        except (OSError, ValueError, KeyError):  # the root has none
            pass
        if group == cgroups:
            break
    return left
