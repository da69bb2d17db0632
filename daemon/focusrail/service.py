"""The service: the one composition root. Configuration -> devices -> store -> engine -> stacking process.

Whatever starts a shoot or a stack (command line, HTTP, button) calls this.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from focusrail.capture.begin import usual_outputs
from focusrail.capture.carriage import Carriage
from focusrail.capture.ending import ending
from focusrail.capture.events import Published, Skipped
from focusrail.capture.plan import extended, plan
from focusrail.capture.preflight import check_accelerator, check_store
from focusrail.capture.rig import Rig
from focusrail.capture.rig_holder import RigHolder
from focusrail.capture.shoots import Shoots
from focusrail.capture.stacks import Stacks
from focusrail.capture.stored import require_all, require_any, require_originals, shot
from focusrail.config.schema import Config
from focusrail.errors import (
    DiskFull,
    IllegalTransition,
    NoFrames,
    RecipeRefused,
    ShootAborted,
    TooFewFrames,
)
from focusrail.model.frame import FrameRecord
from focusrail.model.method import Method
from focusrail.model.outputs import Outputs
from focusrail.model.recipe import LARGEST_STACK, Recipe, name_from
from focusrail.model.selection import check_known
from focusrail.model.shoot import ENDED, Shoot, State, new_shoot_id
from focusrail.store.folder import Listing, list_folder, suited
from focusrail.store.journal import Journal
from focusrail.store.retention import Retention, what_could_go
from focusrail.store.spool import Spool, proven
from focusrail_drivers.base import ConnectionLost, DeviceNotFound
from focusrail_drivers.clock import Clock, SystemClock

log = structlog.get_logger(__name__)


class Service:
    """Everything focusrail does. One shoot or stack at a time; `abort` from any thread."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        listen: Callable[[object], None] = lambda _: None,
        command: str = "focusrail",
    ) -> None:
        """Opens the journal; touches no device. `command` is what a person types to reach this configuration.

        Raises StoreNotWritable, DiskFull.
        """
        self.config = config
        self._command = command
        self._clock = self.clock = clock if clock is not None else SystemClock()
        self._listen = listen
        self._store = config.store
        self.journal = Journal(
            self._store.journal_file, spool=self._store.spool_folder, outbound=self._store.outbound_folder
        )
        self.spool = Spool(self._store.spool_folder)
        self.holder = RigHolder(config, self._clock)
        self._carriage: Carriage | None = None
        self._suspended = False
        self._shoot: Shoot | None = None
        self._aborted = threading.Event()
        self._stacks = Stacks(
            config, journal=self.journal, spool=self.spool, clock=self._clock, aborted=self._aborted,
            listen=self._tell,
        )  # fmt: skip
        self._shoots = Shoots(
            config, journal=self.journal, spool=self.spool, stacks=self._stacks, clock=self._clock,
            aborted=self._aborted, listen=self._tell,
        )  # fmt: skip
        self.retention = Retention(
            self.journal, self.spool, config.store.outbound_folder, config.store.keep, stopped=self._aborted.is_set
        )
        self.goes_on = False  # whether somebody goes on with a shoot that has lost a device when that is back
        self._operations = 0  # that are going on, one within the other

    def _tell(self, event: object) -> None:
        self._listen(event)

    def close(self) -> None:
        """Let go of the journal."""
        self.journal.close()

    # --- the rig ------------------------------------------------------------------------------------------------------

    @contextmanager
    def rig(self, *, with_camera: bool = True) -> Iterator[Rig]:
        """The rig's devices, open and nobody else's. Raises DriverError, ShootInUse, ShootAborted."""
        self._begin_operation()
        try:
            with self.holder.open(with_camera=with_camera) as rig:
                if not self._aborted.is_set():
                    rig.carriage.release()  # a halt is for what was going on then
                self._carriage = rig.carriage
                if self._aborted.is_set():  # while the devices were being opened, when there was nothing to halt yet
                    raise ShootAborted("stopped before anything moved")
                yield rig
        finally:
            self._carriage = None
            self._operations -= 1

    @contextmanager
    def operation(self) -> Iterator[None]:
        """What belongs together: an abort from now on is for it, also before its first step."""
        self._begin_operation()
        try:
            yield
        finally:
            self._operations -= 1

    def _begin_operation(self) -> None:
        """An abort is for what is going on: one that came before is forgotten."""
        self._operations += 1
        if self._operations == 1:
            self._aborted.clear()

    # --- shooting -----------------------------------------------------------------------------------------------------

    def shoot(self, recipe: Recipe, *, key: str | None = None, wish: str = "") -> Published:
        """Shoot a recipe and stack it meanwhile; the journal remembers the `key` that it was begun with, and for what.

        Raises FocusrailError, DriverError; stored frames are safe then.
        """
        # The canvas must be known when the second frame comes: while shooting, the reference is the first.
        wanted = recipe.method.reference
        recipe = replace(recipe, method=replace(recipe.method, reference="first"))
        if wanted != "first":
            log.warning("recipe.reference_ignored", wanted=wanted)
        self._check_store(self._store.outbound_folder)
        check_accelerator(self.config.accelerator, recipe.method)
        with self.rig() as rig:
            planned = plan(recipe, travel=rig.carriage.travel, resolution_mm=rig.carriage.resolution_mm)
            shoot = Shoot(
                shoot_id=new_shoot_id(self._clock.utc()),
                name=recipe.name,
                created_at=self._clock.utc(),
                method=recipe.method,
                specimen_id=recipe.specimen_id,
                recipe=recipe,
                positions_mm=planned.positions_mm,
                source=rig.name,
            )
            with self.spool.claim(shoot.shoot_id):  # before anybody can hear of it
                self.journal.add_shoot(shoot, key=key, wish=wish)
                with self._failing(shoot):
                    return self._shoots.run(shoot, recipe, rig)

    def shoot_on(self, shoot_id: str) -> Published:
        """Go on with a shoot or extension that has ended before its last frame, whatever ended it, and publish it.

        What is stored is proven by its hash, and stacked again; what is missing, or is not what was stored, is shot
        where it belongs. Nothing must have been touched since. Raises FocusrailError, DriverError; IllegalTransition
        where it is published and nothing is missing.
        """
        shoot, recipe = shot(self.journal, shoot_id)
        self._check_store(self._store.outbound_folder)
        check_accelerator(self.config.accelerator, shoot.method)
        with self.spool.claim(shoot_id):
            require_originals(self.journal, shoot_id)
            stored = proven(known := self.journal.frames(shoot_id))
            if known:
                require_any(shoot, stored, self.spool)
            if len(stored) < len(shoot.positions_mm):
                with self.rig() as rig, self._failing(shoot, resumed=True):
                    if rig.name != shoot.source:
                        log.warning("rig.differs", was=shoot.source, now=rig.name)
                    return self._shoots.run(shoot, recipe, rig, stored)
            if (done := self._stacks.adopt(shoot, stored)) is not None:
                return done
        if shoot.state is State.PUBLISHED:
            raise IllegalTransition(
                f"shoot {shoot_id} is published: it can be extended or stacked again, there is nothing to resume"
            )
        return self.restack(shoot_id)

    def extend(
        self, shoot_id: str, *, near: int = 0, far: int = 0, key: str | None = None, wish: str = ""
    ) -> Published:
        """Shoot so many frames more on the near and on the far side of a published shoot; publish its next version.

        They lie where one shoot over all of it would have had them, and so do the pixels of the result. Nothing must
        have been touched since. What was published stays as it is. The journal remembers `key` and `wish`, as for
        `shoot`. Raises FocusrailError, DriverError.
        """
        shoot, recipe = shot(self.journal, shoot_id)
        if min(near, far) < 0 or near + far < 1:
            raise RecipeRefused(f"{near} frames near and {far} far: a shoot is extended by one frame at least")
        if shoot.state is not State.PUBLISHED:
            raise IllegalTransition(
                f"shoot {shoot_id} is {shoot.state.value}: only what is published is extended; "
                f"`{self._command} resume {shoot_id}` goes on with it"
            )
        self._check_store(self._store.outbound_folder)
        check_accelerator(self.config.accelerator, shoot.method)
        with self.spool.claim(shoot_id):
            require_originals(self.journal, shoot_id)
            stored = proven(known := self.journal.frames(shoot_id))
            require_all(shoot, known, stored, self.spool, command=self._command)
            with self.rig() as rig:
                positions_mm = extended(
                    shoot, recipe, near=near, far=far, far_is_high=self.config.rail.far_is == "high",
                    travel=rig.carriage.travel, resolution_mm=rig.carriage.resolution_mm,
                )  # fmt: skip
                longer = replace(shoot, positions_mm=positions_mm)
                with self._failing(longer):
                    if rig.name != shoot.source:
                        log.warning("rig.differs", was=shoot.source, now=rig.name)
                    log.info("shoot.extended", near=near, far=far)

                    def enter() -> None:
                        self.journal.extend(longer, self._clock.utc(), key=key, wish=wish)

                    return self._shoots.run(longer, recipe, rig, stored, enter=enter)

    # --- stacking -----------------------------------------------------------------------------------------------------

    def stack_folder(
        self,
        folder: Path,
        *,
        out: Path | None = None,
        method: Method | None = None,
        step_mm: float | None = None,
        without: frozenset[int] = frozenset(),
        aligned: bool | None = None,
        outputs: Outputs | None = None,
        debug: bool = False,
        links: bool = True,
    ) -> tuple[Listing, Published]:
        """Stack a folder of photographs, which stay where they are, but for those numbered `without`.

        `aligned`: they lie on each other already; None: they do when a stack has left them so. `outputs`: not those of
        the configuration. `links`: also photographs that lie elsewhere. Raises FocusrailError.
        """
        listing = list_folder(folder, links=links)
        if listing.skipped:
            self._listen(Skipped(listing.skipped))
        photographs = listing.photographs
        if len(photographs) > LARGEST_STACK:
            raise RecipeRefused(f"{folder} holds {len(photographs)} photographs; a stack has at most {LARGEST_STACK}")
        if len(photographs) < 2:
            raise TooFewFrames(f"only one photograph in {folder} ({photographs[0].name}): a stack needs two")
        check_known(without, range(len(photographs)))
        if method is None:
            method = self.config.stacking.method
        self._check(method, outputs)
        method = suited(method, photographs, aligned=aligned)
        shoot = Shoot(
            shoot_id=new_shoot_id(self._clock.utc()),
            name=name_from(folder.resolve().name),
            created_at=self._clock.utc(),
            method=method,
            source=str(folder.absolute()),
        )
        place = self._stacks.place(shoot, out)
        self._check_store(place.folder.parent)
        self.journal.add_shoot(shoot)
        records = partial(self._stacks.enter, shoot, photographs, step_mm)
        with self.spool.claim(shoot.shoot_id), self._failing(shoot):
            wanted = [index for index in range(len(photographs)) if index not in without]
            # Of what is not wanted anyway it does not matter whether it can be read.
            unwanted = [r for r in records(sorted(without)) if isinstance(r, FrameRecord)]
            told = self._stacks.begin(
                shoot, place, unwanted=unwanted, in_mm=step_mm is not None, outputs=outputs, debug=debug
            )
            return listing, self._stacks.make(shoot, place, records(wanted), replace(told, frames=len(wanted)))

    def restack(
        self,
        shoot_id: str,
        *,
        out: Path | None = None,
        method: Method | None = None,
        without: frozenset[int] = frozenset(),
        outputs: Outputs | None = None,
        debug: bool = False,
    ) -> Published:
        """Stack what the spool holds of a shoot, but for the frames numbered `without`, as its next version.

        `outputs`: not those of its recipe. Raises FocusrailError.
        """
        shoot = self.journal.shoot(shoot_id)
        self._check(method or shoot.method, outputs, shoot)
        with self.spool.claim(shoot_id):
            require_originals(self.journal, shoot_id)
            frames = self.journal.frames(shoot_id)
            if not frames:
                raise NoFrames(f"shoot {shoot_id} has no frames: it ended before the first was stored")
            check_known(without, (record.index for record in frames))
            if method is not None:
                shoot = replace(shoot, method=method)
            place = self._stacks.place(shoot, out)
            self._check_store(place.folder.parent)
            with self._failing(shoot, again=shoot.state in ENDED):
                order = {index: place for place, index in enumerate(shoot.order)}
                frames.sort(key=lambda record: order.get(record.index, record.index))  # of a folder, the index it is
                wanted = [record for record in frames if record.index not in without]
                unwanted = [record for record in frames if record.index in without]
                in_mm = frames[0].position_mm is not None
                told = self._stacks.begin(shoot, place, unwanted=unwanted, in_mm=in_mm, outputs=outputs, debug=debug)
                return self._stacks.make(shoot, place, iter(wanted), replace(told, frames=len(wanted)))

    def _check_store(self, folder: Path) -> None:
        """Spool and `folder` can be written and have some room. Raises StoreNotWritable, DiskFull."""
        try:
            check_store(self._store.spool_folder, folder)
        except DiskFull as error:
            raise DiskFull(f"{error}{what_could_go(self.journal)}") from error

    def tidy(self) -> None:
        """Let go of originals beyond what store.keep allows. Never raises. After an abort the next goes on."""
        with self.operation():
            self.retention.apply(self._clock.utc())

    def _check(self, method: Method, outputs: Outputs | None, shoot: Shoot | None = None) -> None:
        (outputs if outputs is not None else usual_outputs(self.config, shoot)).check_with(method)
        check_accelerator(self.config.accelerator, method)

    # --- ending -------------------------------------------------------------------------------------------------------

    def abort(self) -> None:
        """Stop the rail at once and end what is going on. From any thread, any number of times."""
        self._aborted.set()
        carriage, shoot = self._carriage, self._shoot
        with structlog.contextvars.bound_contextvars(**({} if shoot is None else {"shoot_id": shoot.shoot_id})):
            if not self._shoots.abort() and carriage is not None:
                carriage.halt()
            self._stacks.abort()

    @property
    def is_ending(self) -> bool:
        """Whether what goes on has been told to end."""
        return self._aborted.is_set()

    def suspend(self) -> None:
        """End what is going on so that it can be gone on with: the exposure in hand is stored. From any thread."""
        self._suspended = True
        self.abort()

    def pause(self) -> None:
        """Wait before the next frame of the shoot that is going on, if one is. From any thread."""
        self._shoots.pause()

    def resume(self) -> None:
        """Go on after `pause`. From any thread."""
        self._shoots.resume()

    @contextmanager
    def _failing(self, shoot: Shoot, *, again: bool = False, resumed: bool = False) -> Iterator[None]:
        """Journal how a shoot ended, and say what is safe and how to go on.

        A shoot that has ended and is stacked `again` stays as it ended, a `resumed` one as it was until it is begun,
        and one that has lost a device waits for that, if it has come any farther since.
        """
        before = self.journal.frame_count(shoot.shoot_id)

        def stays(error: BaseException) -> bool:
            if again or isinstance(error, ShootAborted):
                return again
            if resumed and not self._shoots.begun:
                return True
            lost = isinstance(error, ConnectionLost | DeviceNotFound)
            return lost and self.goes_on and self.journal.frame_count(shoot.shoot_id) > before

        self._shoot = shoot
        self._begin_operation()
        try:
            with (
                structlog.contextvars.bound_contextvars(shoot_id=shoot.shoot_id),
                ending(
                    shoot, self.journal,
                    aborted=self._aborted, suspended=lambda: self._suspended, command=self._command, stays=stays,
                ),
            ):  # fmt: skip
                yield
        finally:
            self._shoot = None
            self._operations -= 1
