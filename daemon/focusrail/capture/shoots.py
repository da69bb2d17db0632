"""Shoots: a plan carried out on the open rig, stacked meanwhile, and published."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context

import structlog

from focusrail.capture.engine import Engine
from focusrail.capture.events import Merging, Published, Started
from focusrail.capture.preflight import check_rail, check_room, check_settings
from focusrail.capture.rig import Rig
from focusrail.capture.stacks import Stacks
from focusrail.config.schema import Config
from focusrail.errors import ShootAborted
from focusrail.model.frame import FrameRecord
from focusrail.model.recipe import Recipe
from focusrail.model.shoot import Shoot, State
from focusrail.store.journal import Journal
from focusrail.store.spool import Spool
from focusrail.worker.messages import Finish
from focusrail_drivers.clock import Clock
from focusrail_drivers.pulse import OwnerThread, when_done

log = structlog.get_logger(__name__)


class Shoots:
    """Carries shoots out, one at a time. `pause`, `resume` and `abort` from any thread."""

    def __init__(
        self,
        config: Config,
        *,
        journal: Journal,
        spool: Spool,
        stacks: Stacks,
        clock: Clock,
        aborted: threading.Event,
        listen: Callable[[object], None],
    ) -> None:
        """Once `aborted` is set, none begins."""
        self._config, self._journal, self._spool, self._stacks = config, journal, spool, stacks
        self._clock, self._aborted, self._listen = clock, aborted, listen
        self._engine: Engine | None = None
        self.begun = False  # the newest: nothing has spoken against it, and the journal says that it is shot

    def run(
        self,
        shoot: Shoot,
        recipe: Recipe,
        rig: Rig,
        stored: Sequence[FrameRecord] = (),
        *,
        enter: Callable[[], None] | None = None,
    ) -> Published:
        """Make all frames but those that are `stored`, and publish the stack. Raises FocusrailError, DriverError.

        `enter` journals an extension, once nothing speaks against it and before its first frame.
        """
        try:
            return self._run(shoot, recipe, rig, stored, enter)
        finally:
            self._engine = None

    def pause(self) -> None:
        """Wait before the next frame, if a shoot is going on."""
        if (engine := self._engine) is not None:
            engine.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        if (engine := self._engine) is not None:
            engine.resume()

    def abort(self) -> bool:
        """Stop the rail at once, and the shoot; False if none is going on."""
        engine = self._engine
        if engine is not None:
            engine.abort()
        return engine is not None

    def _run(
        self, shoot: Shoot, recipe: Recipe, rig: Rig, stored: Sequence[FrameRecord], enter: Callable[[], None] | None
    ) -> Published:
        began_s, self.begun = self._clock.monotonic_s(), False
        # Whoever has heard of the shoot may pause it: there must be something to be paused by then.
        self._engine = engine = Engine(
            rig.carriage, rig.camera, rig.camera_thread, spool=self._spool, journal=self._journal, listen=self._listen
        )
        self._listen(Started(shoot.shoot_id, shoot.name, len(shoot.positions_mm), shoot.source))
        if shoot.state is State.IDLE:
            self._journal.advance(shoot, State.PREFLIGHT)
        settings = {**self._config.camera.settings, **recipe.camera_settings}
        if settings:
            when_done(rig.camera_thread.submit(rig.camera.configure, settings)).result()
        if enter is not None:
            check_settings(when_done(rig.camera_thread.submit(rig.camera.configure, {})).result(), stored)
        if self._aborted.is_set():
            raise ShootAborted(f"shoot {shoot.shoot_id} was aborted before anything moved")
        there = {record.index for record in stored}
        missing_mm = [mm for index, mm in enumerate(shoot.positions_mm) if index not in there]
        alike = stored or self._journal.newest_frames(shoot.source)
        if alike:  # else the first frame tells
            size = sum(original.size_bytes for record in alike for original in record.originals)
            check_room(self._spool.root, frames_left=len(missing_mm), frame_bytes=size // len(alike))
        check_rail(rig.carriage, missing_mm, may_home=self._config.rail.home == "if_unknown")
        start_mm = rig.carriage.position_mm()
        place = self._stacks.place(shoot)
        with self._stacks.process(shoot, place, self._stacks.begin(shoot, place, in_mm=True)) as (process, left_out):
            if enter is not None:
                enter()
            else:
                self._journal.advance(shoot, State.SHOOTING)
            self.begun = True
            stacking_error = engine.run(shoot, process, left_out, stored=stored, settle_s=recipe.settle_s)
            shot_s = self._clock.monotonic_s() - began_s
            self._journal.advance(shoot, State.MERGING)
            self._listen(Merging())
            with OwnerThread("return") as returning:
                returned = returning.submit(copy_context().run, rig.carriage.go_to, start_mm)
                try:
                    if stacking_error is not None:
                        raise stacking_error
                    finished = process.finish(Finish(timings_s={"shooting": shot_s}))
                finally:
                    # The frames are shot: that the carriage stays where it is would be no reason to lose them.
                    if (error := when_done(returned, by=returning.pulse).exception()) is not None:
                        log.warning("rail.not_returned", error=str(error))
            return self._stacks.publish(shoot, place, finished, left_out.values())
