"""What systemd says of a unit of ours: in order, and shut in."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


class Unit:
    """A unit file of the repository."""

    def __init__(self, name: str) -> None:
        self.path = UNITS / name

    def setting(self, name: str) -> str:
        """The value of a key that stands in it once."""
        (value,) = re.findall(rf"^{name}=(.*)$", self.path.read_text(encoding="utf-8"), re.MULTILINE)
        return str(value)

    def verify(self, folder: Path) -> None:
        """Fail if systemd finds something wrong with it; `folder` is for a copy whose program is there."""
        there = folder / self.path.name
        command = self.setting("ExecStart").split()[0]  # which is where it is installed only
        text = self.path.read_text(encoding="utf-8")
        there.write_text(text.replace(f"ExecStart={command}", "ExecStart=/bin/true"))
        told = subprocess.run(["systemd-analyze", "verify", there], check=False, capture_output=True, text=True)
        about_it = [line for line in told.stderr.splitlines() if "focusrail" in line]
        assert (told.returncode, about_it) == (0, []), told.stderr

    def exposure(self) -> float:
        """How exposed systemd takes it to be, from 0 to 10; skips where this systemd cannot tell."""
        command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(self.path)]
        told = subprocess.run(command, check=False, capture_output=True, text=True)
        if "offline" in told.stderr:
            pytest.skip("this systemd-analyze judges only what is loaded")
        (exposure,) = re.findall(r"exposure level.*: ([\d.]+)", told.stdout)
        return float(exposure)
