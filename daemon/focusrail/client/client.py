"""What a person asks the service for. Its methods are those of cli.in_process.InProcess, for which it stands."""

from __future__ import annotations

import io
import re
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter

from focusrail.capture.events import Published
from focusrail.client.following import CatchUp, Following
from focusrail.client.wire import Hears, Wire
from focusrail.errors import IllegalTransition, RigBusy, UnknownShoot, UnreadableFolder
from focusrail.model.method import Method
from focusrail.model.outputs import Outputs
from focusrail.model.recipe import Recipe
from focusrail.model.selection import frames_text
from focusrail.recipe_book import check_name


class Client:
    """Asks the service. One thread waits for what it does; `abort` from any other."""

    def __init__(self, path: Path, listen: Callable[[object], None] = lambda _: None) -> None:
        """Connect to a service that answers at `path`; `listen` hears what is waited for. Raises ServiceLost."""
        self._wire, self._listen = Wire(path), listen
        self._lock = threading.Lock()
        self._shoot_id: str | None = None
        self._aborted = self._moving = False
        try:
            self.version: str = self._wire.get("/api/health")["version"]
        except BaseException:
            self._wire.close()
            raise

    def close(self) -> None:
        """Let go of the connection; what goes on there goes on."""
        self._wire.close()

    # --- shoots and stacks --------------------------------------------------------------------------------------------

    def shoot(self, recipe: Recipe) -> Published:
        """Shoot a recipe and wait for its end. Raises what ended it, ServiceLost."""
        wanted = TypeAdapter(Recipe).dump_python(recipe, mode="json", exclude_none=True)
        return self._wait_for("/api/shoots", {"recipe": wanted})

    def resume(self, shoot_id: str | None = None) -> Published | str:
        """Go on with a shoot, and wait for its end; after a pause, do not wait and return its ID."""
        progress = self.status()["progress"]
        if progress is not None and shoot_id in (None, progress["shoot_id"]):
            paused: str = progress["shoot_id"]
            if progress["state"] != "paused":
                raise IllegalTransition(f"shoot {paused} is going on already: `focusrail watch` shows it")
            self._wire.post(f"/api/shoots/{paused}/resume")
            return paused
        if shoot_id is None:
            shoot_id = next((s["shoot_id"] for s in self.shoots() if s["unfinished"]), None)
            if shoot_id is None:
                raise UnknownShoot("every shoot is finished: there is none to go on with")
        return self._wait_for(f"{_at(shoot_id)}/resume", None)

    def extend(self, shoot_id: str, *, near: int, far: int) -> Published:
        """Extend a published shoot and wait for its end. Raises what ended it, ServiceLost."""
        return self._wait_for(f"{_at(shoot_id)}/extend", {"near": near, "far": far})

    def usual(self, shoot_id: str) -> tuple[Method, Outputs | None]:
        """How a shoot was stacked, and what besides its results its recipe wants."""
        told = self._wire.get(_at(shoot_id))
        outputs = None if told["recipe"] is None else TypeAdapter(Outputs).validate_python(told["recipe"]["outputs"])
        return TypeAdapter(Method).validate_python(told["method"]), outputs

    def restack(self, shoot_id: str, **wish: Any) -> Published:
        """Stack a shoot again and wait for its end; `wish` as of Service.restack."""
        return self._wait_for(f"{_at(shoot_id)}/stack", _sent(wish))

    def stack_folder(self, folder: Path, **wish: Any) -> Published:
        """Stack a folder of photographs and wait for its end; `wish` as of Service.stack_folder."""
        try:
            return self._wait_for("/api/stacks", {"folder": str(folder.absolute()), **_sent(wish)})
        except UnreadableFolder as error:
            if not folder.is_dir():
                raise
            raise UnreadableFolder(
                f"{error}: the service stacks it, and its user must be able to read it; or stack it yourself, in a "
                "folder of your own, with --data FOLDER"
            ) from error

    def pause(self) -> str:
        """Let the shoot that is going on wait before its next frame; return its ID. Raises IllegalTransition."""
        shoot_id = self._going_on("pause")
        self._wire.post(f"/api/shoots/{shoot_id}/pause")
        return shoot_id

    def end(self) -> str:
        """End the shoot or stack that is going on; return its ID. Raises IllegalTransition."""
        waiting = None if self.status()["progress"] else next((s for s in self.shoots() if s["interrupted"]), None)
        shoot_id = self._going_on("abort") if waiting is None else str(waiting["shoot_id"])
        self._wire.post(f"/api/shoots/{shoot_id}/abort")
        return shoot_id

    def _going_on(self, what: str) -> str:
        progress = self.status()["progress"]
        if progress is None:
            raise IllegalTransition(f"nothing is going on: there is nothing to {what}")
        shoot_id: str = progress["shoot_id"]
        return shoot_id

    def abort(self) -> None:
        """Abort what `shoot`, `resume`, a stack or a move waits for. From any thread, any number of times."""
        with self._lock:
            self._aborted, shoot_id = True, self._shoot_id
        with suppress(RigBusy):  # it has just ended
            if shoot_id is not None:
                self._wire.post(f"/api/shoots/{shoot_id}/abort", soon=True)
            elif self._moving:
                self._wire.post("/api/halt", soon=True)

    def watch(self, catch_up: CatchUp, hears: Hears) -> Published | None:
        """Hear of what is going on until it ends, also over a service's new start; None: no shoot or stack is.

        `catch_up` is told how far it has come, `hears` all events. Raises what ended it, ServiceLost.
        """
        status = self.status()
        progress = status["progress"]
        if progress is None:
            return None
        catch_up(progress)
        following = self._following(progress["shoot_id"], status["last_event"], hears)
        return following.on_and_on(catch_up)

    def _wait_for(self, path: str, wish: Mapping[str, Any] | None) -> Published:
        last: int = self.status()["last_event"]
        shoot_id: str = self._wire.post(path, wish)["shoot_id"]
        with self._lock:
            self._shoot_id, aborted = shoot_id, self._aborted
        if aborted:  # before it had begun
            self.abort()
        return self._following(shoot_id, last).to_the_end()

    def _following(self, shoot_id: str, after: int, hears: Hears = lambda *_: None) -> Following:
        return Following(self._wire, shoot_id, after, listen=self._listen, hears=hears)

    # --- facts --------------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What is going on, and how the rig is: StatusTold of the API."""
        status: dict[str, Any] = self._wire.get("/api/status")
        return status

    def shoots(self) -> Iterator[dict[str, Any]]:
        """All shoots, newest first: ShootTold of the API."""
        before = ""
        while page := self._wire.get("/api/shoots", limit=200, **({"before": before} if before else {})):
            yield from page
            before = page[-1]["shoot_id"]

    def results(self, most: int) -> list[dict[str, Any]]:
        """The newest publications, newest first: PublicationTold of the API."""
        found: list[dict[str, Any]] = self._wire.get("/api/publications", limit=most)
        return found

    # --- the rig by hand ----------------------------------------------------------------------------------------------

    def rail(self) -> dict[str, Any]:
        """Where the rail is: RailTold of the API."""
        rail: dict[str, Any] = self._wire.get("/api/rail")
        return rail

    def home(self) -> float:
        """Find the home switch; return the position (mm)."""
        return self._moved("/api/rail/home", None)

    def go_to(self, position_mm: float) -> float:
        """Go to a position; return the one reached (mm)."""
        return self._moved("/api/rail/goto", {"position_mm": position_mm})

    def jog(self, distance_mm: float) -> float:
        """Move by a distance; return the position reached (mm)."""
        return self._moved("/api/rail/jog", {"distance_mm": distance_mm})

    def halt(self) -> str:
        """Stop the rail; return who was stopped."""
        self._wire.post("/api/halt", soon=True)
        return "the rail, and what the service was doing with it"

    def photograph(self) -> list[tuple[str, bytes]]:
        """Take a photograph: its files, each with the suffix of its name."""
        with zipfile.ZipFile(io.BytesIO(self._wire.ask("POST", "/api/camera/shot.zip"))) as archive:
            return [(name.partition(".")[2], archive.read(name)) for name in archive.namelist()]

    def _moved(self, path: str, to: Mapping[str, Any] | None) -> float:
        self._moving = True
        try:
            position_mm: float = self._wire.post(path, to)["position_mm"]
        finally:
            self._moving = False
        return position_mm

    # --- recipes ------------------------------------------------------------------------------------------------------

    def recipes(self) -> list[str]:
        """The names of all saved ones."""
        names: list[str] = self._wire.get("/api/recipes")
        return names

    def recipe(self, name: str) -> str:
        """A saved one's text. Raises UnknownRecipe."""
        text: str = self._wire.get(f"/api/recipes/{quote(name, safe='')}")["yaml"]
        return text

    def save_recipe(self, name: str, text: str) -> None:
        """Keep one in place of what had its name."""
        check_name(name)
        self._wire.ask("PUT", f"/api/recipes/{quote(name, safe='')}", {"yaml": text})

    def plan(self, recipe: Recipe) -> dict[str, Any]:
        """What it comes to on the rig: PlanTold of the API."""
        wanted = TypeAdapter(Recipe).dump_python(recipe, mode="json", exclude_none=True)
        plan: dict[str, Any] = self._wire.post("/api/plan", {"recipe": wanted})
        return plan


def _sent(wish: Mapping[str, Any]) -> dict[str, Any]:
    """A wish as of Service.restack and Service.stack_folder, for the API."""
    sent = {name: value for name, value in wish.items() if value is not None}
    for name, kind in (("method", Method), ("outputs", Outputs)):
        if name in sent:
            sent[name] = TypeAdapter(kind).dump_python(sent[name], mode="json")
    if "out" in sent:
        sent["out"] = str(sent["out"].absolute())
    sent["without"] = frames_text(sent.get("without", ()))
    return sent


def _at(shoot_id: str) -> str:
    """Where a shoot is. What cannot be the ID of one must not become a part of an address. Raises UnknownShoot."""
    if not re.fullmatch(r"[0-9A-Za-z-]+", shoot_id):
        raise UnknownShoot(f"no shoot {shoot_id!r}; `focusrail shoots` lists them")
    return f"/api/shoots/{shoot_id}"
