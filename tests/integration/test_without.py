"""Frames that a person leaves out."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from focusrail.service import Service
from peers.small_rig import FRAMES, Home, manifest, pixels, published, small_rig


def used(page: dict[str, Any]) -> list[int]:
    return [frame["index"] for frame in page["frames"] if frame["used"]]


def test_frames_are_left_out_because_it_was_asked_for(home: Home, photographs: Path) -> None:
    said = home.run_here("stack", photographs, "--without", "0,5-6")
    assert said.code == 0, "what was asked for is no fault"
    assert not any("left out" in sentence for sentence in said.sentences)
    (result,) = published(home.outbound)
    page = manifest(result)
    assert page["without"] == [0, 5, 6]
    assert used(page) == [1, 2, 3, 4, 7]
    assert [f["index"] for f in page["frames"]] == list(range(FRAMES)), "they are in the table all the same"
    for index in (0, 5, 6):
        frame = page["frames"][index]
        assert (frame["unwanted"], frame["reason"], frame["file"]) == (True, "it was asked for", f"{index:06d}.jpg")
    assert "left out: it was asked for" in (result / "report.html").read_text(encoding="utf-8")
    assert not any("left out" in warning for warning in page["warnings"])


def test_it_is_as_if_they_had_not_been_there(home: Home, photographs: Path) -> None:
    fewer = home.folder / "fewer"
    fewer.mkdir()
    for index in (1, 2, 4, 5):
        shutil.copy(photographs / f"{index:06d}.jpg", fewer)
    more = home.folder / "more"
    shutil.copytree(fewer, more)
    for index in (0, 3):  # not even looked at
        (more / f"{index:06d}.jpg").write_bytes(b"no picture")
    assert home.run_here("stack", fewer, "-o", home.folder / "a").code == 0
    for reference in ("first", "last"):
        a, b = home.folder / f"a-{reference}", home.folder / f"b-{reference}"
        assert home.run_here("stack", fewer, "-o", a, "--reference", reference).code == 0
        assert home.run_here("stack", more, "-o", b, "--without", "0,3", "--reference", reference).code == 0
        assert np.array_equal(pixels(a), pixels(b))


def test_another_version_of_the_stack_is_not_affected(tmp_path: Path, photographs: Path) -> None:
    service = Service(small_rig(tmp_path))
    with closing(service.journal):
        _, first = service.stack_folder(photographs, without=frozenset({2}))
        second = service.restack(first.shoot_id)
        third = service.restack(first.shoot_id, without=frozenset({0, 1, 7}))
        fourth = service.restack(first.shoot_id)
        said = [service.journal.left_out(first.shoot_id, version) for version in (1, 2, 3, 4)]
    assert said == ["2", "", "0-1,7", ""]
    assert used(manifest(first.folder)) == [0, 1, 3, 4, 5, 6, 7]
    assert used(manifest(second.folder)) == used(manifest(fourth.folder)) == list(range(FRAMES))
    assert used(manifest(third.folder)) == [2, 3, 4, 5, 6]
    assert np.array_equal(pixels(second.folder), pixels(fourth.folder))


@pytest.mark.parametrize("how", ["folder", "shoot"])
def test_frames_that_do_not_exist_are_refused_before_anything_is_done(home: Home, photographs: Path, how: str) -> None:
    what: list[object] = [photographs]
    if how == "shoot":
        assert home.run_here("stack", photographs).code == 0
        what = ["--shoot", manifest(published(home.outbound)[0])["shoot"]["id"]]
    before = published(home.outbound)
    said = home.run_here("stack", *what, "--without", "3,8-9")
    assert said.code == 27
    assert said.sentences == ["focusrail: there are no frames 8-9 to leave out: the stack has 0-7"]
    assert published(home.outbound) == before
    assert len(home.run_here("shoots").out.splitlines()) == 2 * len(before)


def test_a_choice_that_cannot_be_read_is_a_wrong_command_line(home: Home, photographs: Path) -> None:
    said = home.run_here("stack", photographs, "--without", "3-")
    assert said.code == 64
    assert any("--without: takes frame numbers like 12,40-43, not '3-'" in line for line in said.sentences)


def test_with_all_but_one_left_out_there_is_no_stack(home: Home, photographs: Path) -> None:
    said = home.run_here("stack", photographs, "--without", "0-6")
    assert said.code == 11
    assert "a stack needs two frames that can be used, there is 1" in said.sentences[-1]


def test_a_journal_of_an_earlier_version_is_taken_over(tmp_path: Path, photographs: Path) -> None:
    config = small_rig(tmp_path)
    service = Service(config)
    with closing(service.journal):
        _, first = service.stack_folder(photographs)
    with closing(sqlite3.connect(config.store.journal_file, isolation_level=None)) as db:
        for column in ("without", "measured_by", "day"):
            db.execute(f"ALTER TABLE publication DROP COLUMN {column}")
        for table in ("begun_with", "inbound", "extension", "let_go", "begun", "gone_on", "day"):
            db.execute(f"DROP TABLE {table}")
        db.execute("PRAGMA user_version=1")
    service = Service(config)
    with closing(service.journal):
        again = service.restack(first.shoot_id, without=frozenset({1}))
        assert service.journal.left_out(first.shoot_id, 1) == ""
        assert service.journal.left_out(first.shoot_id, again.version) == "1"
    assert json.loads((again.folder / "shoot.json").read_text())["version"] == 2
