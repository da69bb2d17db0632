"""The stackers that are compared: how each is installed, apart from everything else, and how it is asked to stack.

    python -m benchmarks.peers [--tools openfocus-gfgfgf,focusweave] [--folder .bench/peers]

installs them and says which are there. Those from PyPI get a virtual environment each, with an interpreter that they
support; enfuse and align_image_stack must be on PATH (Debian: enfuse, hugin-tools; `make bench` sees to it). Every
stacker runs with its defaults, but for what it needs to align a focus stack at all.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(".bench/peers")
HERE = Path(__file__).resolve().parent.parent


class Unavailable(Exception):
    """The tool is not there, and cannot be installed here."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A stacker with a way to use it. In `commands`, run in turn: {frames} {out} {work} {bin} {python} {here}.

    {frames} as a word of its own becomes the folder, {frames...} all its files. The result is the newest picture that
    matches `result` in the {work} folder.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    result: str = "result.png"
    package: str | None = None  # PyPI, pinned
    pythons: tuple[tuple[int, int], tuple[int, int]] = ((3, 10), (3, 13))  # oldest and newest that the package supports
    programs: tuple[str, ...] = ()  # must be on PATH
    version_from: tuple[str, ...] = ()
    lent: bool = True  # False: part of this project, run by this interpreter


def _openfocus(name: str, method: str, align: str = "ecc") -> Tool:
    return Tool(
        name,
        (("{bin}/openfocus", "--cpu", "-i", "{frames}", "-o", "{work}/result.png", "-m", method, "-a", align),),
        package="openfocus==1.72.0",
        pythons=((3, 10), (3, 12)),
    )


def _shinestacker(name: str, kind: str) -> Tool:
    return Tool(
        name,
        (("{python}", "{here}/benchmarks/run_shinestacker.py", "{frames}", "{work}", kind),),
        result="stacked/*",
        package="shinestacker==1.17.4",
        pythons=((3, 12), (3, 12)),
    )


PEERS = (
    Tool(
        "focusweave", (("{bin}/focusweave", "{frames}", "--output", "{work}/result.png"),),
        package="focusweave==2.0.0",
    ),
    _openfocus("openfocus-gfgfgf", "gfgfgf"),
    _openfocus("openfocus-b", "openfocus_b"),
    _openfocus("openfocus-mffv3", "stackmffv3"),
    _shinestacker("shinestacker-pyramid", "pyramid"),
    _shinestacker("shinestacker-depth", "depth"),
    Tool(
        "hugin-enfuse",
        (
            # Where a photograph does not say its focal length, 50 degrees are assumed and drift is fitted as a turn. A
            # macro lens's field is narrow: said so, the result is 4 dB better.
            ("align_image_stack", "-m", "-C", "-f", "3", "--use-given-order", "-a", "{work}/aligned_", "{frames...}"),
            (
                "enfuse", "--exposure-weight=0", "--saturation-weight=0", "--contrast-weight=1", "--hard-mask",
                "-o", "{work}/result.tif", "{work}/aligned_*.tif",
            ),
        ),
        result="result.tif",
        programs=("align_image_stack", "enfuse"),
        version_from=("enfuse", "--version"),
    ),
)  # fmt: skip


def own_tools() -> tuple[Tool, ...]:
    """Focusrail with each of its fusion methods, the recommended one first."""
    shown = subprocess.run(
        [sys.executable, "-m", "focusrail", "stack", "--help"], capture_output=True, text=True, check=True, cwd=HERE
    ).stdout
    found = re.search(r"--method \[([\w|\s-]+)\]", shown)
    methods = re.sub(r"\s", "", found.group(1)).split("|") if found else []
    return tuple(
        Tool(
            f"focusrail-{method}",
            (
                (
                    "{python}", "-m", "focusrail", "--config", "{here}/config/focusrail.yaml",
                    "stack", "{frames}", "-o", "{work}/out", "--method", method,
                ),
            ),
            result="out/result.tif",
            lent=False,
        )
        for method in methods
    )  # fmt: skip


def version_of(tool: Tool) -> str:
    """What results are filed under: of focusrail, a digest of everything that may change its pixels."""
    if tool.package:
        return tool.package.partition("==")[2]
    if tool.version_from:
        said = subprocess.run(tool.version_from, capture_output=True, text=True, check=False).stdout
        return said.splitlines()[0].split()[-1] if said else "?"
    digest = hashlib.sha256()
    for root in (HERE / "daemon", HERE / "drivers" / "focusrail_drivers" / "accelerators"):
        for path in sorted(root.rglob("*.py")):
            digest.update(path.read_bytes())
    digest.update((HERE / "config" / "focusrail.yaml").read_bytes())
    return digest.hexdigest()[:10]


def installed(tool: Tool, folder: Path = FOLDER) -> Path:
    """Install what `tool` needs, once; the folder of its programs. Raises Unavailable."""
    for program in tool.programs:
        if shutil.which(program) is None:
            raise Unavailable(f"{tool.name}: there is no {program} on PATH")
    if tool.package is None:
        return Path(sys.executable).parent
    environment = folder.resolve() / tool.package.replace("==", "-")
    ready = environment / ".ready"
    if not ready.exists():
        oldest, newest = tool.pythons
        python = next((path for path in interpreters() if oldest <= _version(path) <= newest), None)
        if python is None:
            raise Unavailable(f"{tool.name} needs Python {oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}")
        print(f"installing {tool.package} for {python}", file=sys.stderr, flush=True)
        try:
            subprocess.run([python, "-m", "venv", "--clear", environment], check=True, capture_output=True)
            pip = [
                str(environment / "bin" / "python"),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ]
            subprocess.run([*pip, tool.package], check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as failed:
            raise Unavailable(f"{tool.name}: {str(failed.stderr).strip()[-300:]}") from failed
        ready.touch()
    return environment / "bin"


def interpreters() -> Iterator[Path]:
    """Pythons on this machine: this one, those on PATH, and those that pyenv keeps, newest first."""
    yield Path(sys.executable)
    for minor in range(14, 9, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            yield Path(found)
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from sorted(kept.glob("3.*/bin/python3"), reverse=True)


def _version(python: Path) -> tuple[int, int]:
    asked = [str(python), "-c", "import sys; print(*sys.version_info[:2])"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    return (int(said[0]), int(said[1])) if len(said) == 2 else (0, 0)


def filled(command: Sequence[str], *, frames: Path, work: Path, programs: Path) -> list[str]:
    """A command with its places filled in; the words that stand for many files become many."""
    names: dict[str, Any] = {
        "frames": frames, "work": work, "bin": programs, "here": HERE,
        "python": sys.executable if programs == Path(sys.executable).parent else programs / "python",
    }  # fmt: skip
    words: list[str] = []
    for word in command:
        if word == "{frames...}":
            words += [str(path) for path in sorted(frames.iterdir())]
        elif "*" in word:
            pattern = Path(word.format(**names))
            words += [str(path) for path in sorted(pattern.parent.glob(pattern.name))]
        else:
            words.append(word.format(**names))
    return words


def environment_of(tool: Tool) -> dict[str, str]:
    """What a tool runs with. A peer does not see this project's own packages."""
    kept = dict(os.environ)
    if tool.lent:
        kept.pop("PYTHONPATH", None)
    return kept | {"QT_QPA_PLATFORM": "offscreen", "MPLBACKEND": "Agg"}


def all_tools() -> dict[str, Tool]:
    """Every tool by its name, focusrail's first."""
    return {tool.name: tool for tool in (*own_tools(), *PEERS)}


def chosen_tools(names: str | None) -> list[Tool]:
    """Those whose names, or the part before the hyphen, are in a comma-separated list; None: all."""
    tools = all_tools()
    if names is None:
        return list(tools.values())
    wanted = names.split(",")
    for name in wanted:
        if not any(name in (tool, tool.partition("-")[0]) for tool in tools):
            raise SystemExit(f"no tool {name!r}; there are: {', '.join(tools)}")
    return [tool for name, tool in tools.items() if name in wanted or name.partition("-")[0] in wanted]


def main() -> None:
    """Install, and say what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", help="comma-separated; without it, all")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    for tool in chosen_tools(options.tools):
        try:
            print(f"{tool.name} {version_of(tool)}: {installed(tool, options.folder)}")
        except Unavailable as reason:
            print(f"{tool.name}: {reason}")


if __name__ == "__main__":
    main()
