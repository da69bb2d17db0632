from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focusrail.errors import NoFrames, OriginalChanged, UnreadableFolder
from focusrail.store import folder
from focusrail.store.folder import list_folder, natural, record_of


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(name.encode())


def names(folder: Path) -> list[str]:
    return [path.name for path in list_folder(folder).photographs]


@pytest.mark.parametrize(
    "order",
    [
        ["f1.jpg", "f2.jpg", "f10.jpg", "f100.jpg"],
        ["1.jpg", "02.jpg", "3.jpg", "010.jpg"],
        ["a2b9.jpg", "a2b10.jpg", "a10b1.jpg"],
        ["DSC_0998.JPG", "DSC_0999.JPG", "DSC_1000.JPG"],
        ["-1.png", "0.png", "a.png"],
        ["f1.jpg", "f1.png", "f1.tif", "f2.jpeg", "f3.TIFF"],
        ["20260101_090000_12.jpg", "20260101_090000_120.jpg", "20260101_100000_1.jpg"],
        ["f.jpg", "f2.jpg"],
    ],
)
def test_photographs_come_in_the_order_people_count(tmp_path: Path, order: list[str]) -> None:
    fill(tmp_path, *reversed(order))
    found = names(tmp_path)
    if order[0] == "-1.png":
        assert sorted(found) == sorted(order)
    elif order[0] == "f.jpg":
        assert set(found) == set(order)
    else:
        assert found == order


@pytest.mark.parametrize(
    "twins", [("f1.jpg", "f01.jpg", "f001.jpg"), ("a.jpg", "A.jpg"), ("x1.JPG", "X1.jpg", "x1.jpg")]
)
def test_names_that_count_the_same_always_come_in_the_same_order(tmp_path: Path, twins: tuple[str, ...]) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.mkdir()
    back.mkdir()
    fill(there, *twins)
    fill(back, *reversed(twins))
    assert names(there) == names(back) == sorted(twins)


@given(st.lists(st.text(st.sampled_from("aB09_-.é٣²")), max_size=8))
def test_any_names_can_be_ordered(texts: list[str]) -> None:
    ordered = sorted(texts, key=natural)
    assert [natural(t) for t in ordered] == sorted(natural(t) for t in texts)


def test_hidden_files_and_folders_are_no_frames_and_other_files_are_named(tmp_path: Path) -> None:
    fill(tmp_path, "f2.jpg", "f10.jpg", ".f3.jpg", "._f2.jpg", "notes.txt", "raw.NEF", "Thumbs.db")
    (tmp_path / "more.jpg").mkdir()
    fill(tmp_path / "more.jpg", "f1.jpg")
    listing = list_folder(tmp_path)
    assert [p.name for p in listing.photographs] == ["f2.jpg", "f10.jpg"]
    assert sorted(listing.skipped) == ["Thumbs.db", "notes.txt", "raw.NEF"]
    assert all(p.is_absolute() for p in listing.photographs)


def test_a_relative_folder_gives_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "f1.jpg")
    monkeypatch.chdir(tmp_path)
    assert list_folder(Path()).photographs == (tmp_path / "f1.jpg",)


def test_links_are_followed_and_dead_or_circular_ones_are_no_frames(tmp_path: Path) -> None:
    fill(tmp_path, "f1.jpg")
    (tmp_path / "f2.jpg").symlink_to("f1.jpg")
    (tmp_path / "f3.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "f4.jpg").symlink_to("f4.jpg")
    assert names(tmp_path) == ["f1.jpg", "f2.jpg"]


@pytest.mark.parametrize("files", [(), ("notes.txt",), (".f1.jpg",)])
def test_a_folder_without_photographs_is_refused(tmp_path: Path, files: tuple[str, ...]) -> None:
    fill(tmp_path, *files)
    with pytest.raises(NoFrames, match="JPEG, PNG and TIFF"):
        list_folder(tmp_path)


@pytest.mark.parametrize("installed", [True, False])
def test_raw_files_are_frames_where_there_are_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    monkeypatch.setattr(folder, "can_read_raw", lambda: installed)
    fill(tmp_path, "f10.NEF", "f2.nef", "notes.txt")
    if installed:
        listing = list_folder(tmp_path)
        assert [p.name for p in listing.photographs] == ["f2.nef", "f10.NEF"]
        assert listing.skipped == ("notes.txt",)
        assert record_of("a", 0, tmp_path / "f10.NEF", position_mm=None).original.media_type == "image/x-nikon-nef"
    else:
        with pytest.raises(NoFrames, match=r"`pip install 'focusrail\[raw\]'` reads raw files"):
            list_folder(tmp_path)
    fill(tmp_path, "f2.webp")
    assert names(tmp_path) == ["f2.webp"], "beside pictures they are the same frames once more"


def test_a_folder_that_is_missing_or_a_file_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "f1.jpg")
    for wrong in (tmp_path / "nope", tmp_path / "f1.jpg"):
        with pytest.raises(UnreadableFolder, match=f"cannot read the folder {wrong}"):
            list_folder(wrong)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    with pytest.raises(UnreadableFolder, match="Permission denied"):
        list_folder(closed)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.jpg", "image/jpeg"), ("a.JPEG", "image/jpeg"), ("a.png", "image/png"), ("a.Tif", "image/tiff")],
)
def test_a_photograph_is_recorded_where_it_lies(tmp_path: Path, name: str, kind: str) -> None:
    fill(tmp_path, name)
    os.utime(tmp_path / name, (1_700_000_000, 1_700_000_000))
    record = record_of("s", 3, tmp_path / name, position_mm=1.25)
    assert (record.shoot_id, record.index, record.position_mm) == ("s", 3, 1.25)
    assert record.exposed_at.isoformat() == "2023-11-14T22:13:20+00:00"
    assert record.original.path == tmp_path / name
    assert record.original.sha256 == hashlib.sha256(name.encode()).hexdigest()
    assert record.original.size_bytes == len(name)
    assert record.original.media_type == kind


def test_a_photograph_that_went_away_is_named(tmp_path: Path) -> None:
    with pytest.raises(OriginalChanged, match=r"f1\.jpg cannot be read"):
        record_of("s", 0, tmp_path / "f1.jpg", position_mm=None)
