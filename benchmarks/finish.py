"""What is left to do after the last frame: from the fused planes of a large stack to a complete scratch folder.

`python benchmarks/finish.py [MEGAPIXELS]`
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np

from focusrail.model.outcome import FrameOutcome, StackOutcome
from focusrail.stacking.depth_map import DepthMap
from focusrail.stacking.focus_peak import PeakTracker
from focusrail.stacking.fusion import Fused
from focusrail.stacking.pipeline import Result
from focusrail.store.image_io import Metadata, encode_jpeg
from focusrail.store.outbound import Destination, prepare, publish
from focusrail.worker import results
from focusrail.worker.reduction import thumbnail
from focusrail.worker.scratch import Scratch
from focusrail_drivers.accelerators.cpu import CpuAccelerator

FRAMES = 20


def planes(height: int, width: int) -> tuple[Result, DepthMap]:
    rng = np.random.default_rng(1)
    image = cv2.resize(rng.integers(0, 255, (height // 4, width // 4, 3), np.uint8), (width, height))
    image = cv2.add(image, rng.integers(0, 8, image.shape, np.uint8))
    index = cv2.resize(rng.integers(0, FRAMES, (height // 8, width // 8), np.uint16), (width, height))
    fused = Fused(image, index)
    result = Result(fused, (0, 0, width, height), {}, PeakTracker(image[:8, :8], CpuAccelerator()))
    sure = np.ones(((height + 1) // 2, (width + 1) // 2), np.float32)
    return result, DepthMap(index * np.float32(0.05), 0.05, sure, (0, 0))


def outcome(height: int, width: int) -> StackOutcome:
    now = datetime.now(timezone.utc)
    frames = tuple(FrameOutcome(k, f"{k:06d}.jpg", 0.05 * k, now, used=True, sharpness=1.0) for k in range(FRAMES))
    return StackOutcome(
        shoot_id="benchmark", name="benchmark", specimen_id=None, version=1, source="", created_at=now,
        size_px=(width, height), bit_depth=8, depth_unit="mm", frames=frames, settings={}, timings_s={}, versions={},
        lateral_um_per_px=2.5,
    )  # fmt: skip


def resident_mb(which: str) -> float:
    with Path("/proc/self/status").open() as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(which)) / 1024


def main() -> None:
    megapixels = float(sys.argv[1]) if len(sys.argv) > 1 else 24.0
    width = round((megapixels * 1.5e6) ** 0.5)
    height = round(width / 1.5)
    cv2.setNumThreads(2)
    result, depth = planes(height, width)
    with tempfile.TemporaryDirectory() as parent:
        place = Destination(Path(parent, "result"), 1)
        prepare(place)
        (place.scratch / "thumbnails").mkdir()
        began_s = time.process_time()
        for frame in range(FRAMES):
            (place.scratch / "thumbnails" / f"{frame:06d}.jpg").write_bytes(encode_jpeg(thumbnail(result.fused.image)))
        print(f"thumbnail       {(time.process_time() - began_s) / FRAMES * 1000:6.1f} ms of a processor, each frame")
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before_mb = resident_mb("VmRSS")
        began_s, processor_s = time.monotonic(), time.process_time()
        said = outcome(height, width)
        with Scratch(place.scratch) as scratch:
            results.save_image(scratch, result, Metadata(), title="benchmark", um_per_px=2.5)
            results.save_index(scratch, result)
            results.save_contact_sheet(scratch, said.frames)
            results.save_depth(scratch, depth, title="benchmark", unit="mm", um_per_px=2.5)
            results.save_report(scratch, result, depth, said)
            durable_s = max(map(scratch.durable_s, ("result.jpg", "result.tif")))
        written_s = time.monotonic()
        publish(place)
        published_s = time.monotonic()
    print(f"picture durable {durable_s - began_s:6.2f} s")
    print(f"all written     {written_s - began_s:6.2f} s, {time.process_time() - processor_s:.2f} s of a processor")
    print(f"published       {published_s - began_s:6.2f} s")
    print(f"memory          {resident_mb('VmHWM') - before_mb:6.0f} MB more than the planes, at most")


if __name__ == "__main__":
    main()
