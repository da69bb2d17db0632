"""How much memory there is for a stack: what the machine, a control group and the configuration leave."""

from __future__ import annotations

from pathlib import Path

_UNKNOWN_BYTES = 2 << 30
_MARGIN_BYTES = 100 << 20  # threads, and what allocators keep; also what a limit counts without its being used
_SHARE = 0.9  # of the rest; estimates are no better


def free_bytes(
    memory_limit_mb: int | None = None, *, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")
) -> int:
    """What a process may still take: the least of what is available, what its control groups leave, and the limit."""
    limits = [
        _told_bytes(proc / "meminfo", "MemAvailable:", unknown=_UNKNOWN_BYTES),
        *_left_in_groups(proc / "self" / "cgroup", cgroups),
    ]
    if memory_limit_mb is not None:
        limits.append(memory_limit_mb << 20)
    return min(limits)


def usable_bytes(free: int) -> int:
    """How much of what is free to count on."""
    return max(0, int(_SHARE * (free - _MARGIN_BYTES)))


def swap_bytes(*, proc: Path = Path("/proc")) -> int:
    """What the system could still write out: slow, but better than to be refused."""
    return _told_bytes(proc / "meminfo", "SwapFree:", unknown=0)


def _told_bytes(meminfo: Path, key: str, *, unknown: int) -> int:
    try:
        lines = meminfo.read_text().splitlines()
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
