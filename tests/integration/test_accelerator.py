"""Shoots and stacks that something else than the processor measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from focusrail.store.image_io import Metadata, decode, write_tiff
from peers.small_rig import Home, manifest, pixels, published


def home(folder: Path, **accelerator: object) -> Home:
    folder.mkdir()
    return Home(folder, accelerator=accelerator)


def test_the_kv260s_arithmetic_measures_a_shoot_and_the_result_says_so(tmp_path: Path) -> None:
    exact = home(tmp_path / "exact", driver="kv260-exact", options={"shift": "bracket"})
    said = exact.run("shoot", exact.recipe())
    assert said.code == 0, said.sentences
    (result,) = published(exact.outbound)
    assert manifest(result)["measured_by"] == "kv260-exact, bracket"
    assert "kv260-exact, bracket" in (result / "report.html").read_text(encoding="utf-8")
    assert [event["measures"] for event in said.event("accelerator.opened")] == ["kv260-exact"]


def test_a_kv260_that_is_not_there_costs_a_warning_and_changes_no_pixel(tmp_path: Path) -> None:
    nowhere = {"socket": str(tmp_path / "nobody"), "patience_s": 0.2}
    absent = home(tmp_path / "absent", driver="kv260", options={"shift": 1, **nowhere})
    exact = home(tmp_path / "exact", driver="kv260-exact", options={"shift": 1})
    for each in (absent, exact):
        said = each.run("shoot", each.recipe())
        assert said.code == 0, said.sentences
    (lost,), (same,) = published(absent.outbound), published(exact.outbound)
    assert np.array_equal(pixels(lost), pixels(same))
    (warning,) = [w for w in manifest(lost)["warnings"] if "accelerator" in w]
    assert warning.startswith(
        "all frames were measured without the accelerator, by the same arithmetic on the processor"
    )


def test_without_a_fallback_nothing_moves_where_the_kv260_is_not_there(tmp_path: Path) -> None:
    nowhere = {"socket": str(tmp_path / "nobody"), "patience_s": 0.2}
    rig = home(tmp_path / "rig", driver="kv260", fallback="never", options=nowhere)
    said = rig.run("shoot", rig.recipe())
    assert said.code == 22
    assert "accelerator.fallback: cpu" in said.faults[-1]
    assert not said.event("rail.homed") and not said.event("frame.stored")


def test_what_the_accelerator_does_not_know_is_measured_on_the_processor_or_refused(
    tmp_path: Path, photographs: Path
) -> None:
    may = home(tmp_path / "may", driver="kv260-exact")
    said = may.run("stack", photographs, "--method", "lob")
    assert said.code == 0
    assert [event["blur_px"] for event in said.event("method.measured_on_processor")] == [5]
    (result,) = published(may.outbound)
    assert manifest(result)["measured_by"].startswith("the processor (lob of 5 and 5), depth by kv260-exact")
    never = home(tmp_path / "never", driver="kv260-exact", fallback="never")
    said = never.run("stack", photographs, "--method", "lob")
    assert said.code == 21
    assert "--blur 3 --laplacian 1" in said.faults[-1]
    said = never.run("stack", photographs, "--method", "lob", "--blur", "3", "--laplacian", "1")
    assert said.code == 0, said.sentences


def test_sixteen_bits_are_measured_as_eight_and_the_report_says_so(tmp_path: Path, photographs: Path) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    for path in sorted(photographs.iterdir()):
        image = decode(path.read_bytes(), path.name).astype(np.uint16) * 257
        write_tiff(folder / f"{path.stem}.tif", image, Metadata(), description="")
    exact = home(tmp_path / "exact", driver="kv260-exact", options={"shift": "bracket"})
    said = exact.run("stack", folder)
    assert said.code == 0, said.sentences
    (result,) = published(exact.outbound)
    assert pixels(result).dtype == np.uint16
    assert "luma rounded to 8 bit" in (result / "report.html").read_text(encoding="utf-8")
