"""What a stack needs is told from the size of its frames; measured peaks are compared in integration/test_memory.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from focusrail.model.method import FUSIONS, Method, notebook
from focusrail.model.outputs import Outputs
from focusrail.stacking.accumulators import accumulator
from focusrail.stacking.focus_peak import PeakTracker
from focusrail.worker.memory_free import (
    counted_bytes,
    free_bytes,
    limit_for_mb,
    swap_bytes,
    usable_bytes,
    usable_of_limit_bytes,
)
from focusrail.worker.memory_need import MemoryNeed, memory_need
from focusrail.worker.planes import Planes
from focusrail_drivers.accelerators.cpu import CpuAccelerator

WIDTH, HEIGHT = 640, 480


class Counted:
    """Allocates planes, and counts their bytes."""

    def __init__(self) -> None:
        self.total_bytes = 0

    def __call__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        plane: npt.NDArray[Any] = np.zeros(shape, dtype)
        self.total_bytes += plane.nbytes
        return plane


def need(method: Method, outputs: Outputs | None = None, *, sample_bytes: int = 1, mpx: float = 24) -> MemoryNeed:
    width = round((mpx * 1.5e6) ** 0.5)
    return memory_need(
        method, outputs or Outputs(),
        width_px=width, height_px=width * 2 // 3, sample_bytes=sample_bytes, file_bytes=5_000_000, threads=2,
    )  # fmt: skip


@pytest.mark.parametrize("sample_bytes", [1, 2])
@pytest.mark.parametrize(
    "method",
    [*(Method(fusion=name) for name in FUSIONS if name != "depthmap"), Method(fusion="lob", laplacian_px=7)],
    ids=lambda method: f"{method.fusion} {method.laplacian_px}",
)
def test_the_planes_that_are_foretold_are_those_that_a_method_takes(method: Method, sample_bytes: int) -> None:
    dtype, allocate = np.dtype(f"u{sample_bytes}"), Counted()
    accumulator(HEIGHT, WIDTH, method, dtype, accelerator=CpuAccelerator(), allocate=allocate)
    PeakTracker(np.zeros((HEIGHT, WIDTH, 3), dtype), CpuAccelerator(), allocate)
    foretold = memory_need(
        method, Outputs(), width_px=WIDTH, height_px=HEIGHT, sample_bytes=sample_bytes, file_bytes=0, threads=1
    )
    assert foretold.planes_bytes == pytest.approx(allocate.total_bytes, rel=0.005)


def test_what_is_asked_for_besides_is_counted() -> None:
    plain = need(Method())
    one = need(Method(), Outputs(slab_frames=6)).total_bytes - plain.total_bytes
    two = need(Method(), Outputs(slab_frames=6, slab_overlap=2)).total_bytes - plain.total_bytes
    assert one == pytest.approx((14 + 6) * 24e6, rel=0.01), "a slab's planes, and the picture that is put aside"
    assert two - one == pytest.approx(14 * 24e6, rel=0.01), "of slabs that overlap two are alive"
    lob = Method(fusion="lob")
    assert need(lob, Outputs(aligned=True)).total_bytes > need(lob).total_bytes
    assert need(notebook()).total_bytes > need(lob).total_bytes, "its stripes are whole frames"


def test_what_memory_does_not_hold_lies_in_a_file() -> None:
    wanted = MemoryNeed(planes=(300, 150, 50), beside_planes_bytes=300, writing_bytes=600)
    assert (wanted.total_bytes, wanted.least_bytes) == (800, 600)
    assert [wanted.in_file_bytes(usable) for usable in (900, 800, 750, 650, 300, 100)] == [0, 0, 50, 150, 500, 500]


@pytest.mark.parametrize("usable", [1.0, 0.999, 0.95, 0.85, 0.7, 0.5])
@pytest.mark.parametrize("fusion", [name for name in FUSIONS if name != "depthmap"])
def test_what_is_said_to_lie_in_a_file_is_what_lies_there(tmp_path: Path, fusion: str, usable: float) -> None:
    method = Method(fusion=fusion)
    foretold = memory_need(
        method, Outputs(), width_px=2560, height_px=2048, sample_bytes=1, file_bytes=0, threads=1
    )  # fmt: skip
    usable_bytes = foretold.beside_planes_bytes + round(usable * foretold.planes_bytes)
    planes = Planes(tmp_path, budget_bytes=foretold.room_for_planes_bytes(usable_bytes))
    accumulator(2048, 2560, method, np.dtype(np.uint8), accelerator=CpuAccelerator(), allocate=planes)
    PeakTracker(np.zeros((2048, 2560, 3), np.uint8), CpuAccelerator(), planes)
    assert foretold.in_file_bytes(usable_bytes) == pytest.approx(planes.file_bytes, abs=10_000)


def machine(folder: Path, *, available_kb: int, groups: dict[str, tuple[str, int, int]]) -> tuple[Path, Path]:
    """Files as Linux has them; groups: limit, bytes in use, bytes of pages that can go."""
    proc, cgroups = folder / "proc", folder / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal: 9999999 kB\nMemAvailable: {available_kb} kB\nSwapFree: 700 kB\n")
    (proc / "self" / "cgroup").write_text("0::/system.slice/focusrail.service\n")
    for name, (limit, used, can_go) in groups.items():
        group = cgroups / name
        group.mkdir(parents=True, exist_ok=True)
        (group / "memory.max").write_text(f"{limit}\n")
        (group / "memory.current").write_text(f"{used}\n")
        (group / "memory.stat").write_text(f"anon 1\ninactive_file {can_go}\n")
    return proc, cgroups


def test_free_is_the_least_of_what_the_machine_and_a_control_group_leave(tmp_path: Path) -> None:
    mb = 1 << 20
    proc, cgroups = machine(
        tmp_path, available_kb=4000 << 10,
        groups={"system.slice": (f"{3000 * mb}", 1500 * mb, 100 * mb), "system.slice/focusrail.service": ("max", 0, 0)},
    )  # fmt: skip
    assert free_bytes(proc=proc, cgroups=cgroups) == 1600 * mb, "what the group above leaves"
    (cgroups / "system.slice" / "memory.max").write_text("max\n")
    assert free_bytes(proc=proc, cgroups=cgroups) == 4000 * mb
    assert swap_bytes(proc=proc) == 700 << 10
    assert swap_bytes(proc=tmp_path / "none") == 0
    assert free_bytes(proc=tmp_path / "none", cgroups=tmp_path / "none") > 0, "a guess where nothing tells"
    assert 0 == usable_bytes(50 * mb) < usable_bytes(1000 * mb) < 1000 * mb


def test_of_a_limit_what_it_counts_and_nobody_uses_is_not_usable(tmp_path: Path) -> None:
    mb = 1 << 20
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "status").write_text(f"VmData:\t{205 << 10} kB\nVmRSS:\t{98 << 10} kB\n")
    counted = counted_bytes(proc=tmp_path)
    assert 107 * mb < counted < 150 * mb, "stacks and buffers, and what is still to come of them"
    assert usable_of_limit_bytes(320 * mb, counted=counted) < 205 * mb
    limit_mb = limit_for_mb(236 * mb, counted=counted)
    assert usable_of_limit_bytes(limit_mb * mb, counted=counted) >= 236 * mb
    assert usable_of_limit_bytes((limit_mb - 16) * mb, counted=counted) < 236 * mb
    assert usable_of_limit_bytes(100 * mb, counted=counted) == 0


def test_this_machine_says_what_is_free() -> None:
    assert 50_000_000 < free_bytes() < 1 << 45
