"""Shoots that are killed, again and again, at moments that a seed chooses, until one comes to its end.

A round is one shoot, by the command line or by the service. Its processes get SIGKILL: while they start, shoot, stack,
publish and resume, or the moment that the result becomes visible; and at times the stacking process alone, with the
rest of them alive. What must be true after each of them is checked after each of them.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from focusrail.model.shoot import Shoot, State
from focusrail.store.journal import Journal
from peers.at_once import AtOnce
from peers.small_rig import Home, manifest, photograph, published

FRAMES = 8
CAMERA = {"width_px": 276, "height_px": 184}
LONGEST_S = 90.0
_POLL_S = 0.002
_ENDED_EARLY = (-signal.SIGTERM, 130)  # SIGTERM came before the service had begun
_EARLY_S = 0.15
_MOST_KILLS = 9  # of one shoot, without those of the stacking process alone
_OF_ITS_RUN = {"report.html", "shoot.json"}  # they tell the time
_WITH_FACTS = {"result.jpg", "result.tif", "depth.tif"}  # pixels, and what tells of this shoot
_FACTS_OF_ITS_RUN = ("exposed_at", "took_s")


class Unkept(AssertionError):
    """A promise was not kept."""


@dataclass
class Tally:
    """What was killed, and when."""

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)  # by what was killed, and its state by the journal
    frames_checked: int = 0
    results_checked: int = 0

    @property
    def total(self) -> int:
        return sum(self.kills.values())

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.rounds + other.rounds,
            self.kills + other.kills,
            self.frames_checked + other.frames_checked,
            self.results_checked + other.results_checked,
        )

    def __str__(self) -> str:
        states = ", ".join(f"{count} {what}" for what, count in sorted(self.kills.items()))
        return (
            f"{self.total} kills in {self.rounds} shoots ({states}); {self.frames_checked} times a frame and "
            f"{self.results_checked} times a result was checked"
        )


def fingerprint(folder: Path) -> dict[str, Any]:
    """All of a result that must not depend on what happened on the way."""
    page = manifest(folder)
    names = set(page["files"]) - _OF_ITS_RUN
    told: dict[str, Any] = {name: page["files"][name]["sha256"] for name in names - _WITH_FACTS}
    for name in names & _WITH_FACTS:
        image = tifffile.imread(folder / name) if name.endswith(".tif") else photograph(folder / name)
        told[name] = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
    told["frames"] = [
        {key: value for key, value in frame.items() if key not in _FACTS_OF_ITS_RUN} for frame in page["frames"]
    ]
    return told


def _differences(whole: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        key: (whole.get(key), told.get(key)) for key in {*whole, *told} if whole.get(key) != told.get(key)
    }
    if "frames" in found:
        found["frames"] = [
            (n, key, one.get(key), other.get(key))
            for n, (one, other) in enumerate(zip(whole["frames"], told["frames"], strict=False))
            for key in {*one, *other}
            if one.get(key) != other.get(key)
        ]
    return found


def check_results(home: Home) -> int:
    """Whatever is visible in the outbound folder is whole; how many there are."""
    found = published(home.outbound)
    for folder in found:
        page = manifest(folder)
        there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"shoot.json"}
        if there != set(page["files"]):
            raise Unkept(f"{folder}: {sorted(there ^ set(page['files']))} are there or in the manifest, not both")
        for name, facts in page["files"].items():
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != facts["sha256"]:
                raise Unkept(f"{folder / name} is torn")
    return len(found)


class Lane:
    """Rounds, one after the other. Whatever one leaves behind, the next must be able to live with."""

    _fastest_s = LONGEST_S  # that a shoot has taken which nobody killed

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.home = Home(folder, camera=CAMERA, service={"listen": "127.0.0.1:0"})
        self._start = AtOnce(self.home)
        self.tally = Tally()
        self._log = folder / "log"
        self._pid = 0
        self._began_s = 0.0
        self._took_s = 0.0
        self._to_make = FRAMES
        self._seen = 0  # bytes of the log of this process that were read
        self._events: list[Mapping[str, Any]] = []
        self._whole = self._undisturbed()

    def close(self) -> None:
        """End what is left."""
        if self._pid:
            self._kill("at the end", count=False)
        self._start.close()
        shutil.rmtree(self.home.folder)

    def _undisturbed(self) -> dict[str, Any]:
        """A shoot that nobody kills, and how long it takes."""
        self.home.recipe(frames=FRAMES)
        self._launch("shoot", "recipe.yaml")
        if self._end() != 0:
            raise Unkept(f"the undisturbed shoot failed: {self._tail()}")
        # When the machine was busy just then, moments by the clock would all be too late.
        Lane._fastest_s = self._took_s = min(Lane._fastest_s, time.monotonic() - self._began_s)
        (folder,) = published(self.home.outbound)
        return fingerprint(folder)

    # --- one round ----------------------------------------------------------------------------------------------------

    def round(self, seed: int) -> None:
        """One shoot, killed until it has come to its end. Raises Unkept."""
        chance = random.Random(seed)
        way = chance.choice(["shoot", "serve"])
        self.tally.rounds += 1
        try:
            (self._by_command if way == "shoot" else self._by_service)(f"round-{seed}", chance)
        except Unkept as error:
            raise Unkept(f"seed {seed}, by `focusrail {way}`: {error}\n{self._tail()}") from error

    def _by_command(self, name: str, chance: random.Random) -> None:
        path = self.home.folder / f"{name}.yaml"
        shutil.copy(self.home.recipe(name=name, frames=FRAMES), path)
        for left in reversed(range(chance.randint(1, _MOST_KILLS) + 1)):
            shoot = self._known(name)
            if shoot is not None and shoot.state is State.PUBLISHED:
                break
            self._launch(*(("shoot", path) if shoot is None else ("resume", shoot.shoot_id)), name=name)
            if left:
                self._disturb(name, chance, self._due_s(chance))
            elif (code := self._end()) != 0:
                raise Unkept(f"it ended with code {code}")
            else:
                self._check_made()
        path.unlink()
        self._check_end(name)

    def _by_service(self, name: str, chance: random.Random) -> None:
        begun = ""
        for left in reversed(range(chance.randint(1, _MOST_KILLS) + 1)):
            shoot = self._known(name)
            is_published = shoot is not None and shoot.state is State.PUBLISHED
            self._launch("serve", name=name)
            due_s = self._due_s(chance) if left else self._began_s + LONGEST_S
            if self._until(lambda: bool(self._told("service.started")), due_s) and not begun:
                begun = self._ask_for(name, due_s)
            if left and not is_published:
                self._disturb(name, chance, due_s)
                continue
            if not is_published and not self._until(lambda: bool(self._told("shoot.published")), due_s):
                raise Unkept(f"shoot {begun} was not gone on with")
            if is_published and self._told("shoot.resumed"):
                raise Unkept("what was published is gone on with")
            os.kill(self._pid, signal.SIGTERM)
            code = self._end()
            if code != 0 and not (code in _ENDED_EARLY and not self._told("rig.opened")):
                raise Unkept(f"the service ended with code {code}")
            self._check_made()
            break
        self._check_end(name)

    def _ask_for(self, name: str, due_s: float) -> str:
        """Ask the service for the shoot, and once more if it was killed before it answered; return the shoot's ID."""
        wish = {"recipe": {"name": name, "from_mm": 10.0, "to_mm": 14.0, "frames": FRAMES}}
        with closing(_Local(self.home.data / "focusrail.sock")) as service:
            service.request(
                "POST", "/api/shoots", json.dumps(wish), {"Content-Type": "application/json", "Idempotency-Key": name}
            )
            assert service.sock is not None
            service.sock.settimeout(max(0.01, due_s - time.monotonic()))
            try:
                answer = service.getresponse()
                told = json.loads(answer.read())
            except TimeoutError:  # killed meanwhile, as it was to be
                return ""
        if answer.status != 202:
            raise Unkept(f"it was refused: {told}")
        return str(told["shoot_id"])

    # --- killing ------------------------------------------------------------------------------------------------------

    def _due_s(self, chance: random.Random) -> float:
        """When the process is to be killed, by the clock alone."""
        longest_s = _EARLY_S if chance.random() < 0.1 else 0.7 * self._took_s
        return self._began_s + chance.uniform(0.0, longest_s)

    def _disturb(self, name: str, chance: random.Random, due_s: float) -> None:
        """Kill what was launched: by the clock, or with an eye on what it does."""
        eye, patience_s = chance.random(), self._began_s + 4 * self._took_s
        if eye < 0.15:  # the stacking process alone first, once or twice; the rest of them later
            for _ in range(chance.randint(1, 2)):
                self._kill_worker(chance.uniform(0.0, 0.5 * self._took_s), patience_s)
            due_s = time.monotonic() + chance.uniform(0.0, 0.3 * self._took_s)
        elif eye < 0.3:  # while it publishes
            self._until(lambda: len(self._told("frame.stored")) >= self._to_make, patience_s)
            due_s = time.monotonic() + chance.uniform(0.0, 0.2 * self._took_s)
        elif eye < 0.4:  # the moment that the result is visible
            before = len(published(self.home.outbound))
            self._until(lambda: len(published(self.home.outbound)) > before, patience_s, 0.0)
            due_s = time.monotonic() + chance.choice([0.0, 0.001, 0.003])
        elif eye < 0.7:  # between two frames, or before the first
            frames = chance.randrange(max(1, self._to_make))
            self._until(lambda: len(self._told("frame.stored")) >= frames and self._is_at_work(), patience_s)
            due_s = time.monotonic() + chance.uniform(0.0, 0.05 * self._took_s)
        self._until(lambda: False, due_s)
        self._kill(name)
        self._check(name)

    def _kill(self, name: str, *, count: bool = True) -> None:
        gone = self._start.ended(self._pid, within_s=0.0) is not None
        if not gone:
            os.kill(self._pid, signal.SIGKILL)
            self._start.ended(self._pid, within_s=LONGEST_S)
        self._pid = 0
        if count and not gone:
            shoot = self._known(name)
            self.tally.kills["before it was journalled" if shoot is None else f"while {shoot.state.value}"] += 1

    def _kill_worker(self, after_s: float, due_s: float) -> None:
        """Kill the stacking process that was started last, so long after it was seen."""
        if not self._until(lambda: len(self._told("worker.started")) > len(self._told("worker.died")), due_s):
            return
        pid = int(self._told("worker.started")[-1]["pid"])
        self._until(lambda: False, time.monotonic() + after_s)
        # It may have ended by itself, and then its number is nobody's yet: numbers are not given again so soon.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.tally.kills["of the stacking process"] += 1

    # --- what must be true --------------------------------------------------------------------------------------------

    def _check(self, name: str) -> None:
        """No frame that is counted is lost, and nothing that is visible is torn."""
        shoot = self._known(name)
        if shoot is not None:
            with closing(Journal(self.home.data / "journal.sqlite")) as journal:
                records = journal.frames(shoot.shoot_id)
            for record in records:
                for original in record.originals:
                    data = Path(original.path).read_bytes()
                    if hashlib.sha256(data).hexdigest() != original.sha256:
                        raise Unkept(f"{original.path} is not what was counted")
            self.tally.frames_checked += len(records)
        self.tally.results_checked += check_results(self.home)

    def _check_made(self) -> None:
        """What was stored before is not shot again."""
        made = self._told("frame.stored")
        if len(made) != self._to_make:
            raise Unkept(f"{self._to_make} frames were missing, and {len(made)} were made")

    def _check_end(self, name: str) -> None:
        self._check(name)
        shoot = self._known(name)
        if shoot is None or shoot.state is not State.PUBLISHED:
            raise Unkept(f"it is not published: {shoot}")
        with closing(Journal(self.home.data / "journal.sqlite")) as journal:
            if [one.name for one in journal.shoots()].count(name) != 1:
                raise Unkept("it was begun twice")
            if len(journal.frames(shoot.shoot_id)) != FRAMES:
                raise Unkept("frames are missing, or too many")
            versions = journal.publications(shoot.shoot_id)
        visible = [folder for folder in published(self.home.outbound) if shoot.shoot_id in folder.name]
        if not {folder for _, folder in versions} <= set(visible):
            raise Unkept(f"journalled as published, and not there: {versions}")
        if len(visible) != 1:
            raise Unkept(f"it is published {len(visible)} times: {visible}")
        for folder in visible:
            told = fingerprint(folder)
            if told != self._whole:
                raise Unkept(f"{folder} differs from an undisturbed shoot in {_differences(self._whole, told)}")
        left = list(self.home.outbound.glob(f".*{shoot.shoot_id}*"))
        if left:
            raise Unkept(f"left behind: {left}")
        for folder in visible:
            shutil.rmtree(folder)
        shutil.rmtree(self.home.data / "spool" / shoot.shoot_id)

    # --- what is going on ---------------------------------------------------------------------------------------------

    def _launch(self, *arguments: object, name: str = "") -> None:
        self._to_make = self._missing(name)
        self._log.unlink(missing_ok=True)
        self._seen, self._events = 0, []
        self._began_s = time.monotonic()
        self._pid = self._start.start(*arguments, log=self._log)

    def _end(self) -> int:
        """Wait for what was launched."""
        code = self._start.ended(self._pid, within_s=LONGEST_S)
        if code is None:
            raise Unkept(f"it goes on after {LONGEST_S:g} s")
        self._pid = 0
        return code

    def _is_at_work(self) -> bool:
        return bool(self._told("worker.started"))

    def _until(self, holds: Callable[[], bool], due_s: float, poll_s: float = _POLL_S) -> bool:
        """Wait until something holds, or a moment; say whether it does. What ends by itself holds nothing any more."""
        while not holds():
            left_s = due_s - time.monotonic()
            if left_s <= 0 or (self._has_ended() and not holds()):
                return False
            time.sleep(min(poll_s, left_s))
        return True

    def _has_ended(self) -> bool:
        try:
            state = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        return state == "Z"

    def _told(self, event: str) -> list[Mapping[str, Any]]:
        """What the process has logged by one name."""
        with suppress(FileNotFoundError), self._log.open("rb") as log:
            log.seek(self._seen)
            *lines, _ = log.read().split(b"\n")
            self._seen += sum(len(line) + 1 for line in lines)
            self._events += [json.loads(line) for line in lines if line.startswith(b"{")]
        return [one for one in self._events if one["event"] == event]

    def _known(self, name: str) -> Shoot | None:
        path = self.home.data / "journal.sqlite"
        if not path.exists():
            return None
        with closing(Journal(path)) as journal:
            return next((shoot for shoot in journal.shoots() if shoot.name == name), None)

    def _missing(self, name: str) -> int:
        """Frames that are still to be made."""
        shoot = self._known(name)
        if shoot is None:
            return FRAMES
        with closing(Journal(self.home.data / "journal.sqlite")) as journal:
            return FRAMES - journal.frame_count(shoot.shoot_id)

    def _tail(self) -> str:
        return self._log.read_text()[-2500:] if self._log.exists() else "no log"


class _Local(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("rig")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))
