"""focusrail and its peers on the same stacks, judged by the same truth, in one go.

    python -m benchmarks.compare [--size 2 24] [--scenes demo,hairs] [--tools focusrail,openfocus] [--repeats 3]

Renders the scenes, installs the peers, runs every tool on every scene as a whole process, judges the results, and
writes results.json, results.md, plots and pictures of the hardest places to `--out`. Runs are kept per tool version,
scene and machine, so that only what changed is run again; `--again` runs everything. Times are worth comparing only
among runs made in one go on a quiet machine: results.md says the load that each was measured under.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import looks, peers, scenes
from benchmarks import score as scoring
from benchmarks.measured import measured
from benchmarks.peers import Tool, Unavailable
from benchmarks.scenes import SCENES, Stack, stack_of
from benchmarks.table import markdown

LIMIT_S = 3600.0
BOUND = "bound"
Record = dict[str, Any]


def machine() -> Record:
    """What the times depend on."""
    cpus = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = {line.partition(":")[2].strip() for line in cpus.splitlines() if line.startswith("model name")}
    return {
        "processor": ", ".join(sorted(models)) or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.platform(),
        "python": platform.python_version(),
        "opencv": cv2.__version__,
        "numpy": np.__version__,
    }


class Keep:
    """Records and result pictures of earlier runs, a folder for each tool, version, scene and machine."""

    def __init__(self, folder: Path, tool: Tool, version: str, stack: Stack, here: Record) -> None:
        facts = json.dumps([tool.commands, version, stack.fingerprint, here["processor"], here["cores"]])
        digest = hashlib.sha256(facts.encode()).hexdigest()[:12]
        self.folder = folder / f"{stack.megapixels:g}mp" / stack.scene / f"{tool.name}-{digest}"
        self._path = self.folder / "record.json"

    def load(self) -> Record | None:
        return json.loads(self._path.read_text()) if self._path.exists() else None

    def save(self, record: Record) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(record, indent=1))

    def picture(self) -> Path | None:
        return next(iter(self.folder.glob("result.*")), None)

    def forget(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def run_once(tool: Tool, stack: Stack, keep: Keep, record: Record, *, peers_folder: Path) -> None:
    """One more run of `tool`, added to the record; the first result picture is kept."""
    programs = peers.installed(tool, peers_folder)
    keep.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=keep.folder) as made:
        work = Path(made).resolve()
        wall_s = cpu_s = 0.0
        peak_bytes = 0
        load = os.getloadavg()[0]
        for pattern in tool.commands:
            command = peers.filled(pattern, frames=stack.frames_folder.resolve(), work=work, programs=programs)
            cost = measured(
                command, log=keep.folder / "log.txt", cwd=work, environment=peers.environment_of(tool), limit_s=LIMIT_S
            )
            wall_s, cpu_s, peak_bytes = wall_s + cost.wall_s, cpu_s + cost.cpu_s, max(peak_bytes, cost.peak_bytes)
            if cost.exit_code:
                record["error"] = f"exit code {cost.exit_code}: {_last_words(keep.folder / 'log.txt')}"
                return
        pictures = sorted(work.glob(tool.result), key=lambda path: path.stat().st_mtime)
        if not pictures:
            record["error"] = f"no result: {_last_words(keep.folder / 'log.txt')}"
            return
        if keep.picture() is None:
            shutil.copy2(pictures[-1], keep.folder / f"result{pictures[-1].suffix}")
    record["runs"].append({"wall_s": wall_s, "cpu_s": cpu_s, "peak_bytes": peak_bytes, "load": load})


def judge(record: Record, stack: Stack, picture: Path | None) -> None:
    """Score the kept picture, unless that was done by this scorer already."""
    if picture is None or (record.get("scorer") == scoring.VERSION and record.get("score")):
        return
    record["scorer"] = scoring.VERSION
    record.pop("error", None)
    try:
        record["score"] = asdict(scoring.score_in(stack, scoring.read_result(picture)))
    except scoring.NotTheScene as reason:
        record["score"], record["error"] = None, str(reason)


def bound_of(stack: Stack) -> Record:
    """The record of the best that choosing a frame for each pixel can reach."""
    record: Record = {"tool": BOUND, "version": "", "scene": stack.scene, "megapixels": stack.megapixels, "runs": []}
    kept = stack.folder / "bound.json"
    if kept.exists() and json.loads(kept.read_text()).get("scorer") == scoring.VERSION:
        return dict(json.loads(kept.read_text()))
    judge(record, stack, stack.folder / "bound.png")
    kept.write_text(json.dumps(record, indent=1))
    return record


def compare(options: argparse.Namespace, report: Path) -> Record:
    """Run and judge all that was asked for; what is there so far is written after every scene."""
    tools = peers.chosen_tools(options.tools)
    versions = {tool.name: peers.version_of(tool) for tool in tools}
    here = machine()
    done: Record = {"machine": here, "made": "", "repeats": options.repeats, "records": []}
    records: dict[tuple[float, str, str], Record] = {}
    for megapixels in options.size:
        stacks = [stack_of(SCENES[name], megapixels, options.root / "scenes") for name in options.scenes.split(",")]
        for stack in stacks:
            records[megapixels, stack.scene, BOUND] = bound_of(stack)
        # Round after round over all scenes and tools, so that a busy minute of the machine hits all alike.
        for turn in range(options.repeats):
            for stack in stacks:
                for tool in tools:
                    record = _brought_up(tool, versions[tool.name], stack, here, options, turn)
                    records[megapixels, stack.scene, tool.name] = record
                done["records"] = list(records.values())
                done["made"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
                _write(done, report)
    return done


def _brought_up(tool: Tool, version: str, stack: Stack, here: Record, options: argparse.Namespace, turn: int) -> Record:
    keep = Keep(options.root / "runs", tool, version, stack, here)
    if options.again and turn == 0:
        keep.forget()
    record = keep.load() or {
        "tool": tool.name, "version": version, "scene": stack.scene, "megapixels": stack.megapixels,
        "commands": [" ".join(command) for command in tool.commands], "runs": [],
    }  # fmt: skip
    if turn == 0:
        record.pop("error", None)  # what failed last time is tried again, once a go
    if len(record["runs"]) <= turn and not record.get("error"):
        print(f"{stack.megapixels:g} MP {stack.scene}: {tool.name} {version}", flush=True)
        try:
            run_once(tool, stack, keep, record, peers_folder=options.root / "peers")
        except Unavailable as reason:
            return record | {"error": str(reason)}  # not kept: it may be there next time
    judge(record, stack, keep.picture())
    keep.save(record)
    if record.get("error"):
        print(f"  {record['error']}", flush=True)
    return record


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""


def _write(done: Record, report: Path) -> None:
    report.mkdir(parents=True, exist_ok=True)
    (report / "results.json").write_text(json.dumps(done, indent=1))
    (report / "results.md").write_text(markdown(done))


def draw(report: Path, peers_folder: Path) -> None:
    """Plots, by matplotlib, which lives in an environment of its own."""
    plots = Tool("plots", (), package="matplotlib==3.10.7")
    try:
        python = peers.installed(plots, peers_folder) / "python"
    except Unavailable as reason:
        print(f"no plots: {reason}")
        return
    subprocess.run([python, peers.HERE / "benchmarks" / "plots.py", report / "results.json"], check=True)


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, nargs="+", default=[2.0], choices=sorted(scenes.SIZES), help="megapixels")
    parser.add_argument("--scenes", default="demo,noisy,hairs,far", help=f"of {', '.join(SCENES)}")
    parser.add_argument("--tools", help="comma-separated names, or their first parts; without it, all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--again", action="store_true", help="run everything, whatever is kept")
    parser.add_argument("--root", type=Path, default=Path(".bench"), help="scenes, peers and runs are kept here")
    parser.add_argument("--out", type=Path, help="where the report is written; without it, ROOT/report")
    parser.add_argument("--no-plots", action="store_true")
    options = parser.parse_args()
    report = options.out or options.root / "report"
    done = compare(options, report)
    if not options.no_plots:
        draw(report, options.root / "peers")
        for megapixels in options.size:
            for name in options.scenes.split(","):
                stack = stack_of(SCENES[name], megapixels, options.root / "scenes")
                picture = looks.sheet(stack, looks.kept_results(options.root, stack))
                cv2.imwrite(str(report / f"looks_{name}_{megapixels:g}mp.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
    print(markdown(done))


if __name__ == "__main__":
    main()
