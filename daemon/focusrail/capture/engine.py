"""The engine runs a plan: move, settle, expose, and while the camera delivers, move on.

A frame counts once its original is durable and the journal says so. Pause and abort take effect at step boundaries,
a halt at once. A camera fault is tried again at the same place before it ends the shoot.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

import structlog

from focusrail.capture.carriage import Carriage
from focusrail.capture.events import FrameStored, Paused
from focusrail.capture.preflight import check_room
from focusrail.capture.truth import save_true_transform, save_truth
from focusrail.errors import FocusrailError, FrameSizeDiffers, ShootAborted
from focusrail.model.frame import FrameRecord
from focusrail.model.shoot import Shoot, State
from focusrail.store.journal import Journal
from focusrail.store.spool import Spool
from focusrail.worker.client import StackingProcess
from focusrail_drivers.base import Camera, CaptureFailed, DeviceTimeout, Exposure, Halted, TruthfulCamera
from focusrail_drivers.pulse import wait_for, when_done

log = structlog.get_logger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")
_ATTEMPTS = 3  # at one frame
_OTHER_SIZES = 2  # frames of another size: a single one may be damaged


class Engine:
    """Runs shoots on one rig. `run` in one thread; `pause`, `resume` and `abort` from any."""

    def __init__(
        self,
        carriage: Carriage,
        camera: Camera,
        camera_thread: ThreadPoolExecutor,
        *,
        spool: Spool,
        journal: Journal,
        listen: Callable[[object], None] = lambda _: None,
    ) -> None:
        """`camera_thread` has one thread, which makes all calls to the camera."""
        self._carriage, self._camera, self._camera_thread = carriage, camera, camera_thread
        self._spool, self._journal, self._listen = spool, journal, listen
        self._aborting = threading.Event()
        self._going = threading.Event()
        self._going.set()

    def run(
        self,
        shoot: Shoot,
        process: StackingProcess,
        left_out: Mapping[int, FocusrailError] | None = None,
        *,
        stored: Sequence[FrameRecord] = (),
        settle_s: float | None = None,
    ) -> FocusrailError | None:
        """Make all frames of a shoot, in the order of the stack, but for those `stored` already, which are handed over.

        `left_out` grows while the process works: frames that it could not use, by index.
        Returns None, or the error that ended stacking meanwhile: the frames are all safe then, too.
        Raises ShootAborted, DriverError, DiskFull, StoreNotWritable: what was stored before is safe.
        """
        known = {record.index: record for record in stored}
        truth, to_shoot = self._spool.folder(shoot.shoot_id) / "truth", len(shoot.positions_mm) - len(known)
        run = _Run(shoot, process, truth, to_shoot, {} if left_out is None else left_out)
        if isinstance(self._camera, TruthfulCamera) and not known:
            when_done(self._in_camera_thread(save_truth, self._camera, run.truth)).result()
        pending: Future[None] | None = None
        last = 0  # the frame that is pending
        try:
            for index in shoot.order:
                if index in known:
                    self._collect(run, pending, last, settle_s)
                    pending = None
                    self._listen(
                        FrameStored(index, len(shoot.positions_mm), known[index].position_mm or 0.0, before=True)
                    )
                    run.submit(known[index])
                    continue
                self._wait_if_paused(shoot)
                run.check_sizes()
                position_mm = self._move(run, index, settle_s)
                self._collect(run, pending, last, settle_s, following=index)
                pending, last = self._shoot_frame(run, index, position_mm), index
            self._collect(run, pending, last, settle_s)
        except Halted as error:
            if not self._aborting.is_set():
                raise
            self._rescue(pending)
            raise ShootAborted(f"shoot {shoot.shoot_id} was aborted") from error
        except BaseException:
            self._rescue(pending)
            if run.in_vain:
                self._journal.drop_frames(shoot.shoot_id, run.in_vain)
            raise
        return run.stacking_error

    def pause(self) -> None:
        """Wait before the next frame."""
        self._going.clear()

    def resume(self) -> None:
        """Go on."""
        self._going.set()

    def abort(self) -> None:
        """Stop the rail at once and end the shoot; the exposure in hand is stored."""
        self._aborting.set()
        self._going.set()
        self._carriage.halt()

    def _wait_if_paused(self, shoot: Shoot) -> None:
        if not self._going.is_set():
            self._journal.advance(shoot, State.PAUSED)
            self._listen(Paused(True))
            wait_for(self._going)
            if not self._aborting.is_set():
                self._journal.advance(shoot, State.SHOOTING)
                self._listen(Paused(False))
        if self._aborting.is_set():
            raise Halted("the shoot was aborted")

    def _move(self, run: _Run, index: int, settle_s: float | None) -> float:
        position_mm = self._carriage.move_to(run.shoot.positions_mm[index])
        self._carriage.settle(settle_s)
        return position_mm

    def _shoot_frame(self, run: _Run, index: int, position_mm: float) -> Future[None]:
        """Expose; return the delivery under way. The rail may move from now on."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                exposure = when_done(self._in_camera_thread(self._camera.expose, index)).result()
                break
            except (CaptureFailed, DeviceTimeout) as error:
                log.warning("frame.failed", frame_index=index, attempt=attempt, error=str(error))
                if attempt == _ATTEMPTS or self._aborting.is_set():
                    raise
        return self._in_camera_thread(self._deliver, run, exposure, position_mm)

    def _collect(
        self,
        run: _Run,
        pending: Future[None] | None,
        index: int,
        settle_s: float | None,
        *,
        following: int | None = None,
    ) -> None:
        """Wait until a frame is stored; when it was not delivered, go back to its place and make it again.

        Then go on to the `following` one.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            if pending is None:
                return
            try:
                when_done(pending).result()
                break
            except (CaptureFailed, DeviceTimeout) as error:
                log.warning("frame.failed", frame_index=index, attempt=attempt, error=str(error))
                if attempt == _ATTEMPTS or self._aborting.is_set():
                    raise
            pending = self._shoot_frame(run, index, self._move(run, index, settle_s))
            when_done(pending)  # stand still until it is known whether it came
            if following is not None:
                self._move(run, following, settle_s)

    def _deliver(self, run: _Run, exposure: Exposure, position_mm: float) -> None:
        """In the camera's thread: fetch, make durable, count, hand over; while that is full the shutter waits."""
        shoot, index = run.shoot, exposure.frame_index
        photographs = self._camera.deliver(exposure)
        originals = self._spool.store(shoot.shoot_id, index, photographs)
        if isinstance(self._camera, TruthfulCamera):
            save_true_transform(self._camera, exposure, run.truth)
        record = FrameRecord(
            shoot.shoot_id, index, position_mm, exposure.ended_at, originals, dict(photographs[0].settings)
        )
        self._journal.add_frame(record)
        total = len(shoot.positions_mm)
        run.to_shoot -= 1
        run.made.append(index)
        log.info("frame.stored", frame_index=index, position_mm=position_mm, bytes=sum(o.size_bytes for o in originals))
        self._listen(FrameStored(index, total, position_mm))
        if run.first:
            run.first = False
            size = sum(o.size_bytes for o in originals)
            check_room(self._spool.root, frames_left=run.to_shoot, frame_bytes=size)
        run.submit(record)

    def _in_camera_thread(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """With what is bound to the log here: it does not cross to another thread by itself."""
        context = copy_context()
        return self._camera_thread.submit(lambda: context.run(call, *args, **kwargs))

    def _rescue(self, pending: Future[None] | None) -> None:
        """Let an exposure that has been made be stored, whatever ended the shoot."""
        if pending is not None and (error := when_done(pending).exception()) is not None:
            log.warning("frame.lost", error=str(error))


@dataclass
class _Run:
    """One run of the engine."""

    shoot: Shoot
    process: StackingProcess
    truth: Path
    to_shoot: int  # frames that are not stored yet
    left_out: Mapping[int, FocusrailError]
    made: list[int] = field(default_factory=list)
    first_other: int | None = None  # frame of another size
    stacking_error: FocusrailError | None = None
    first: bool = True  # no frame has been made yet: nothing is known of their size

    def check_sizes(self) -> None:
        """More frames would be in vain where those of this run have another size. Raises CaptureFailed."""
        other = [index for index in self.made if isinstance(self.left_out.get(index), FrameSizeDiffers)]
        if len(other) >= _OTHER_SIZES:
            self.first_other = other[0]
            named = ", ".join(map(str, other))
            raise CaptureFailed(
                f"frames {named} are of another size than the first: set the camera as it was; they are shot anew then"
            )

    @property
    def in_vain(self) -> list[int]:
        """The frames from the first on that was of another size; the newest may not have been looked at yet."""
        return [] if self.first_other is None else self.made[self.made.index(self.first_other) :]

    def submit(self, record: FrameRecord) -> None:
        """Hand a stored frame over; when stacking has failed the shoot goes on: frames can be stacked later."""
        if self.stacking_error is not None:
            return
        try:
            self.process.submit(record)
        except ShootAborted as error:
            self.stacking_error = error
        except FocusrailError as error:
            self.stacking_error = error
            log.error("stacking.failed", error=str(error))
