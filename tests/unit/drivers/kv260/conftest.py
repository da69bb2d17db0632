"""The overlay's real metadata, where it is at hand; it belongs to its makers and is no part of this repository."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="session")
def real_metadata() -> Path:
    """The folder with cv_dfx_3_pr.hwh and its partial designs, as on a board or in the pipeline's own repository."""
    folder = Path(os.environ.get("FOCUSRAIL_KV260_OVERLAY", _ROOT.parent / "shared" / "kv260"))
    if not (folder / "cv_dfx_3_pr.hwh").exists():
        pytest.skip(f"no cv_dfx_3_pr.hwh in {folder}; FOCUSRAIL_KV260_OVERLAY may name another folder")
    return folder


@dataclass(frozen=True)
class Emulated:
    """An emulated board, installed as pynq's active device, and its overlay's bitstream."""

    device: Any
    bitstream: Path

    @property
    def faults(self) -> Any:
        return self.device.board.faults


@pytest.fixture(params=["generated", "real"])
def emulated(request, tmp_path) -> Emulated:
    """The emulated board with metadata made for it, and with the real overlay's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pynq's own, on a machine that is no board
        device = pytest.importorskip(
            "focusrail_drivers.accelerators.kv260_emulator.device", reason="needs pynq", exc_type=ImportError
        )
        bitstream = device.overlay_files(tmp_path)
        if request.param == "real":
            _use_real_metadata(request.getfixturevalue("real_metadata"), tmp_path)
        return Emulated(device.install(), bitstream)


def _use_real_metadata(source: Path, folder: Path) -> None:
    for file in source.glob("*.hwh"):
        (folder / file.name).write_bytes(file.read_bytes())
    # There is no public description of the region with the filter: one with another filter is made into it.
    other = (source / "cv_dfx_3_pr_composable_pr_1_cornerharris_fifo_partial.hwh").read_text(encoding="utf-8-sig")
    for old, new in (
        ("cornerHarris", "filter2d"),
        ("cornerharris", "filter2d"),
        ("pr_1", "pr_0"),
        ("0x80130000", "0x80120000"),
        ("0x80137FFF", "0x80127FFF"),
    ):
        other = other.replace(old, new)
    (folder / "cv_dfx_3_pr_composable_pr_0_filter2d_fifo_partial.hwh").write_text(other, encoding="utf-8")
