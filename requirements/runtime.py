"""Prints of a lock what the service needs, without what only tests and linters do: `runtime.py LOCK [EXTRA ...]`.

A lock tells of each package on whose behalf it is there ("via"). What is wanted is what focusrail names itself, with
the extras that are given, the build tools, and whatever these brought in. Standard library only: it runs before there
is anything else.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_OWN = "focusrail (pyproject.toml)"


def wanted(project: str, build: str, extras: list[str]) -> set[str]:
    """Names that pyproject.toml's dependencies and those extras have, and the lock's own input but for the kv260's."""
    parts = [r"^dependencies = \[\n(.*?)^\]", *(rf"^{extra} = \[(.*?)\]" for extra in extras)]
    found = [match for part in parts for match in re.findall(part, project, re.MULTILINE | re.DOTALL)]
    names = {name for text in found for name in re.findall(r'"([A-Za-z0-9._-]+)', text)}
    names |= set(re.findall(r"^([A-Za-z0-9._-]+)", build, re.MULTILINE))
    return {_plain(name) for name in names - (set() if "kv260" in extras else {"pynq"})}


def runtime(lock: str, roots: set[str]) -> str:
    """The part of a lock that these names need."""
    packages = re.findall(r"^[A-Za-z0-9].*?(?=^[A-Za-z0-9]|\Z)", lock, re.MULTILINE | re.DOTALL)
    asked_by: dict[str, set[str]] = {}
    for package in packages:
        _, _, via = package.partition("# via")
        asked_by.setdefault(_name(package), set()).update(
            _plain(line.strip(" #")) for line in via.splitlines() if line.strip(" #") != _OWN
        )
    needed = roots & asked_by.keys()
    while more := {name for name, by in asked_by.items() if by & needed} - needed:
        needed |= more
    return "".join(package for package in packages if _name(package) in needed)


def _name(package: str) -> str:
    return _plain(re.split(r"[=\[ ]", package, maxsplit=1)[0])


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    lock = Path(sys.argv[1])
    project = (_HERE.parent / "pyproject.toml").read_text(encoding="utf-8")
    build = lock.with_suffix(".in").read_text(encoding="utf-8")
    sys.stdout.write(runtime(lock.read_text(encoding="utf-8"), wanted(project, build, sys.argv[2:])))
