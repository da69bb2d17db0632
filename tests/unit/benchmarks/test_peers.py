from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.measured import measured
from benchmarks.table import best_first, markdown
from focusrail.model.method import FUSIONS

_PARENT = """
import subprocess, sys
held = bytearray(60_000_000)
subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
"""
_CHILD = """
import time
held = bytearray(b"x" * 80_000_000)
until = time.process_time() + 0.4
while time.process_time() < until:
    pass
"""


def test_cost_is_that_of_a_program_and_of_all_that_it_starts(tmp_path: Path) -> None:
    cost = measured([sys.executable, "-c", _PARENT, _CHILD], log=tmp_path / "log", cwd=tmp_path, limit_s=60)
    assert cost.exit_code == 0
    assert cost.cpu_s > 0.4
    assert cost.wall_s > 0.4
    assert cost.peak_bytes > 80_000_000


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    hanging = "import time; time.sleep(600)"
    cost = measured([sys.executable, "-c", _PARENT, hanging], log=tmp_path / "log", cwd=tmp_path, limit_s=1.0)
    assert cost.exit_code == -9
    assert cost.wall_s < 30


def test_a_command_gets_the_frames_as_a_folder_or_one_by_one(tmp_path: Path) -> None:
    frames, work = tmp_path / "frames", tmp_path / "work"
    frames.mkdir()
    work.mkdir()
    for name in ("f001.jpg", "f000.jpg"):
        (frames / name).touch()
    (work / "aligned_0.tif").touch()
    words = peers.filled(
        ("{bin}/x", "-i", "{frames}", "{frames...}", "{work}/aligned_*.tif"),
        frames=frames, work=work, programs=tmp_path,
    )  # fmt: skip
    assert words == [
        f"{tmp_path}/x", "-i", str(frames), str(frames / "f000.jpg"), str(frames / "f001.jpg"),
        str(work / "aligned_0.tif"),
    ]  # fmt: skip


def test_focusrail_takes_part_with_every_fusion_method() -> None:
    names = [tool.name for tool in peers.own_tools()]
    assert names == [f"focusrail-{fusion}" for fusion in FUSIONS]
    assert [tool.name for tool in peers.chosen_tools("focusrail")] == names
    with pytest.raises(SystemExit, match="no tool 'nothing'"):
        peers.chosen_tools("nothing")


def test_the_table_shows_the_best_first_and_what_failed_last() -> None:
    score = {
        "psnr_db": 30.0, "ssim": 0.95, "edge_psnr_db": 24.0, "texture_psnr_db": 34.0, "beyond_psnr_db": None,
        "flat_noise": 0.5, "beyond_noise": None, "sharpness": 0.9, "align_p50_px": 0.1, "align_p95_px": 0.2,
        "covered": 0.98, "scale": 1.0,
    }  # fmt: skip
    run = {"wall_s": 1.0, "cpu_s": 2.0, "peak_bytes": 1e9, "load": 0.1}
    facts = {"scene": "demo", "megapixels": 2.0, "version": "1", "runs": [run]}
    records = [
        {"tool": "broken", **facts, "error": "exit code 1: no"},
        {"tool": "good", **facts, "score": score, "commands": ["good x"]},
        {"tool": "better", **facts, "score": score | {"psnr_db": 31.0, "covered": 1.0}, "commands": ["better x"]},
    ]
    assert [record["tool"] for record in best_first(records)] == ["better", "good", "broken"]
    machine = dict.fromkeys(("cores", "processor", "memory_gib", "system", "python", "opencv", "numpy"), "?")
    text = markdown({"machine": machine, "made": "now", "records": records})
    assert text.index("| better |") < text.index("| good (98.0% of the crop) |") < text.index("exit code 1: no")
