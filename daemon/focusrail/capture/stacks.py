"""Stacks: a stacking process from its first frame to what is published."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from focusrail.capture.begin import begin
from focusrail.capture.events import Merging, Published, Started
from focusrail.capture.found import found
from focusrail.config.schema import Config
from focusrail.errors import BadStart, FocusrailError, FrameError, ShootAborted, TooFewFrames, by_name
from focusrail.model.frame import FrameRecord
from focusrail.model.shoot import ENDED, Shoot, State
from focusrail.store.folder import record_of
from focusrail.store.journal import Journal
from focusrail.store.outbound import (
    Destination,
    chosen,
    destination,
    discard,
    held,
    publish,
    remove_abandoned,
    versioned,
)
from focusrail.store.spool import Spool
from focusrail.worker.client import StackingProcess
from focusrail.worker.messages import Begin, Finish, Finished, LeftOut, Measures, Memory
from focusrail_drivers.clock import Clock

log = structlog.get_logger(__name__)


class Stacks:
    """Makes stacks, one at a time. `abort` from any thread."""

    def __init__(
        self,
        config: Config,
        *,
        journal: Journal,
        spool: Spool,
        clock: Clock,
        aborted: threading.Event,
        listen: Callable[[object], None],
    ) -> None:
        """Once `aborted` is set, none begins."""
        self._config, self._store = config, config.store
        self._journal, self._spool, self._clock = journal, spool, clock
        self._aborted, self._listen = aborted, listen
        self._process: StackingProcess | None = None

    def abort(self) -> None:
        """End the stacking process, if there is one. From any thread, any number of times."""
        if (process := self._process) is not None:
            process.abort()

    def make(
        self, shoot: Shoot, place: Destination, records: Iterator[FrameRecord | LeftOut], told: Begin
    ) -> Published:
        """Stack `records` and publish the result. Raises FocusrailError.

        Where most of them fit none of the first, all are registered from the middle outwards, and stacked once more.
        """
        if shoot.state in ENDED:  # and stays so until its next version is there: nothing is left to be gone on with
            shoot.advance(State.MERGING)
        else:
            self._journal.advance(shoot, State.MERGING)
        if shoot.method.reference != "first":
            return self._make(shoot, place, list(records), told, survey=True)
        given: list[FrameRecord | LeftOut] = []
        try:
            return self._make(shoot, place, _noted(records, given), replace(told, again=True))
        except BadStart as error:
            log.warning("stack.begun_again", why=str(error))
            try:
                return self._make(shoot, place, given, told, survey=True)
            except TooFewFrames:
                raise error from None  # they do not fit each other either

    def _make(
        self,
        shoot: Shoot,
        place: Destination,
        records: Iterable[FrameRecord | LeftOut],
        told: Begin,
        *,
        survey: bool = False,
    ) -> Published:
        began_s = time.monotonic()
        self._listen(Started(shoot.shoot_id, shoot.name, told.frames, shoot.source))
        unread: list[LeftOut] = []
        if survey:
            told = replace(told, survey=tuple(r for r in records if isinstance(r, FrameRecord)))
        with self.process(shoot, place, told) as (process, left_out):
            for record in records:
                if isinstance(record, LeftOut):
                    unread.append(record)
                    self._listen(record)
                else:
                    process.submit(record)
            self._listen(Merging())
            warnings = tuple(event.message for event in unread)
            finished = process.finish(Finish(warnings=warnings, timings_s={"reading": time.monotonic() - began_s}))
            left_out.update((event.index, by_name(event.error, event.message)) for event in unread)
            without = [record.index for record in told.unwanted]
            return self.publish(shoot, place, finished, left_out.values(), without=without)

    def enter(
        self, shoot: Shoot, photographs: Sequence[Path], step_mm: float | None, indices: Iterable[int]
    ) -> Iterator[FrameRecord | LeftOut]:
        """Journal photographs of a folder, those at `indices`, as the frames of a shoot that they are."""
        for index in indices:
            try:
                position_mm = None if step_mm is None else index * step_mm
                record = record_of(shoot.shoot_id, index, photographs[index], position_mm=position_mm)
            except FrameError as error:
                yield LeftOut(index, type(error).__name__, str(error))
                continue
            self._journal.add_frame(record)
            yield record

    def begin(self, shoot: Shoot, place: Destination, **more: Any) -> Begin:
        """What a stacking process is told first; `more` as of capture.begin."""
        return begin(shoot, place, self._config, self._spool.folder(shoot.shoot_id), **more)

    @contextmanager
    def process(
        self, shoot: Shoot, place: Destination, told: Begin
    ) -> Iterator[tuple[StackingProcess, dict[int, FocusrailError]]]:
        """A stacking process, ended and cleaned up after whatever happens; and why frames were left out, by index."""
        left_out: dict[int, FocusrailError] = {}

        def listen(event: object) -> None:
            if isinstance(event, LeftOut):
                left_out[event.index] = by_name(event.error, event.message)
                log.warning("frame.left_out", frame_index=event.index, reason=event.message)
            elif isinstance(event, Memory):
                log.info(
                    "memory.foreseen",
                    needed_bytes=event.needed_bytes, usable_bytes=event.usable_bytes, in_file_bytes=event.in_file_bytes,
                )  # fmt: skip
            elif isinstance(event, Measures) and event.lost:
                log.warning("accelerator.lost", reason=event.lost, measures=event.by)
            elif isinstance(event, Measures):
                log.info("accelerator.opened", measures=event.by)
            self._listen(event)

        for scratch in remove_abandoned(place.folder.parent):
            log.info("scratch.removed", folder=str(scratch))
        stacking = self._config.stacking
        with held(place):
            process = StackingProcess(
                told,
                place,
                in_flight_bytes=stacking.in_flight_mb << 20,
                memory_limit_mb=stacking.memory_limit_mb,
                listen=listen,
            )
            self._process = process
            try:
                if self._aborted.is_set():  # before there was a process to end
                    raise ShootAborted(f"shoot {shoot.shoot_id} was aborted")
                yield process, left_out
            finally:
                self._process = None
                process.close()
                discard(place)

    def publish(
        self,
        shoot: Shoot,
        place: Destination,
        finished: Finished,
        left_out: Iterable[FocusrailError],
        *,
        without: Sequence[int] = (),
    ) -> Published:
        """Move results to their place. Raises DiskFull, StoreNotWritable."""
        publish(place)
        return self._entered(shoot, place, finished, left_out, without=without)

    def adopt(self, shoot: Shoot, records: Sequence[FrameRecord]) -> Published | None:
        """Journal the next version of a shoot if it lies in its place already, made of these frames."""
        version, name = self._following(shoot), self._name(shoot)
        folder = versioned(self._store.outbound_folder, name, version).absolute()
        merged = shoot.state in (State.MERGING, State.ABORTED)  # the latter in the moment that it became visible
        told = found(folder, shoot, records, version=version) if merged else None
        if told is None:
            return None
        if shoot.state is State.ABORTED:
            self._journal.advance(shoot, State.MERGING)
        return self._entered(shoot, Destination(folder, version), *told)

    def _entered(
        self,
        shoot: Shoot,
        place: Destination,
        finished: Finished,
        left_out: Iterable[FocusrailError],
        *,
        without: Sequence[int] = (),
    ) -> Published:
        self._journal.publish(
            shoot, place.version, place.folder, self._clock.utc(), without=without, measured_by=finished.measured_by
        )
        log.info("shoot.published", version=place.version, folder=str(place.folder))
        done = Published(shoot.shoot_id, place.version, place.folder, finished, tuple(left_out))
        self._listen(done)
        return done

    def place(self, shoot: Shoot, out: Path | None = None) -> Destination:
        """Where the next version of a shoot will lie: in the outbound folder, or where the user says."""
        following = self._following(shoot)
        if out is not None:
            return replace(chosen(out.absolute(), shoot.name, at_least=following), owner=shoot.shoot_id)
        name = self._name(shoot)
        return replace(destination(self._store.outbound_folder, name, at_least=following), owner=shoot.shoot_id)

    def _following(self, shoot: Shoot) -> int:
        return max((version for version, _ in self._journal.publications(shoot.shoot_id)), default=0) + 1

    def _name(self, shoot: Shoot) -> str:
        return self._store.folder_name(
            shoot_id=shoot.shoot_id, name=shoot.name, specimen_id=shoot.specimen_id, created_at=shoot.created_at
        )


def _noted(
    records: Iterator[FrameRecord | LeftOut], given: list[FrameRecord | LeftOut]
) -> Iterator[FrameRecord | LeftOut]:
    for record in records:
        given.append(record)
        yield record
