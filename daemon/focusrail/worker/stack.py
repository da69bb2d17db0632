"""One stack being made: the bookkeeping around the engine's arrays."""

from __future__ import annotations

import os
import platform
import resource
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict, replace
from importlib.metadata import version

import numpy as np

import focusrail
from focusrail.errors import FrameError, TooFewFrames
from focusrail.model.frame import FrameRecord
from focusrail.model.method import Method
from focusrail.model.outcome import FrameOutcome, StackOutcome
from focusrail.stacking.arrays import Image, Plane
from focusrail.stacking.canvas import Stripe
from focusrail.stacking.focus_measure import luma8
from focusrail.stacking.pipeline import Examined, Registered, Result, Stacker, relative_to
from focusrail.stacking.registration import Found, Registrar, detect
from focusrail.store.image_io import Metadata, encode_jpeg
from focusrail.worker import results
from focusrail.worker.debug import StageRecorder
from focusrail.worker.messages import Begin, Finish, Finished, Fused, LeftOut, Live, Surveyed
from focusrail.worker.reduction import thumbnail
from focusrail.worker.scratch import Scratch
from focusrail_drivers.accelerators.cpu import CpuAccelerator

_LIVE_PX = 1200
_NAMED = 3  # frames that cannot be used, of those that an error names
_SMALL_CROP = 0.6  # of the canvas; less is worth a warning


class Stack:
    """Folds frames, remembers what became of each, writes the results. One thread a method, but `leave_out`."""

    def __init__(
        self, begin: Begin, say: Callable[[object], None], *, executor: Executor, read: Callable[[FrameRecord], Image]
    ) -> None:
        self.say = say
        self._begin, self._executor = begin, executor
        self._began_s = time.monotonic()
        self._lock = threading.Lock()
        self._outcomes: dict[int, FrameOutcome] = {}
        self._metadata: Metadata | None = None
        self._live = begin.live  # None as soon as it cannot be written
        self._recorder: StageRecorder | None = None
        self._reference = begin.survey[0].index if begin.survey else 0
        self._shape: tuple[int, ...] = ()
        self._depth = 8
        self._thumbnails = begin.scratch / "thumbnails"
        self._thumbnails.mkdir(exist_ok=True)
        known, reference = self._survey(read) if begin.survey else (None, None)
        self._stacker = Stacker(
            begin.method,
            accelerator=CpuAccelerator(),
            executor=executor,
            spectator=self._watch if begin.debug else None,
            known=known,
            reference=reference,
        )

    @property
    def has_metadata(self) -> bool:
        """Whether a frame has given the results their metadata, so that those of others need not be read."""
        return self._metadata is not None

    def _survey(self, read: Callable[[FrameRecord], Image]) -> tuple[dict[int, Found], Image]:
        """Register all frames beforehand, since the reference is not the first of them."""
        registrar = Registrar(self._begin.method.registration)
        found: dict[int, Found] = {}
        size: tuple[int, ...] | None = None
        for record in self._begin.survey:
            try:
                frame = read(record)
                if size is None or frame.shape == size:  # others are named, and left out, when they are to be fused
                    size = frame.shape
                    found[record.index] = registrar.add(detect(luma8(frame), self._begin.method.registration))
            except FrameError:
                pass  # likewise
            self.say(Surveyed(record.index))
        if not found:
            raise TooFewFrames("none of the frames can be read")
        wanted = self._begin.survey[_place(self._begin.method, len(self._begin.survey))].index
        self._reference = min(found, key=lambda index: abs(index - wanted))
        record = next(r for r in self._begin.survey if r.index == self._reference)
        return relative_to(found, self._reference), read(record)

    def examine(self, record: FrameRecord, image: Image) -> Examined:
        """See what can be seen in a frame alone, and save its thumbnail."""
        small = encode_jpeg(thumbnail(image), quality=85)
        (self._thumbnails / f"{record.index:06d}.jpg").write_bytes(small)
        return self._stacker.examine(image)

    def register(self, record: FrameRecord, examined: Examined, metadata: Metadata) -> Registered:
        """Find a frame's place. Raises FrameError with the file's name: the frame is left out.

        The first that has one gives the results their metadata and is the reference, unless a survey chose another.
        """
        position = float(record.index) if record.position_mm is None else record.position_mm
        try:
            registered = self._stacker.register(examined, record.index, position)
        except FrameError as error:
            raise type(error)(f"{record.original.path.name} {error}") from error
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
            gain=registered.gain,
            sharpness=sharpness,
            took_s=took_s,
        )
        with self._lock:
            self._outcomes[record.index] = outcome
            used = sum(o.used for o in self._outcomes.values())
        self.say(Fused(record.index, found.inliers, took_s))
        begin = self._begin
        if self._live is not None and begin.live_every and used % begin.live_every == 0:
            self._renew_live(used)

    def leave_out(self, record: FrameRecord, error: FrameError) -> None:
        """Remember and tell that a frame cannot be used. From any thread."""
        with self._lock:
            self._outcomes[record.index] = replace(self._blank(record), reason=str(error))
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
                peak_memory_bytes=_peak_memory_bytes(),
                psnr_db=judgement.psnr_db if judgement else None,
                ssim=judgement.ssim if judgement else None,
            )
        )

    def _result(self) -> Result:
        try:
            result = self._stacker.finish()
        except TooFewFrames as error:
            reasons = [o.reason for o in self._outcomes.values() if o.reason]
            more = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
            why = ": " + "; ".join(reasons[:_NAMED]) + more if reasons else ""
            raise TooFewFrames(f"{error}{why}") from error
        del self._stacker  # its sums are the largest thing in memory, and are needed no more
        return result

    def _save(self, scratch: Scratch, result: Result, command: Finish, *, began_s: float) -> StackOutcome:
        begin = self._begin
        title = " ".join(filter(None, (begin.name, begin.specimen_id)))
        results.save_image(scratch, result, self._metadata or Metadata(), title=title, um_per_px=begin.um_per_px)
        frames = tuple(replace(self._outcomes[k], won=result.won.get(k, 0.0)) for k in sorted(self._outcomes))
        results.save_contact_sheet(scratch, frames)
        if self._recorder is not None:
            results.write_winners(scratch.folder, result)
        depth = result.depth(self._executor)
        results.save_planes(scratch, result, depth, title=title, unit=begin.depth_unit, um_per_px=begin.um_per_px)
        transforms = {f.index: np.array(f.transform).reshape(3, 3) for f in frames if f.used}
        judgement = (
            results.judge_by_truth(begin.truth, result, depth, transforms, self._reference) if begin.truth else None
        )
        height, width = result.fused.index.shape
        saved_s = max(map(scratch.durable_s, ("result.jpg", "result.tif")))
        timings_s = {**command.timings_s, "stacking": began_s - self._began_s, "saving": saved_s - began_s}
        warnings = [*command.warnings, *self._warnings(frames, width * height)]
        if begin.mesh:
            mesh_began_s = scratch.all_durable_s()  # whoever waits for the picture must not wait for the mesh
            made = results.save_mesh(
                scratch, result, depth,
                name=title, unit=begin.depth_unit, um_per_px=begin.um_per_px, far_is_high=begin.far_is_high,
            )  # fmt: skip
            timings_s["mesh"] = time.monotonic() - mesh_began_s
            if not made:
                warnings.append("no mesh was made: nowhere is the depth of a surface sure enough")
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
            timings_s=timings_s,
            versions=_versions(),
            warnings=tuple(warnings),
            lateral_um_per_px=begin.um_per_px,
            crop=result.crop,
            judgement=judgement,
            far_is_high=begin.far_is_high if begin.recipe is not None else None,  # nobody said it of a folder's frames
            recipe=asdict(begin.recipe) if begin.recipe is not None else {},
            peak_memory_bytes=_peak_memory_bytes(),  # so far: what is written cannot tell what writing it takes
        )
        results.save_report(scratch, result, depth, outcome)
        return outcome

    def _warnings(self, frames: tuple[FrameOutcome, ...], result_pixels: int) -> list[str]:
        said = []
        left_out = [f for f in frames if not f.used]
        if left_out:
            said.append(
                f"{len(left_out)} of {len(frames)} frames were left out: {'; '.join(f.reason for f in left_out)}"
            )
        share = result_pixels / (self._shape[0] * self._shape[1])
        if share < _SMALL_CROP:
            said.append(
                f"only {share:.0%} of the frame is covered by all frames: another reference frame may keep more"
            )
        return said

    def _blank(self, record: FrameRecord) -> FrameOutcome:
        return FrameOutcome(
            index=record.index,
            file=record.original.path.name,
            position_mm=record.position_mm,
            exposed_at=record.exposed_at,
            used=False,
        )

    def _renew_live(self, used: int) -> None:
        path = self._live
        image = self._stacker.glance(longest_px=_LIVE_PX)
        if path is None or image is None:
            return
        scratch = path.with_name(f".{path.name}.partial")
        try:
            scratch.write_bytes(encode_jpeg(image, quality=85))
            scratch.replace(path)
        except OSError:  # it is only for people to look at meanwhile: no stack ends for it
            self._live = None
            return
        self.say(Live(used, path))

    def _watch(self, stage: str, index: int, stripe: Stripe, plane: Plane) -> None:
        assert self._recorder is not None
        self._recorder(stage, index, stripe, plane)


def _place(method: Method, frames: int) -> int:
    return {"first": 0, "middle": frames // 2, "last": frames - 1}[method.reference]


def _peak_memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _versions() -> dict[str, str]:
    names = ("numpy", "opencv-contrib-python", "simplejpeg", "tifffile")
    return {
        "focusrail": focusrail.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in names},
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
    }
