"""A fresh Debian under a systemd of its own, in a container (systemd-nspawn), and commands in it. For root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

_PACKAGES = "systemd-sysv,dbus,udev,ca-certificates,curl"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")  # of this machine: whoever is between it and PyPI is known there


class Machine:
    """One, in a folder of its own."""

    def __init__(self, folder: Path, template: Path, *, suite: str, mirror: str) -> None:
        """Made from a `template`, which debootstrap makes where it is missing."""
        self.folder = folder
        if not (template / "sbin/init").exists():
            command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", suite, str(template), mirror]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cp", "-a", "--reflink=auto", str(template), str(folder)], check=True)
        (folder / "etc/hostname").write_text("rig\n")
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def boot(self) -> float:
        """Switch it on; return how long it takes until all is started that is started by itself (s)."""
        began_s = time.monotonic()
        trusted = [f"--bind-ro={_TRUSTED}"] if _TRUSTED.exists() else []
        self._nspawn = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--boot", f"--directory={self.folder}", "--register=no", "--keep-unit",
             "--console=pipe", "--resolv-conf=copy-host", *trusted],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        until(lambda: _systemds(children), what="the container's first process")
        (self._leader,) = _systemds(children)
        until(lambda: self.said("systemctl is-system-running").strip() in {"running", "degraded"}, what="systemd")
        return time.monotonic() - began_s

    def kill(self) -> None:
        """Everything in it ends at this moment; what is written to its disk stays, also what is still in a cache."""
        assert self._nspawn is not None
        os.kill(self._leader, signal.SIGKILL)  # whose end is that of all others, and of its namespace
        self._nspawn.wait(30)

    def remove(self) -> None:
        """Be rid of it."""
        if self._nspawn is not None and self._nspawn.poll() is None:
            self.kill()
        shutil.rmtree(self.folder)

    def command(self, command: str, *, user: str = "root") -> list[str]:
        """A shell's command line in it, as that user."""
        keep = [
            f"{name}={value}" for name, value in os.environ.items() if name.startswith("PIP_INDEX") or "_proxy" in name
        ]
        trusted = [f"PIP_CERT={_TRUSTED}"] if _TRUSTED.exists() else []
        inside = ["nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc", "--pid", "--root", "--wd=/root"]
        shell = ["sh", "-c", command] if user == "root" else ["su", "-", user, "-c", command]
        home = "HOME=/root" if user == "root" else f"HOME=/home/{user}"
        return [*inside, "env", "-i", f"PATH={_PATH}", "LANG=C.UTF-8", home, *keep, *trusted, *shell]

    def run(self, command: str, *, user: str = "root") -> str:
        """Do it; what is said. Raises CalledProcessError, having shown what was said."""
        done = subprocess.run(
            self.command(command, user=user), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            print(done.stdout[-3000:], done.stderr[-3000:], sep="\n")
            done.check_returncode()
        return done.stdout

    def said(self, command: str) -> str:
        """What is said, however it ends."""
        done = subprocess.run(
            self.command(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        return done.stdout

    def shown(self, name: str, unit: str = "focusrail") -> str:
        """A property of a unit."""
        return self.said(f"systemctl show --value --property={name} {unit}").strip()


def _systemds(pids: Path) -> list[int]:
    """Those of some processes that have become a systemd."""
    return [int(pid) for pid in pids.read_text().split() if Path(f"/proc/{pid}/comm").read_text() == "systemd\n"]


def until(true: Callable[[], object], *, what: str, within_s: float = 90.0) -> float:
    """Wait for something; return how long it took (s)."""
    began_s = time.monotonic()
    while not true():
        if time.monotonic() - began_s > within_s:
            raise TimeoutError(f"{what}: not within {within_s:g} s")
        time.sleep(0.1)
    return time.monotonic() - began_s
