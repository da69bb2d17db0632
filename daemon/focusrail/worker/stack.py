"""One stack being made: the bookkeeping around the engine's arrays."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict, replace
from importlib.metadata import version
from itertools import count

import numpy as np
import numpy.typing as npt

import focusrail
from focusrail.errors import BadStart, FrameError, NotRegistered, TooFewFrames
from focusrail.model.frame import FrameRecord
from focusrail.model.outcome import FrameOutcome, StackOutcome
from focusrail.stacking import kernels
from focusrail.stacking.arrays import Image, Plane
from focusrail.stacking.canvas import Stripe
from focusrail.stacking.exposure import luma_gain
from focusrail.stacking.features import Found
from focusrail.stacking.pipeline import Examined, Registered, Result, Stacker, relative_to, smallest_field
from focusrail.stacking.resynthesis import SecondLook
from focusrail.store.image_io import Metadata
from focusrail.worker import doubts, results, suspects
from focusrail.worker.aligned import save_aligned
from focusrail.worker.debug import StageRecorder
from focusrail.worker.foresight import foresee
from focusrail.worker.live import LivePictures
from focusrail.worker.measuring import Measuring
from focusrail.worker.memory_free import hold_to, peak_bytes, resident_bytes
from focusrail.worker.memory_need import MemoryNeed
from focusrail.worker.messages import (
    Begin,
    Finish,
    Finished,
    Fused,
    LeftOut,
    Live,
    LookedAgain,
    Measures,
    Saved,
    Surveyed,
)
from focusrail.worker.planes import Planes
from focusrail.worker.scratch import Scratch
from focusrail.worker.slabs import SlabFiles
from focusrail.worker.survey import position_of, survey
from focusrail.worker.thumbnails import Thumbnails

_NAMED = 3  # frames that cannot be used, of those that an error names
_SHAKEN = "it is much less sharp than its neighbour in all places"
_UNWANTED = "it was asked for"


class Stack:
    """Folds frames, remembers what became of each, writes the results. One thread a method, but `leave_out`."""

    def __init__(
        self,
        begin: Begin,
        say: Callable[[object], None],
        *,
        executor: Executor,
        read: Callable[[FrameRecord], Image],
        threads: int = 1,
        memory_limit_mb: int | None = None,
    ) -> None:
        """`executor` has so many `threads`."""
        self.say = say
        self._begin, self._executor = begin, executor
        self._began_s = time.monotonic()
        self._lock = threading.Lock()
        self._places = {index: place for place, index in enumerate(begin.order)}
        self._outcomes = {  # by place, as `_records`
            self._place(record): replace(self._blank(record), reason=_UNWANTED, unwanted=True)
            for record in begin.unwanted
        }
        self._metadata: Metadata | None = None
        self._live = LivePictures(begin)
        self._recorder: StageRecorder | None = None
        self._reference = begin.survey[0].index if begin.survey else 0
        self._shape: tuple[int, ...] = ()
        self._depth = 8
        self._thumbnails = Thumbnails(begin.scratch / "thumbnails", begin.thumbnails)
        self._read = read
        self._records: dict[int, FrameRecord] = {}  # of the frames fused
        self._unregistered = 0  # frames that fit none before them
        self._gone: list[str] = []  # a sentence for each frame that could not be read a second time
        self._unfit: dict[int, str] = {}  # why frames could not be registered beforehand
        self._threads, self._memory_limit_mb, self._base_bytes = threads, memory_limit_mb, resident_bytes()
        self._planes: Planes | None = None  # as soon as it is known how large frames are
        self._need: MemoryNeed | None = None
        self._slabs = SlabFiles(begin.scratch) if begin.outputs.slab_frames else None
        self._fusing: int | None = None  # the frame that is being fused, or was the last to be
        self._lost_at: int | None = None  # the frame at which the accelerator was lost; None: before any, or never
        self._measuring = Measuring(begin.acceleration, tell=self._say_what_measures)
        known, reference = self._survey() if begin.survey else (None, None)
        self._stacker = Stacker(
            begin.method,
            accelerator=self._measuring,
            executor=executor,
            spectator=self._watch if begin.debug else None,
            known=known,
            reference=reference,
            slab=self._slabs.keep if self._slabs is not None else None,
            outputs=begin.outputs,
            allocate=self._plane,
        )

    @property
    def has_metadata(self) -> bool:
        """Whether a frame has given the results their metadata, so that those of others need not be read."""
        return self._metadata is not None

    def _place(self, record: FrameRecord) -> int:
        return self._places.get(record.index, record.index)

    def _survey(self) -> tuple[dict[int, Found], Image]:
        """Register all frames beforehand, and choose the reference. By place."""
        records, method = self._begin.survey, self._begin.method

        def look(record: FrameRecord) -> Image:
            frame = self._read(record)
            self._foresee(record, frame)
            return frame

        seen = survey(records, method.registration, look=look, seen=lambda record: self.say(Surveyed(record.index)))
        self._unfit = seen.unfit
        found = {self._place(r): seen.found[r.index] for r in records if r.index in seen.found}
        if method.reference == "auto":
            reference = smallest_field(found, seen.size)
        else:
            wanted = records[{"first": 0, "middle": len(records) // 2, "last": len(records) - 1}[method.reference]]
            reference = min(found, key=lambda place: abs(place - self._place(wanted)))
        record = next(r for r in records if self._place(r) == reference)
        self._reference = record.index
        return relative_to(found, reference), self._read(record)

    def examine(self, record: FrameRecord, image: Image) -> Examined:
        """See what can be seen in a frame alone, and save its thumbnail. Raises DiskFull, NotEnoughMemory."""
        self._foresee(record, image)
        self._thumbnails.save(record.index, image)
        return self._stacker.examine(image)

    def _foresee(self, record: FrameRecord, image: Image) -> None:
        """Refuse, before the first frame is worked on, what there is no room for. Raises DiskFull, NotEnoughMemory."""
        with self._lock:
            if self._planes is not None:
                return
            self._need, budget_bytes = foresee(
                self._begin, image, self.say,
                file_bytes=record.original.size_bytes, threads=self._threads, base_bytes=self._base_bytes,
                memory_limit_mb=self._memory_limit_mb,
            )  # fmt: skip
            self._planes = Planes(self._begin.scratch, budget_bytes=budget_bytes)
            if self._memory_limit_mb is not None:
                hold_to(self._memory_limit_mb << 20)

    def _plane(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Plane:
        assert self._planes is not None
        return self._planes(shape, dtype)

    def register(self, record: FrameRecord, examined: Examined, metadata: Metadata) -> Registered:
        """Find a frame's place. Raises FrameError with the file's name: the frame is left out.

        The first that has one gives the results their metadata and is the reference, unless a survey chose another.
        """
        try:
            registered = self._stacker.register(examined, self._place(record), position_of(record))
        except FrameError as error:
            why = self._unfit.get(record.index, str(error)) if isinstance(error, NotRegistered) else str(error)
            raise type(error)(f"{record.original.path.name} {why}") from error
        if not self._shape:
            image = examined.frame
            self._shape, self._depth, self._metadata = image.shape, image.dtype.itemsize * 8, metadata
            if not self._begin.survey:
                self._reference = record.index
        return registered

    def fuse(self, record: FrameRecord, registered: Registered, *, began_s: float) -> None:
        """Fold a frame in and tell."""
        if self._begin.debug and self._recorder is None:
            self._recorder = StageRecorder(self._begin.scratch / "debug", registered.frame.shape[0])
        self._fusing = record.index
        sharpness = self._stacker.fuse(registered)
        if self._recorder is not None:
            self._recorder.save(record.index)
        took_s = time.monotonic() - began_s
        found = registered.found
        outcome = replace(
            self._blank(record),
            used=True,
            transform=tuple(float(x) for x in found.transform.ravel()),
            matches=found.matches,
            inliers=found.inliers,
            residual_px=found.residual_px,
            gain=luma_gain(registered.gain),
            gain_bgr=registered.gain,
            sharpness=sharpness,
            took_s=took_s,
            predicted=found.predicted,
            suspect=_SHAKEN if found.shaken else "",
        )
        self._records[registered.index] = record
        with self._lock:
            self._outcomes[registered.index] = outcome
            used = sum(o.used for o in self._outcomes.values())
        self.say(Fused(record.index, found.inliers, took_s))
        if (live := self._live.renew(used, self._stacker)) is not None:
            self.say(Live(used, live))

    def leave_out(self, record: FrameRecord, error: FrameError) -> None:
        """Remember and tell that a frame cannot be used. From any thread."""
        with self._lock:
            self._outcomes[self._place(record)] = replace(self._blank(record), reason=str(error))
            self._unregistered += isinstance(error, NotRegistered)
        self.say(LeftOut(record.index, type(error).__name__, str(error)))

    def finish(self, command: Finish) -> None:
        """Write all results into the scratch folder and tell. Raises TooFewFrames."""
        began_s = time.monotonic()
        result = self._result()
        with Scratch(self._begin.scratch) as scratch:
            outcome = self._save(scratch, result, command, began_s=began_s)
        judgement = outcome.judgement
        self.say(
            Finished(
                size_px=outcome.size_px,
                frames_used=sum(f.used for f in outcome.frames),
                warnings=outcome.warnings,
                took_s=time.monotonic() - began_s,
                peak_memory_bytes=peak_bytes(),
                measured_by=outcome.measured_by,
                psnr_db=judgement.psnr_db if judgement else None,
                ssim=judgement.ssim if judgement else None,
            )
        )

    def _say_what_measures(self, by: str, lost: str) -> None:
        if lost:
            self._lost_at = self._fusing
        self.say(Measures(by, lost))

    def _result(self) -> Result:
        used = sum(o.used for o in self._outcomes.values())
        if self._begin.again and not self._begin.survey and self._unregistered >= max(2, used):
            raise BadStart(f"most frames fit none of those that the stack began with{self._why()}{self._stranger()}")
        try:
            result = self._stacker.finish(SecondLook(self._read_again, self._say_looked, self._miss))
        except TooFewFrames as error:
            raise TooFewFrames(f"{error}{self._why()}{self._stranger()}") from error
        del self._stacker  # its sums are the largest thing in memory, and are needed no more
        self._measuring.close()  # whoever comes next may need the device while this one writes
        return result

    def _why(self) -> str:
        reasons = [o.reason for o in self._outcomes.values() if o.reason and not o.unwanted]
        return f": {doubts.reasons_of(reasons, most=_NAMED)}" if reasons else ""

    def _stranger(self) -> str:
        """What to try where every frame but one has been left out: they may all fit each other, and not that one."""
        wanted = [outcome for outcome in self._outcomes.values() if not outcome.unwanted]
        used = [outcome for outcome in wanted if outcome.used]
        if len(used) != 1 or len(wanted) < 3:
            return ""
        return f"; if {used[0].file} is not of this stack, leave it out: --without {used[0].index}"

    def _read_again(self, place: int) -> Image:
        return self._read(self._records[place])

    def _say_looked(self, done: int, total: int) -> None:  # also tells the engine that we have not got stuck
        self.say(LookedAgain(done, total))

    def _miss(self, place: int, error: FrameError) -> None:
        self._gone.append(f"frame {self._records[place].index} is not in the picture, only in its depth: {error}")

    def _save(self, scratch: Scratch, result: Result, command: Finish, *, began_s: float) -> StackOutcome:
        begin, need, planes = self._begin, self._need, self._planes
        assert need is not None
        assert planes is not None
        height, width = result.fused.index.shape
        title = " ".join(filter(None, (begin.name, begin.specimen_id)))
        results.save_image(scratch, result, self._metadata or Metadata(), title=title, um_per_px=begin.um_per_px)
        odd = suspects.suspects([self._outcomes[k] for k in sorted(self._outcomes)])
        frames = tuple(
            replace(self._outcomes[k], won=result.won.get(k, 0.0), suspect=odd.get(self._outcomes[k].index, ""))
            for k in sorted(self._outcomes)
        )
        results.save_index(scratch, result)
        results.save_contact_sheet(scratch, frames)
        if self._recorder is not None:
            results.write_winners(scratch.folder, result)
        unreached = result.unreached()
        depth = result.depth(self._executor)
        results.save_depth(scratch, depth, title=title, unit=begin.depth_unit, um_per_px=begin.um_per_px)
        warnings = [
            *doubts.left_out(frames),
            *doubts.poor_fit(frames, begin.method.registration.model),
            *doubts.small_crop(width * height / (self._shape[0] * self._shape[1])),
            *doubts.lost_accelerator(self._measuring.lost, self._lost_at),
            *doubts.not_compiled(kernels.compiled()),
            *doubts.in_a_file(need.total_bytes, planes.file_bytes),
            *doubts.too_shallow(unreached, frames),
            *([suspects.warning(odd)] if odd else []),
            *self._gone,
        ]
        lost = self._save_more(scratch, result, frames, title=title)
        transforms = {f.index: np.array(f.transform).reshape(3, 3) for f in frames if f.used}
        judgement = (
            results.judge_by_truth(begin.truth, result, depth, transforms, self._reference) if begin.truth else None
        )
        saved_s = max(map(scratch.durable_s, ("result.jpg", "result.tif")))
        timings_s = {**command.timings_s, "stacking": began_s - self._began_s, "saving": saved_s - began_s}
        if begin.outputs.mesh:
            mesh_began_s = scratch.all_durable_s()  # whoever waits for the picture must not wait for the mesh
            if not results.save_mesh(
                scratch, result, depth,
                name=title, unit=begin.depth_unit, um_per_px=begin.um_per_px, far_is_high=begin.far_is_high,
            ):  # fmt: skip
                lost.append("no mesh was made: nowhere is the depth of a surface sure enough")
            timings_s["mesh"] = time.monotonic() - mesh_began_s
        outcome = StackOutcome(
            shoot_id=begin.shoot_id,
            name=begin.name,
            specimen_id=begin.specimen_id,
            version=begin.version,
            source=begin.source,
            created_at=begin.created_at,
            size_px=(width, height),
            bit_depth=self._depth,
            depth_unit=begin.depth_unit,
            frames=frames,
            settings=asdict(begin.method),
            measured_by=doubts.measured_by(begin.method, self._measuring.by),
            timings_s=timings_s,
            versions=_versions(),
            warnings=(*command.warnings, *warnings, *lost),
            unreached=tuple([f.index for f in frames if f.used][one.number] for one in unreached),
            lateral_um_per_px=begin.um_per_px,
            crop=result.crop,
            judgement=judgement,
            far_is_high=begin.far_is_high if begin.recipe is not None else None,  # nobody said it of a folder's frames
            recipe=asdict(begin.recipe) if begin.recipe is not None else {},
            needed_memory_bytes=need.total_bytes,
            peak_memory_bytes=peak_bytes(),  # so far: what is written cannot tell what writing it takes
        )
        results.save_report(scratch, result, depth, outcome)
        return outcome

    def _save_more(
        self, scratch: Scratch, result: Result, frames: tuple[FrameOutcome, ...], *, title: str
    ) -> list[str]:
        """What was asked for besides the results; a sentence for what of it is missing."""
        begin, slabs = self._begin, self._slabs
        used = [(self._records[f.place], f) for f in frames if f.used] if begin.outputs.aligned else []
        total = len(used) + (slabs.count if slabs is not None else 0)
        done = count(1)

        def saved() -> None:  # also tells the engine that we have not got stuck
            self.say(Saved(next(done), total))

        if slabs is not None:
            slabs.save(scratch, result.crop, title=title, um_per_px=begin.um_per_px, saved=saved)
        if not begin.outputs.aligned:
            return []
        return save_aligned(
            scratch, used, result, begin.method,
            read=self._read, executor=self._executor, title=title, um_per_px=begin.um_per_px, saved=saved,
        )  # fmt: skip

    def _blank(self, record: FrameRecord) -> FrameOutcome:
        return FrameOutcome(
            index=record.index,
            file=record.original.path.name,
            position_mm=record.position_mm,
            exposed_at=record.exposed_at,
            used=False,
            placed=self._place(record),
        )

    def _watch(self, stage: str, index: int, stripe: Stripe, plane: Plane) -> None:
        assert self._recorder is not None
        self._recorder(stage, index, stripe, plane)


def _versions() -> dict[str, str]:
    names = ("numpy", "opencv-contrib-python", "simplejpeg", "tifffile")
    return {
        "focusrail": focusrail.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in names},
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
    }
