"""Memory: it does not grow with the number of frames, and what is needed is told before.

FOCUSRAIL_MEMORY_FRAMES=300 tries a long stack.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from focusrail.model.method import FUSIONS, Method, Registration
from focusrail.model.outputs import Outputs
from focusrail.service import Service
from focusrail.store.image_io import Metadata, write_tiff
from focusrail.worker.messages import Fused, Memory
from peers.small_rig import Home, manifest, photograph, published, small_rig

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
    folders = {frames: megapixels(photographs, tmp_path / str(frames), frames) for frames in (FEW, MANY)}

    def peak_bytes(frames: int) -> int:
        finished = service.stack_folder(folders[frames], method=METHOD, outputs=outputs)[1].finished
        assert finished.frames_used == frames
        return finished.peak_memory_bytes

    # Which threads stand where at the peak is chance; what is needed is the smallest of several.
    few = min(peak_bytes(FEW) for _ in range(2))
    several: list[int] = []
    while len(several) < 4 and not any(many < few * 1.03 for many in several):
        several.append(peak_bytes(MANY))
    service.close()
    assert min(several) < few * 1.03, f"{few / 1e6:.1f} MB for {FEW} frames, {min(several) / 1e6:.1f} MB for {MANY}"


# At 6 megapixels, since in small frames what all stacks have in common hides what a method takes.
@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("fusion", "suffix"), [("bands", "jpg"), ("bands", "tif"), ("lob", "jpg"), ("pyramid", "jpg"), ("depthmap", "tif")]
)
def test_the_memory_that_is_foreseen_is_what_stacking_takes(
    tmp_path: Path, photographs: Path, fusion: str, suffix: str
) -> None:
    folder = tmp_path / "six"
    folder.mkdir()
    for index, path in enumerate(sorted(photographs.iterdir())):
        large = cv2.resize(photograph(path), (3000, 2000), interpolation=cv2.INTER_CUBIC)
        if suffix == "tif":
            write_tiff(folder / f"{index}.tif", large.astype(np.uint16) * 257, Metadata(), description="")
        else:
            cv2.imwrite(str(folder / f"{index}.jpg"), large)
    heard: list[object] = []
    service = Service(small_rig(tmp_path / "data", stacking={"threads": 2}), listen=heard.append)
    peaks = []
    for _ in range(2):  # which threads stand where at the peak is chance
        _, done = service.stack_folder(folder, method=Method(fusion=fusion))
        peaks.append(done.finished.peak_memory_bytes)
        foreseen = next(event for event in heard if isinstance(event, Memory))
        if foreseen.needed_bytes == pytest.approx(peaks[-1], rel=0.12):
            break
    else:
        pytest.fail(f"foreseen were {foreseen.needed_bytes / 1e6:.0f} MB, taken {[p / 1e6 for p in peaks]}")
    service.close()
    assert foreseen.in_file_bytes == 0
    kinds = [type(event) for event in heard]
    assert kinds.index(Memory) < kinds.index(Fused), "before the first frame is fused"
    page = manifest(done.folder)
    assert page["needed_memory_bytes"] == foreseen.needed_bytes
    assert "GB were foreseen" in (done.folder / "report.html").read_text()


@pytest.mark.parametrize(("disk_mb", "code"), [(900, 0), (205, 28)])
def test_what_memory_does_not_hold_lies_in_a_file_or_is_refused_with_what_to_do(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch, disk_mb: int, code: int
) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    for index, path in enumerate(sorted(photographs.iterdir())[:3]):
        large = cv2.resize(photograph(path), (4500, 3000), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{index}.jpg"), large)
    # What libraries take, and a limit counts, differs: just above the least, not all planes have room in memory.
    refused = Home(tmp_path, stacking={"memory_limit_mb": 300, "threads": 2}).run_here("stack", folder)
    least = re.search(r"raise stacking\.memory_limit_mb to (\d+)", refused.sentences[-1])
    assert least
    home = Home(tmp_path, stacking={"memory_limit_mb": int(least[1]) + 20, "threads": 2})
    # The stacking process looks at the disk by itself: it is given another answer by its own sitecustomize.
    (home.folder / "sitecustomize.py").write_text(
        "import collections, shutil\n"
        "usage = collections.namedtuple('usage', 'total used free')\n"
        f"shutil.disk_usage = lambda path: usage(0, 0, {disk_mb} << 20)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(home.folder), os.environ.get("PYTHONPATH", "")]))
    said = home.run_here("stack", folder)
    assert said.code == code
    if code:
        assert re.search(
            r"stacking frames of 4500 x 3000 px needs 0\.\d\d GB of memory, 0\.\d\d GB of it even with a "
            r"file, and 0\.\d\d GB are usable: raise "
            r"stacking\.memory_limit_mb to \d{3}, or free 0\.\d\d GB on the disk of ",
            said.sentences[-1],
        )
        assert not published(home.outbound)
    else:
        assert re.fullmatch(
            r"needs {6}0\.\d\d GB of memory; 0\.\d\d GB are usable: 0\.\d\d GB will lie in a file, which is slower",
            said.sentences[0],
        )
        (result,) = published(home.outbound)
        told = said.sentences[0].split()[-10]
        assert any(f"of which {told} GB were kept in a file" in line for line in manifest(result)["warnings"]), told


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_least_limit_that_is_advised_suffices(tmp_path: Path, photographs: Path, fusion: str) -> None:
    """Small frames: there a limit counts more that is never used, stacks and buffers, than what is."""
    folder = tmp_path / "two"
    folder.mkdir()
    for index, path in enumerate(sorted(photographs.iterdir())):
        large = cv2.resize(photograph(path), (1728, 1152), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{index}.jpg"), large)
    for limit_mb in (260, 320):
        home = Home(tmp_path, stacking={"memory_limit_mb": limit_mb, "threads": 2})
        said = home.run_here("stack", folder, "--method", fusion)
        assert said.code == 28, said.sentences
        numbers = re.search(r"needs (\S+) GB .*, (\S+) GB of it even .* and (\S+) GB are usable", said.sentences[-1])
        assert numbers
        needed, least, usable = map(float, numbers.groups())
        assert needed >= least > usable
    advised = re.search(r"raise stacking\.memory_limit_mb to (\d+)", said.sentences[-1])
    assert advised
    said = Home(tmp_path, stacking={"memory_limit_mb": int(advised[1]), "threads": 2}).run_here(
        "stack", folder, "--method", fusion
    )
    assert said.code == 0, said.sentences


def test_a_shoot_says_what_memory_it_needs_as_soon_as_its_first_frame_is_there(home: Home) -> None:
    said = home.run_here("shoot", home.recipe())
    assert said.code == 0
    names = [event["event"] for event in said.events]
    (foreseen,) = said.event("memory.foreseen")
    assert names.index("frame.stored") < names.index("memory.foreseen") < names.index("shoot.published")
    assert foreseen["needed_bytes"] > 1e8
    assert foreseen["in_file_bytes"] == 0
