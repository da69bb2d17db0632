"""What a person asks for, done in this process: where no service runs. Its methods are those of client.Client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from focusrail.capture.events import Published
from focusrail.capture.plan import plan
from focusrail.capture.rig import Rig
from focusrail.capture.unfinished import newest_unfinished, was_interrupted
from focusrail.cli.context import no_service
from focusrail.errors import IllegalTransition, UnknownShoot
from focusrail.model.method import Method
from focusrail.model.outputs import Outputs
from focusrail.model.recipe import Recipe
from focusrail.model.shoot import Shoot
from focusrail.recipe_book import RecipeBook
from focusrail.service import Service
from focusrail.store.media_types import suffix_of
from focusrail.worker.manifest import utc_text
from focusrail_drivers import registry

_T = TypeVar("_T")


class InProcess:
    """Does it with a Service of its own, which opens the rig for as long as it is needed."""

    version = None  # of the service

    def __init__(self, service: Service) -> None:
        self._service, self._config = service, service.config
        self.abort = service.abort

    # --- shoots and stacks --------------------------------------------------------------------------------------------

    def shoot(self, recipe: Recipe) -> Published:
        """As of Service."""
        return self._tidied(self._service.shoot(recipe))

    def resume(self, shoot_id: str | None = None) -> Published | str:
        """Go on with a shoot that has ended; without an ID, with the newest that can be gone on with."""
        if shoot_id is None:
            unfinished = newest_unfinished(self._service.journal)
            if unfinished is None:
                raise UnknownShoot("every shoot is finished: there is none to go on with")
            shoot_id = unfinished.shoot_id
        return self._tidied(self._service.shoot_on(shoot_id))

    def extend(self, shoot_id: str, *, near: int, far: int) -> Published:
        """As of Service."""
        return self._tidied(self._service.extend(shoot_id, near=near, far=far))

    def usual(self, shoot_id: str) -> tuple[Method, Outputs | None]:
        """How a shoot was stacked, and what besides its results its recipe wants."""
        shoot = self._service.journal.shoot(shoot_id)
        return shoot.method, None if shoot.recipe is None else shoot.recipe.outputs

    def restack(self, shoot_id: str, **wish: Any) -> Published:
        """As of Service."""
        return self._tidied(self._service.restack(shoot_id, **wish))

    def _tidied(self, done: Published) -> Published:
        self._service.tidy()
        return done

    def stack_folder(self, folder: Path, **wish: Any) -> Published:
        """As of Service."""
        return self._service.stack_folder(folder, **wish)[1]

    def pause(self) -> str:
        """Another process's shoot cannot be paused. Raises NoService."""
        raise no_service(self._config.service_socket, "to pause a shoot")

    def end(self) -> str:
        """End what goes on in another terminal, as Ctrl-C there would. Raises IllegalTransition."""
        if not self._service.holder.halt_elsewhere():
            raise IllegalTransition("nothing is going on: there is nothing to abort")
        return ""

    # --- facts --------------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """That nothing is open, and nothing goes on; of another process it is known only that it holds the rig."""
        return {
            "doing": "", "progress": None, "rig": "", "trouble": "", "position_mm": None, "moving": False,
            "travel_mm": None, "held_by": self._service.holder.held_elsewhere(),
        }  # fmt: skip

    def shoots(self) -> Iterator[dict[str, Any]]:
        """All shoots, newest first."""
        return (self._told(shoot) for shoot in self._service.journal.shoots())

    def _told(self, shoot: Shoot) -> dict[str, Any]:
        journal = self._service.journal
        let_go_at = journal.let_go_at(shoot.shoot_id)
        return {
            "shoot_id": shoot.shoot_id, "name": shoot.name, "specimen_id": shoot.specimen_id,
            "created_at": utc_text(shoot.created_at), "state": shoot.state.value,
            "interrupted": was_interrupted(shoot, self._service.spool),
            "let_go_at": None if let_go_at is None else utc_text(let_go_at), "planned": len(shoot.positions_mm),
            "stored": len(journal.frames(shoot.shoot_id)), "source": shoot.source,
            "versions": [
                {"version": version, "folder": str(folder)} for version, folder in journal.publications(shoot.shoot_id)
            ],
        }  # fmt: skip

    def results(self, most: int) -> list[dict[str, Any]]:
        """The newest publications, newest first."""
        return [
            {
                "shoot_id": one.shoot_id, "name": one.name, "specimen_id": one.specimen_id, "version": one.version,
                "folder": str(one.folder), "published_at": utc_text(one.published_at), "there": one.folder.is_dir(),
            }
            for one in self._service.journal.published()[:most]
        ]  # fmt: skip

    # --- the rig by hand ----------------------------------------------------------------------------------------------

    def rail(self) -> dict[str, Any]:
        """Where the rail is."""

        def work(rig: Rig) -> dict[str, Any]:
            status, travel = rig.carriage.status(), rig.carriage.travel
            return {
                "name": rig.rail_name, "position_mm": status.position_mm, "moving": status.moving,
                "detail": status.detail, "min_mm": travel.min_mm, "max_mm": travel.max_mm,
                "resolution_mm": rig.carriage.resolution_mm,
            }  # fmt: skip

        return self._on_rig(work)

    def home(self) -> float:
        """Find the home switch; return the position (mm)."""
        return self._on_rig(lambda rig: rig.carriage.home())

    def go_to(self, position_mm: float) -> float:
        """Go to a position; return the one reached (mm)."""
        return self._on_rig(lambda rig: rig.carriage.go_to(position_mm))

    def jog(self, distance_mm: float) -> float:
        """Move by a distance; return the position reached (mm)."""
        return self._on_rig(lambda rig: rig.carriage.go_to(rig.carriage.position_mm() + distance_mm))

    def halt(self) -> str:
        """Stop the rail, also that of a shoot in another terminal; return who was stopped."""
        if self._service.holder.halt_elsewhere():
            return "the process that holds the rig"
        self._on_rig(lambda rig: rig.carriage.halt())
        return "the rail"

    def photograph(self) -> list[tuple[str, bytes]]:
        """Take a photograph: its files, each with the suffix of its name."""
        settings = self._config.camera.settings
        taken = self._on_rig(lambda rig: rig.photograph(settings), camera=True)
        return [(suffix_of(photograph.media_type), photograph.data) for photograph in taken]

    def _on_rig(self, work: Callable[[Rig], _T], *, camera: bool = False) -> _T:
        with self._service.rig(with_camera=camera) as rig:
            return work(rig)

    # --- recipes ------------------------------------------------------------------------------------------------------

    @property
    def _book(self) -> RecipeBook:
        return RecipeBook(self._config.store.root / "recipes", self._config)

    def recipes(self) -> list[str]:
        """The names of all saved ones."""
        return self._book.names()

    def recipe(self, name: str) -> str:
        """A saved one's text. Raises UnknownRecipe."""
        return self._book.text(name)

    def save_recipe(self, name: str, text: str) -> None:
        """Keep one in place of what had its name."""
        self._book.save(name, text)

    def plan(self, recipe: Recipe) -> dict[str, Any]:
        """What it comes to on the rig as it is configured; nothing is opened, nothing moves. Raises RecipeRefused."""
        config = self._config.rail
        rail = registry.load("rails", config.driver)(config.options, self._service.clock)
        planned = plan(recipe, travel=config.travel or rail.travel, resolution_mm=rail.resolution_mm)
        first_mm, last_mm = planned.positions_mm[0], planned.positions_mm[-1]
        frames = len(planned.positions_mm)
        return {"frames": frames, "step_mm": planned.step_mm, "from_mm": first_mm, "to_mm": last_mm}
