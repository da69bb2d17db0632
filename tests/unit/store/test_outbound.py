from __future__ import annotations

import threading
from pathlib import Path

import pytest

from focusrail.errors import StoreNotWritable
from focusrail.store.outbound import Destination, destination, discard, held, prepare, publish, remove_abandoned

FILES = {"result.tif": b"t" * 500_000, "shoot.json": b"{}", "thumbnails/000000.jpg": b"j" * 1000}


def fill(scratch: Path) -> None:
    for name, content in FILES.items():
        (scratch / name).parent.mkdir(exist_ok=True)
        (scratch / name).write_bytes(content)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def published(parent: Path, name: str) -> Path:
    place = destination(parent, name)
    prepare(place)
    fill(place.scratch)
    publish(place)
    return place.folder


def test_results_appear_whole_and_nothing_else_stays(tmp_path: Path) -> None:
    folder = published(tmp_path / "out", "beetle")
    assert content(folder) == FILES
    assert list((tmp_path / "out").iterdir()) == [folder]


def test_every_publication_is_a_version_and_none_is_overwritten(tmp_path: Path) -> None:
    folders = [published(tmp_path, "beetle") for _ in range(3)]
    assert [f.name for f in folders] == ["beetle", "beetle.v2", "beetle.v3"]
    assert [destination(tmp_path, "beetle").version, destination(tmp_path, "beetle", at_least=7).version] == [4, 7]
    assert destination(tmp_path, "beetle", at_least=7).folder.name == "beetle.v7"


def test_an_empty_folder_counts_as_free_and_a_file_does_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert published(tmp_path, "empty").name == "empty"
    (tmp_path / "file").write_text("mine")
    assert published(tmp_path, "file").name == "file.v2"
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "link").symlink_to("nowhere")
    assert published(tmp_path, "link").name == "link.v2"


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_somebody_else_put_there_meanwhile_is_left_alone(tmp_path: Path, what: str) -> None:
    place = destination(tmp_path, "beetle")
    prepare(place)
    fill(place.scratch)
    if what == "folder":
        place.folder.mkdir()
        (place.folder / "mine").write_text("mine")
    else:
        place.folder.write_text("mine")
    with pytest.raises(StoreNotWritable, match="beetle"):
        publish(place)
    if what == "folder":
        assert content(place.folder) == {"mine": b"mine"}
    else:
        assert place.folder.read_text() == "mine"
    assert content(place.scratch) == FILES, "the result is not lost either"


def test_whoever_watches_never_sees_part_of_a_result(tmp_path: Path) -> None:
    done = threading.Event()
    seen: list[dict[str, bytes]] = []
    looks = 0

    def watch() -> None:
        nonlocal looks
        while not done.is_set():
            looks += 1
            seen.extend(content(p) for p in tmp_path.iterdir() if not p.name.startswith("."))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(12):
            published(tmp_path, "beetle")
    finally:
        done.set()
        watcher.join()
    assert looks > 12
    assert seen
    assert all(one == FILES for one in seen)


def test_what_an_earlier_attempt_left_is_removed(tmp_path: Path) -> None:
    place = destination(tmp_path, "beetle")
    for left in ("folder", "file", "link"):
        if left == "folder":
            place.scratch.mkdir()
            (place.scratch / "old").write_text("old")
        elif left == "file":
            place.scratch.write_text("old")
        else:
            (tmp_path / "precious").mkdir()
            (tmp_path / "precious" / "mine").write_text("mine")
            place.scratch.symlink_to("precious")
        prepare(place)
        assert place.scratch.is_dir() and not place.scratch.is_symlink()
        assert list(place.scratch.iterdir()) == []
        discard(place)
        assert not place.scratch.exists()
    assert (tmp_path / "precious" / "mine").read_text() == "mine"
    discard(place)


def test_an_outbound_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreNotWritable):
        prepare(destination(tmp_path / "file" / "out", "beetle"))


def test_a_scratch_folder_that_is_held_is_not_abandoned_whatever_is_done_in_it(tmp_path: Path) -> None:
    place = Destination(tmp_path / "beetle", 1, owner="20260131T123456-9f3a")
    with held(place):
        fill(place.scratch)
        assert remove_abandoned(tmp_path) == []
        prepare(place)  # as for a second process, when the first has died
        fill(place.scratch)
        assert remove_abandoned(tmp_path) == []
        assert content(place.scratch) == FILES
    assert remove_abandoned(tmp_path) == [place.scratch]
    assert not list(tmp_path.iterdir())


def test_only_our_own_scratch_folders_are_taken_for_abandoned(tmp_path: Path) -> None:
    owner = "20260131T123456-9f3a"
    for name in (".git", ".beetle.mine.partial", f"beetle.{owner}.partial", f".beetle.{owner}", f".{owner}.partial"):
        (tmp_path / name).mkdir()
    (tmp_path / f".file.{owner}.partial").write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f".link.{owner}.partial").symlink_to("elsewhere")
    before = sorted(tmp_path.iterdir())
    assert remove_abandoned(tmp_path) == []
    assert remove_abandoned(tmp_path / "none") == []
    assert sorted(tmp_path.iterdir()) == before
