"""Memory does not grow with the number of frames. FOCUSRAIL_MEMORY_FRAMES=300 tries a long stack."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import pytest

from focusrail.model.method import Method, Registration
from focusrail.model.outputs import Outputs
from focusrail.service import Service
from peers.small_rig import photograph, small_rig

METHOD = Method(registration=Registration(detector="orb"))  # is quicker; fusion, which holds the memory, is the same
FEW, MANY = 20, int(os.environ.get("FOCUSRAIL_MEMORY_FRAMES", "60"))


def megapixels(source: Path, folder: Path, count: int) -> Path:
    """So many frames of three quarters of a megapixel: there and back through a stack, again and again."""
    folder.mkdir()
    pictures = [photograph(path) for path in sorted(source.iterdir())]
    there_and_back = pictures + pictures[::-1]
    for index in range(count):
        large = cv2.resize(there_and_back[index % len(there_and_back)], (1050, 700), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{index:03d}.jpg"), large)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(60 + 3 * MANY)
@pytest.mark.parametrize(
    "outputs", [Outputs(), Outputs(aligned=True, slab_frames=6, slab_overlap=2)], ids=["plain", "aligned and slabs"]
)
def test_stacking_takes_no_more_memory_for_more_frames(tmp_path: Path, photographs: Path, outputs: Outputs) -> None:
    """At its peak, as the kernel counts it."""
    service = Service(small_rig(tmp_path / "data"))
    peaks = []
    for frames in (FEW, MANY):
        folder = megapixels(photographs, tmp_path / str(frames), frames)
        twice = [service.stack_folder(folder, method=METHOD, outputs=outputs)[1].finished for _ in range(2)]
        assert all(finished.frames_used == frames for finished in twice)
        # Which threads stand where at the peak is chance; what is needed is the smaller.
        peaks.append(min(finished.peak_memory_bytes for finished in twice))
    service.close()
    few, many = peaks
    assert many < few * 1.03, f"{few / 1e6:.1f} MB for {FEW} frames, {many / 1e6:.1f} MB for {MANY}"
