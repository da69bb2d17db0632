"""Tries what docs/install.md says, as a new user would, on a fresh Debian under a real systemd: `make try-install`.

Installs, opens the page, shoots; kills the service, lets a device hang, kills the whole machine and upgrades, each in
the middle of a shoot, which must end like one that nothing happened to; removes it again. Prints what it measures.
Needs root, debootstrap and systemd-container; some minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from system.machine import Machine, until

_REPOSITORY = Path(__file__).parents[2]
_SOURCE = "/srv/focusrail"
_ETC = "/etc/focusrail/focusrail.yaml"
_RECIPE = "name: beetle\nfrom_mm: 10\nto_mm: 14\nframes: 24\nsettle_s: 0.4\n"  # nothing shakes any more
_USER = "anna"
_READY_S, _IDLE_PERCENT, _IDLE_MB, _EXPOSURE = 3.0, 1.0, 150.0, 1.5


def main() -> None:
    """All of it."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--suite", default="bookworm")
    options.add_argument("--mirror", default="http://deb.debian.org/debian")
    options.add_argument(
        "--template", type=Path, help="a Debian root to begin from; made where it is missing, and kept"
    )
    options.add_argument("--idle-s", type=float, default=60.0)
    given = options.parse_args()
    work = Path(mkdtemp(prefix="focusrail-try-", dir="/var/tmp"))
    template = given.template or work / "template"
    machine = Machine(work / "rig", template, suite=given.suite, mirror=given.mirror)
    try:
        Trial(machine, given.idle_s).run()
    except Exception:
        print(machine.said("journalctl --unit=focusrail --no-pager --output=cat | tail -n 30"))
        raise
    finally:
        machine.remove()
        if given.template is None:
            subprocess.run(["rm", "-rf", str(template)], check=True)
        work.rmdir()


class Trial:
    """One, step by step."""

    def __init__(self, machine: Machine, idle_s: float) -> None:
        self.machine, self.idle_s = machine, idle_s
        self.published: list[str] = []  # folders
        self.misses: list[str] = []

    def run(self) -> None:
        """In order."""
        clone = ["git", "clone", "--quiet", "--no-local", str(_REPOSITORY), f"{self.machine.folder}{_SOURCE}"]
        subprocess.run(clone, check=True)
        said("booted", f"{self.machine.boot():.1f} s")
        self.install()
        self.figures()
        self.page()
        self.shoot()
        self.in_the_middle("kill -9", self.kill)
        self.in_the_middle("kill of the whole machine", self.kill_all)
        self.in_the_middle("upgrade", self.upgrade)
        self.hang()
        self.absent()
        self.wrong()
        self.slow()
        self.uninstall()
        if self.misses:
            sys.exit("missed: " + "; ".join(self.misses))

    def install(self) -> None:
        began_s = time.monotonic()
        self.machine.run("apt-get update && apt-get install --yes --no-install-recommends git make python3")
        said("packages", f"{time.monotonic() - began_s:.0f} s")
        began_s = time.monotonic()
        self.make("install")
        said("make install", f"{time.monotonic() - began_s:.0f} s")
        began_s = time.monotonic()
        self.machine.run(f"cd {_SOURCE} && make install")
        said("make install again", f"{time.monotonic() - began_s:.1f} s")
        said("installed", self.machine.run("du -sh /opt/focusrail").split()[0])
        self.machine.run(f"useradd --create-home --groups focusrail {_USER}")
        self.machine.run("focusrail doctor", user=_USER)
        said("good", "doctor finds nothing wrong")
        self.expect("the service is active", self.machine.shown("ActiveState") == "active")
        said("status", self.machine.shown("StatusText"))

    def make(self, target: str) -> None:
        """In the repository; shows what the installer says, and not what apt does."""
        told = self.machine.run(f"cd {_SOURCE} && make {target}")
        print(*(f"    {line}" for line in told.splitlines() if line.startswith("focusrail: ")), sep="\n")

    def figures(self) -> None:
        for name in ("focusrail", "focusrail-fpga"):
            units = f"/usr/local/lib/systemd/system/{name}.service"
            told = self.machine.said(f"systemd-analyze verify {units} 2>&1").strip()
            self.expect(f"systemd-analyze verify {name}: {told or 'clean'}", not told)
            analysis = self.machine.said(f"systemd-analyze security --offline=yes --no-pager {units}").splitlines()[-1]
            self.expect(
                analysis.strip("→ \N{SLIGHTLY SMILING FACE}"), float(analysis.split(":")[1].split()[0]) <= _EXPOSURE
            )
        ready = []
        for _ in range(5):
            self.machine.run("systemctl restart focusrail")
            began, is_ready = (
                int(self.machine.shown(f"{name}TimestampMonotonic")) for name in ("ExecMainStart", "ActiveEnter")
            )
            ready.append((is_ready - began) / 1e6)
        self.expect(f"start to ready: {' '.join(f'{s:.2f}' for s in ready)} s", max(ready) < _READY_S)
        pid = self.machine.shown("MainPID")
        time.sleep(10)  # what begins with it has ended
        ticks = self._ticks(pid)
        time.sleep(self.idle_s)
        percent = (self._ticks(pid) - ticks) / int(self.machine.run("getconf CLK_TCK")) / self.idle_s * 100
        self.expect(f"idle: {percent:.2f} % of a core over {self.idle_s:g} s", percent < _IDLE_PERCENT)
        self._memory("idle")

    def _memory(self, when: str) -> None:
        memory = self.machine.run(f"cat /proc/{self.machine.shown('MainPID')}/smaps_rollup")
        rss_mb, pss_mb = (int(memory.partition(f"\n{kind}:")[2].split()[0]) / 1024 for kind in ("Rss", "Pss"))
        told = f"{when}: RSS {rss_mb:.0f} MB, PSS {pss_mb:.0f} MB"
        if when == "idle":
            self.expect(told, rss_mb < _IDLE_MB)
        else:  # the simulated camera keeps its scene
            said("memory", told)

    def page(self) -> None:
        page = self._page()
        self.expect("the page is there", "<title>" in page and "Capture" in page)
        log = self.machine.said("udevadm test /sys/class/net/lo 2>&1")
        rules = [line for line in log.splitlines() if "99-focusrail" in line]
        self.expect(f"udev has read its rules: {rules}", len(rules) == 1 and rules[0].startswith("Reading rules file"))

    def _page(self) -> str:
        address = json.loads(self.machine.run("focusrail token --json"))["addresses"][0]
        return self.machine.run(f"curl --silent --show-error --location --cookie-jar /srv/jar '{address}'")

    def shoot(self) -> None:
        (self.machine.folder / "srv/beetle.yaml").write_text(_RECIPE)
        began_s = time.monotonic()
        print(self.machine.run("focusrail shoot /srv/beetle.yaml", user=_USER))
        said("a shoot of 24 frames", f"{time.monotonic() - began_s:.0f} s")
        self._found()
        self._memory("idle after a shoot")
        result = f"{self.published[0]}/result.jpg"
        self.expect("its user may read it", "JFIF" in self.machine.run(f"head -c 10 {result} | tail -c 4", user=_USER))

    def in_the_middle(self, name: str, happens: Callable[[], None]) -> None:
        """Whatever happens, the shoot goes on and comes to the same."""
        shooting = self._shooting()
        until(lambda: self._stored() >= 8, what="8 frames")
        happens()
        shooting.wait(60)
        self._goes_on(name)

    def _shooting(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.machine.command("focusrail shoot /srv/beetle.yaml", user=_USER),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _goes_on(self, name: str) -> None:
        until(lambda: len(self._folders()) > len(self.published), what=f"the result after a {name}")
        until(lambda: self.machine.shown("StatusText").startswith("idle"), what="the end")
        self._found()
        compare = "import sys, tifffile; a, b = map(tifffile.imread, sys.argv[1:]); print((a == b).all())"
        results = f"{self.published[0]}/result.tif {self.published[-1]}/result.tif"
        same = self.machine.run(f"/opt/focusrail/current/bin/python -c '{compare}' {results}").strip()
        self.expect(
            f"{name} in the middle of a shoot: it is gone on with, and comes to the same pixels", same == "True"
        )

    def kill(self) -> None:
        restarts = int(self.machine.shown("NRestarts"))
        self.machine.run("systemctl kill --kill-whom=main --signal=KILL focusrail")
        took_s = until(lambda: int(self.machine.shown("NRestarts")) > restarts and self._active(), what="a restart")
        said("from kill -9 to ready again", f"{took_s:.1f} s")

    def kill_all(self) -> None:
        self.machine.kill()
        said("booted again", f"{self.machine.boot():.1f} s")

    def upgrade(self) -> None:
        self.machine.run(f"echo '# another version' >> {_SOURCE}/daemon/focusrail/__init__.py")
        self.machine.run(f"echo '# mine' >> {_ETC} && echo '# news' >> {_SOURCE}/config/focusrail.yaml")
        self.make("install")
        self.expect("an edited configuration stays", self.machine.run(f"tail -n 1 {_ETC}") == "# mine\n")
        self.expect("what is new is beside it", self.machine.run(f"tail -n 1 {_ETC}.new") == "# news\n")

    def hang(self) -> None:
        """A rail whose driver never returns."""
        with self.configured("rail: {options: {stuck_at_move: 5}}", "WatchdogSec=6"):
            restarts = int(self.machine.shown("NRestarts"))
            shooting = self._shooting()
            until(lambda: int(self.machine.shown("NRestarts")) > restarts, what="the watchdog")
            shooting.wait(60)
            journal = self.machine.said("journalctl --unit=focusrail --no-pager --output=cat")
            told = all(word in journal for word in ("Watchdog timeout", '"thread": "operator"', "simulated.py"))
            self.expect("a hung rail: the watchdog ends the service, which says where it hung", told)
        self._goes_on("hung rail")

    def absent(self) -> None:
        """A camera that is switched off, and is asked for by a library within the sandbox."""
        with self.configured("camera: {driver: gphoto2}", "TimeoutStartSec=8"):
            until(lambda: self.machine.shown("StatusText").startswith("waiting for the rig"), what="its waiting")
            time.sleep(15)
            self.expect(
                f"no camera: {self.machine.shown('ActiveState')}, {self.machine.shown('StatusText')}",
                self.machine.shown("ActiveState") == "activating" and self.machine.shown("NRestarts") == "0",
            )
            self.expect("the page is there all the same", "<title>" in self._page())
        until(self._active, what="the rig")

    def wrong(self) -> None:
        """A configuration that cannot be."""
        with self.configured("rail: {driver: no_such}", ""):
            until(lambda: self.machine.shown("ActiveState") == "failed", what="a wrong configuration")
            status = self.machine.shown("ExecMainStatus")
            self.expect(f"a wrong configuration: exit {status}, and no restart", status == "78")
        until(self._active, what="the rig")

    def slow(self) -> None:
        """An exposure that takes longer than systemd wants to wait."""
        with self.configured("camera: {settings: {exposure_s: 12}}", "TimeoutStopSec=3"):
            until(self._active, what="its start")
            shooting = self._shooting()
            until(lambda: self._stored() == 1, what="the first frame")
            began_s = time.monotonic()
            self.machine.run("systemctl stop focusrail")
            took_s = time.monotonic() - began_s
            shooting.wait(60)
            ended = [self.machine.shown(name) for name in ("Result", "ExecMainStatus")]
            self.expect(f"an exposure of 12 s is finished, TimeoutStopSec=3: {took_s:.1f} s, {ended}",
                        took_s > 5 and ended == ["success", "0"])  # fmt: skip
        until(lambda: self._stored() >= 2, what="its going on")
        self.machine.run("focusrail abort")

    @contextmanager
    def configured(self, rig: str, unit: str) -> Iterator[None]:
        """Another rig for a while, and another line in the unit."""
        places = "store: {root: /var/lib/focusrail}\\nservice: {socket: /run/focusrail/socket}"
        drop_in = "/run/systemd/system/focusrail.service.d"
        restart = "systemctl daemon-reload; systemctl reset-failed focusrail; systemctl restart --no-block focusrail"
        self.machine.run("systemctl stop focusrail")
        self.machine.run(f"cp {_ETC} /srv/kept && printf '{rig}\\n{places}\\n' > {_ETC}")
        self.machine.run(f"mkdir -p {drop_in} && printf '[Service]\\n{unit}\\n' > {drop_in}/try.conf; {restart}")
        if "stuck" in rig:
            until(self._active, what="its start")
        yield
        self.machine.run(f"cp /srv/kept {_ETC} && rm -r {drop_in}; {restart}")

    def uninstall(self) -> None:
        self.make("uninstall")
        gone = self.machine.said(
            "ls -d /opt/focusrail /usr/local/bin/focusrail; systemctl cat focusrail; pgrep focusrail"
        )
        self.expect("the program and its units are gone", not gone.strip())
        self.expect(
            "the edited configuration and all results are left", self.machine.run(f"tail -n 1 {_ETC}") == "# mine\n"
        )
        self.expect("as many results as before", len(self._folders()) == len(self.published))

    def expect(self, what: str, holds: bool) -> None:
        """Say it, and remember what does not hold."""
        said("good" if holds else "MISSED", what)
        if not holds:
            self.misses.append(what)

    def _active(self) -> bool:
        return self.machine.shown("ActiveState") == "active"

    def _stored(self) -> int:
        told: dict[str, Any] = json.loads(self.machine.run("focusrail status --json"))
        return 0 if told["progress"] is None else int(told["progress"]["stored"])

    def _folders(self) -> list[str]:
        return self.machine.said("ls -d /var/lib/focusrail/outbound/*").split()

    def _found(self) -> None:
        (new,) = set(self._folders()) - set(self.published)
        self.published.append(new)
        said("published", new)

    def _ticks(self, pid: str) -> int:
        """User's and system's."""
        fields = self.machine.run(f"cat /proc/{pid}/stat").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])


def said(what: str, how: str) -> None:
    """One line for whoever reads it."""
    print(f"{what:<10} {how}", flush=True)


if __name__ == "__main__":
    main()
