"""A whole rig in miniature: small pictures, fast motors, nothing shakes. And focusrail as a user runs it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy.typing as npt
import tifffile
import yaml

from focusrail.cli import main
from focusrail.config.schema import Config
from focusrail.model.recipe import Recipe

FRAMES = 8
TOO_SHALLOW = "the stack is too shallow"
CAMERA: dict[str, Any] = {"width_px": 324, "height_px": 216, "transfer_s": 0.0, "exposure_s": 0.001}
RAIL: dict[str, Any] = {
    "max_speed_mm_s": 2000,
    "acceleration_mm_s2": 100_000,
    "axial_vibration_um": 0,
    "lateral_vibration_um": 0,
}


def settings(
    *,
    rail: Mapping[str, Any] | None = None,
    camera: Mapping[str, Any] | None = None,
    camera_driver: str = "simulated",
    travel_mm: Mapping[str, float] | None = None,
    um_per_px: float | None = None,
    may_home: bool = True,
    **sections: Any,
) -> dict[str, Any]:
    """What a configuration file says of a small rig; `rail` and `camera` are the drivers' own options."""
    given: dict[str, Any] = {
        "rail": {"settle_s": 0, "options": {**RAIL, **(rail or {})}},
        "camera": {
            "driver": camera_driver,
            "options": {**CAMERA, **(camera or {})} if camera_driver == "simulated" else dict(camera or {}),
        },
        "stacking": {"threads": 2},
    }
    if not may_home:
        given["rail"]["home"] = "never"
    if travel_mm is not None:
        given["rail"]["travel_mm"] = dict(travel_mm)
    if um_per_px is not None:
        given["camera"]["um_per_px"] = um_per_px
    for name, section in sections.items():
        given[name] = {**given.get(name, {}), **section}
    return given


def small_rig(root: Path, **given: Any) -> Config:
    """The configuration of a small rig that keeps everything in `root`."""
    wanted = settings(**given)
    wanted["store"] = {"root": str(root), **wanted.get("store", {})}
    return Config.model_validate(wanted)


def recipe(**given: Any) -> Recipe:
    """The whole scene in a few frames."""
    return Recipe(**{"name": "beetle", "from_mm": 10.0, "to_mm": 14.0, "frames": FRAMES, **given})


def pixels(folder: Path) -> npt.NDArray[Any]:
    """The result's pixels."""
    return tifffile.imread(folder / "result.tif")


def manifest(folder: Path) -> dict[str, Any]:
    """What shoot.json says."""
    page: dict[str, Any] = json.loads((folder / "shoot.json").read_text(encoding="utf-8"))
    return page


def published(outbound: Path) -> list[Path]:
    """What a watcher of the outbound folder takes up: everything whose name has no dot in front."""
    return sorted(p for p in outbound.iterdir() if not p.name.startswith(".")) if outbound.is_dir() else []


def photograph(path: Path) -> npt.NDArray[Any]:
    """A picture as it is."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return image


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    sentences: list[str]  # on standard error, for people
    events: list[dict[str, Any]]  # on standard error, for programs

    @property
    def faults(self) -> list[str]:
        """The sentences but for the one that is always true of the small rig's stack: it ends before the background."""
        return [sentence for sentence in self.sentences if TOO_SHALLOW not in sentence]

    def event(self, name: str) -> list[dict[str, Any]]:
        """All events of one name."""
        return [event for event in self.events if event["event"] == name]


class Home:
    """A folder with a configuration, a recipe and a data folder, and commands run in it."""

    def __init__(self, folder: Path, **given: Any) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.config = folder / "focusrail.yaml"
        self.config.write_text(yaml.safe_dump(settings(**given)), encoding="utf-8")

    def recipe(self, text: str = "", **given: Any) -> Path:
        """A recipe file: this text, or these keys on top of a small one."""
        path = self.folder / "recipe.yaml"
        keys = {"name": "beetle", "from_mm": 10.0, "to_mm": 14.0, "frames": FRAMES, **given}
        path.write_text(text or yaml.safe_dump(keys), encoding="utf-8")
        return path

    @property
    def outbound(self) -> Path:
        """Where results appear."""
        return self.data / "outbound"

    def command(self, *arguments: object) -> list[str]:
        """The command line."""
        front = [sys.executable, "-m", "focusrail", "--config", str(self.config), "--data", str(self.data)]
        return front + [str(argument) for argument in arguments]

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command; its output is piped."""
        return subprocess.Popen(
            self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder, **options
        )

    def run(self, *arguments: object, humbly: bool = False) -> Said:
        """Run a command to its end; humbly: permissions hold for it, too, when root runs the tests."""
        command = self.command(*arguments)
        if humbly and os.geteuid() == 0:
            command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, timeout=60, check=False)
        return said(done.returncode, done.stdout, done.stderr)

    def run_here(self, *arguments: object) -> Said:
        """Run a command in this process, which saves the time of starting one."""
        out, error = io.StringIO(), io.StringIO()
        before = sys.argv, signal.getsignal(signal.SIGTERM)
        sys.argv = ["focusrail", *self.command(*arguments)[3:]]
        try:
            with redirect_stdout(out), redirect_stderr(error):
                main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        finally:
            sys.argv = before[0]
            signal.signal(signal.SIGTERM, before[1])
        return said(code, out.getvalue().encode(), error.getvalue().encode())


def said(code: int, out: bytes, error: bytes) -> Said:
    """What a process wrote, taken apart."""
    lines = error.decode("utf-8").splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    return Said(code, out.decode("utf-8"), [line for line in lines if not line.startswith("{")], events)
