"""The desk: the service at work for several people at once. One thing at a time is done, and everybody sees which.

One thread, the operator's, makes every call that moves the rail or takes a picture; only halting comes from outside.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import ExitStack, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog
from pydantic import TypeAdapter

from focusrail.capture.by_hand import CameraByHand
from focusrail.capture.events import Published, Started
from focusrail.capture.live_view import LiveView
from focusrail.capture.plan import Plan, plan
from focusrail.capture.rig import Rig
from focusrail.capture.unfinished import give_up, interrupted
from focusrail.config.schema import Config
from focusrail.errors import FocusrailError, IllegalTransition, KeyReused, RigBusy, ShootAborted, name_of
from focusrail.event_log import EventLog
from focusrail.glance import Ended, Estimate, GoingOn, Progress, Status, estimate
from focusrail.metrics import Look, Metrics
from focusrail.model.recipe import Recipe
from focusrail.model.shoot import ENDED
from focusrail.recipe_book import RecipeBook
from focusrail.service import Service
from focusrail.store.room import free_bytes
from focusrail_drivers.base import DeviceNotFound, DriverError, RailStatus
from focusrail_drivers.clock import Clock
from focusrail_drivers.pulse import OwnerThread

log = structlog.get_logger(__name__)
_T = TypeVar("_T")
_RECIPE = TypeAdapter(Recipe)
_MAKES_WAY_S = 10.0  # for a stack that is ended to come to its end
_SHOOTING = "the camera makes frames now: look at the newest of them, or at the composite"


class Desk:
    """Takes orders from any thread, refuses what does not go together, tells the event log what happens."""

    def __init__(
        self, config: Config, events: EventLog, *, clock: Clock | None = None, command: str = "focusrail"
    ) -> None:
        """Opens the journal; touches no device. `command` as of Service. Raises StoreNotWritable, DiskFull."""
        self.service = Service(config, clock=clock, listen=self.tell, command=command)
        self.events = events
        self.recipes = RecipeBook(config.store.root / "recipes", config)
        self.metrics = Metrics()
        self.live = LiveView(lambda: self.service.holder.kept, self._lose)
        self.camera = CameraByHand(self.on_rig, self.live, config.camera.settings)
        self._keyed = threading.Lock()
        self._newest: dict[str, tuple[str, str]] = {}  # what was begun with a key last, and for what
        self.operator = OwnerThread("operator")
        self._change = threading.Lock()  # held while something begins, ends, or is ended
        self._doing = ""
        self._closed = False
        self._yielding: Future[Any] | None = None  # what is going on, if it ends when a person wants the rig
        self._displaced = False
        self.going_on = GoingOn()
        self.wanted_s = -math.inf  # when a person has wanted the rig last, on the service's clock
        self._begun: Future[str] | None = None
        self._taking_up: str | None = None
        self._trouble = ""

    # --- the rig ------------------------------------------------------------------------------------------------------

    def open(self) -> str:
        """Open the rig and keep it; return what its devices call themselves. Raises DriverError, ShootInUse."""
        return self.operator.submit(self._open).result()

    def _open(self) -> str:
        try:
            name = self.service.holder.keep()
            if (rig := self.service.holder.kept) is not None:
                self.camera.prepare(rig)
        except (DriverError, FocusrailError) as error:
            self._trouble = str(error)
            self.service.holder.let_go()
            raise
        self._trouble = ""
        return name

    def _lose(self, error: DriverError, rig: Rig) -> None:
        """Live view has found the camera gone: let go of the rig, once what is going on has ended."""
        self._trouble = str(error)

        def let_go() -> None:
            if self.service.holder.kept is rig:
                self.service.holder.let_go()

        with suppress(RuntimeError):  # the desk is closed
            self.operator.submit(let_go)

    def close(self) -> None:
        """End what is going on in order, so that it can be gone on with, and let go of the rig."""
        self.suspend()
        with suppress(RuntimeError):  # it is closed already
            self.operator.submit(self.service.holder.let_go).result()
        self.operator.shutdown()

    def suspend(self) -> None:
        """End what is going on in order; from now on nothing begins."""
        with self._change:
            self._closed = True
        self.live.close()
        self.service.suspend()
        self.events.close()

    def on_rig(self, doing: str, work: Callable[[Rig], _T]) -> _T:
        """Do something short with the rig, in the operator's thread. Raises RigBusy, DriverError, FocusrailError."""

        def run() -> _T:
            with self.service.rig() as rig:
                return work(rig)

        return self._submit(doing, run).result()

    def halt(self) -> None:
        """Stop the rail now, and what moves it, also where nothing should be moving; where another process holds the
        rig, that one's. Nothing goes on by itself then, neither what waits for a device that is lost.

        Raises DeviceNotFound where no rail is open, ShootInUse.
        """
        self.service.abort()
        rig = self.service.holder.kept
        if rig is not None and not self._doing:
            rig.carriage.halt()
        reached = rig is not None or self.service.holder.halt_elsewhere()
        self._give_up(waiting=True)
        if not reached:
            raise DeviceNotFound(f"there is no rail to halt: {self._trouble or 'it is not open yet'}")

    def _give_up(self, *, waiting: bool = False) -> None:
        """Journal that a person has ended what is shot, or `waiting`: whatever ends the service, none goes on then."""
        try:
            if self._shooting is not None:
                self.service.journal.give_up(self._shooting)
            elif waiting and (shoot := interrupted(self.service.journal, self.service.spool)) is not None:
                give_up(shoot, self.service.journal, self.service.spool)
        except FocusrailError as error:  # the rail stands: that must not look otherwise
            log.error("journal.not_written", error=str(error))

    @property
    def _shooting(self) -> str | None:
        """The shoot that is being shot, or taken up: its frames are proven first, and nobody has heard of it yet."""
        progress = self.going_on.progress
        if self._doing != "shooting":
            return None
        return self._taking_up if progress is None else progress.shoot_id

    # --- shoots and stacks --------------------------------------------------------------------------------------------

    def plan(self, recipe: Recipe) -> Plan:
        """Where a recipe's frames will be made. Moves nothing. Raises RecipeRefused, DriverError."""
        travel, resolution_mm = self.service.holder.reach()
        return plan(recipe, travel=travel, resolution_mm=resolution_mm)

    def estimate(self) -> Estimate:
        """What frames will take, as far as that is known."""
        return estimate(self.service.journal, self.service.config.store.spool_folder)

    def shoot(self, recipe: Recipe, *, key: str | None = None) -> str:
        """Begin a shoot; return its ID once it is journalled. Raises RigBusy and what refuses it.

        With a `key` that began one before, that one's ID is all that happens. Raises KeyReused for another recipe.
        """

        def begin(**journalled: str) -> str:
            wished = self.camera.wished(recipe)
            return self._begin("shooting", lambda: self.service.shoot(wished, **journalled))

        return self._once(key, _RECIPE.dump_json(recipe), begin)

    def extend(self, shoot_id: str, *, near: int = 0, far: int = 0, key: str | None = None) -> str:
        """Begin to extend a published shoot by so many frames; return its ID once nothing is known to speak against it.

        `key` as of `shoot`. Raises RigBusy and what refuses it.
        """

        def begin(**journalled: str) -> str:
            return self._begin("shooting", lambda: self.service.extend(shoot_id, near=near, far=far, **journalled))

        return self._once(key, f"extend {shoot_id} near {near} far {far}".encode(), begin)

    def _once(self, key: str | None, wanted: bytes, begin: Callable[..., str]) -> str:
        """Begin what was not begun with this key before; return its ID in any case. Raises KeyReused."""
        if key is None:
            return begin()
        wish = hashlib.sha256(wanted).hexdigest()
        with self._keyed:  # whoever comes second with the same key waits for what the first begins
            # An extension is journalled a little later than it is told to have begun.
            before = self.service.journal.begun_with(key) or (self._newest.get(key) if self.going_on.progress else None)
            if before is None:
                shoot_id = begin(key=key, wish=wish)
                self._newest = {key: (shoot_id, wish)}
                return shoot_id
        shoot_id, wished = before
        if wished != wish:
            raise KeyReused(f"shoot {shoot_id} was begun with this key, and for something else: take a new key")
        return shoot_id

    def restack(self, shoot_id: str, **wish: Any) -> str:
        """Begin to stack a shoot again; `wish` as of Service.restack. Return its ID."""
        return self._begin("stacking", lambda: self.service.restack(shoot_id, **wish))

    def stack_folder(self, folder: Path, **wish: Any) -> str:
        """Begin to stack a folder of photographs; `wish` as of Service.stack_folder. Return the stack's ID."""
        return self._begin("stacking", lambda: self.service.stack_folder(folder, **wish)[1])

    def stack_inbound(self, folder: Path) -> Published | None:
        """Stack a folder, wait for it, and make way for whatever a person wants meanwhile: then, None.

        Raises RigBusy and what refuses it.
        """
        self._displaced = False
        try:
            work = partial(self.service.stack_folder, folder, links=False)
            return self._submit("stacking", work, yields=True).result()[1]
        except FocusrailError:
            if self._displaced or self._closed:
                return None
            raise
        finally:
            self.going_on.over()

    def tidy(self) -> None:
        """Let originals go as the configuration says, unless something goes on; it makes way for a person."""
        with suppress(RigBusy, FocusrailError):
            self.service.journal.note_day(self.service.clock.utc())
            if self.service.retention.has_work:
                self._submit("tidying", self.service.tidy, yields=True)

    def pause(self, shoot_id: str) -> None:
        """Wait before the next frame. Raises UnknownShoot, RigBusy; IllegalTransition where none is to come."""
        with self._change:
            progress = self._going_on(shoot_id)
            if self._doing != "shooting" or progress.state == "merging":
                raise IllegalTransition(f"shoot {shoot_id} makes no frames now: there is nothing to be paused")
            self.service.pause()

    def resume(self, shoot_id: str, *, unasked: bool = False) -> str:
        """Go on after a pause, or with a shoot that has ended early; return its ID.

        `unasked`: unless a person has ended it meanwhile. Raises RigBusy and what refuses it.
        """
        progress = self.going_on.progress
        if progress is not None and progress.shoot_id == shoot_id:
            self.service.resume()
            return shoot_id
        self.service.journal.shoot(shoot_id)
        if not unasked:
            self.service.journal.forget_going_on(shoot_id)

        def go_on() -> Published:
            if unasked and self.service.journal.shoot(shoot_id).state in ENDED:
                raise ShootAborted(f"shoot {shoot_id} has been ended meanwhile")
            return self.service.shoot_on(shoot_id)

        return self._begin("shooting", go_on, taking_up=shoot_id)

    def abort(self, shoot_id: str) -> None:
        """End a shoot or stack, also one that waits to be gone on with; what is stored is safe."""
        with self._change:  # so that it is this one that is ended
            if self._shooting != shoot_id:
                shoot = self.service.journal.shoot(shoot_id)
                if give_up(shoot, self.service.journal, self.service.spool):
                    return
                self._going_on(shoot_id)
            self.service.abort()
            self._give_up()

    def _going_on(self, shoot_id: str) -> Progress:
        progress = self.going_on.progress
        if progress is None or progress.shoot_id != shoot_id:
            self.service.journal.shoot(shoot_id)
            raise RigBusy(f"shoot {shoot_id} is not going on")
        return progress

    def _begin(self, doing: str, work: Callable[[], Published], *, taking_up: str | None = None) -> str:
        begun: Future[str] = Future()

        def run() -> None:
            try:
                with self.live.aside(_SHOOTING) if doing == "shooting" else nullcontext():
                    done = work()
                if not begun.done():
                    begun.set_result(done.shoot_id)
                with suppress(RuntimeError):  # the desk is closed
                    self.operator.submit(self.tidy)  # after this has ended
            except (FocusrailError, DriverError) as error:
                self._note_loss(error)
                self._fail(begun, error)
            except Exception as error:
                log.exception("desk.failed")
                self._fail(begun, error)
            finally:
                self.going_on.over()

        self._submit(doing, run, begun=begun, taking_up=taking_up)
        return begun.result()

    def _fail(self, begun: Future[str], error: Exception) -> None:
        if not begun.done():
            begun.set_exception(error)
            return
        self.events.add(Ended(begun.result(), name_of(error), str(error)))
        self.metrics.ended(name_of(error))

    def _submit(
        self,
        doing: str,
        work: Callable[[], _T],
        *,
        begun: Future[str] | None = None,
        taking_up: str | None = None,
        yields: bool = False,
    ) -> Future[_T]:
        if not yields:
            self.wanted_s = self.service.clock.monotonic_s()
            self._make_way()
        with self._change:
            if self._closed:
                raise RigBusy("the service is ending")
            if self._doing:
                if self.service.is_ending:
                    raise RigBusy(f"the rig is busy ({self._doing}), and about to end that: wait a moment")
                raise RigBusy(f"the rig is busy ({self._doing}): wait for it to end, or abort it")
            operation = ExitStack()
            operation.enter_context(self.service.operation())  # a halt from now on is for this
            self._doing, self._begun, self._taking_up = doing, begun, taking_up

            def run() -> _T:
                try:
                    return work()
                except DriverError as error:
                    self._note_loss(error)
                    raise
                finally:
                    with self._change:
                        operation.close()
                        self._begun, self._yielding, self._doing = None, None, ""

            future = self.operator.submit(run)
            self._yielding = future if yields else None
            return future

    def _note_loss(self, error: Exception) -> None:
        """Where an error has cost us the rig, it says so until the rig is back."""
        if self.service.holder.kept is None and isinstance(error, DriverError):
            self._trouble = str(error)

    def _make_way(self) -> None:
        """End what goes on only while nobody wants the rig."""
        with self._change:
            yielding = self._yielding
            if yielding is None:
                return
            self._displaced = True
            self.service.abort()
        wait([yielding], _MAKES_WAY_S)

    # --- what is going on ---------------------------------------------------------------------------------------------

    def tell(self, event: object) -> None:
        """Let everybody know of something that has happened. From any thread."""
        now_s = self.service.clock.monotonic_s()
        self.going_on.hear(event, now_s)
        begun = self._begun
        self.events.add(event)
        self.metrics.hear(event, now_s)
        if isinstance(event, Started) and begun is not None and not begun.done():
            begun.set_result(event.shoot_id)

    def status(self) -> Status:
        """As it is now."""
        progress = self.going_on.at(self.service.clock.monotonic_s(), ending=self.service.is_ending)
        rig, rail, travel = self.service.holder.look()
        rail = rail or RailStatus(None, False)
        return Status(
            self._doing, progress, rig, self._trouble, self.service.journal.damage, rail.position_mm, rail.moving,
            None if travel is None else (travel.min_mm, travel.max_mm), self.events.last,
        )  # fmt: skip

    def look(self) -> Look:
        """The figures that are as they are just now."""
        status, store = self.status(), self.service.config.store
        free = {"spool": free_bytes(store.spool_folder), "outbound": free_bytes(store.outbound_folder)}
        waiting = 0 if status.progress is None else status.progress.waiting
        return Look(bool(status.rig), status.position_mm is not None, waiting, free)
