from __future__ import annotations

import errno
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from focusrail.errors import DiskFull, StoreNotWritable
from focusrail.store.durable import file_sha256, make_folder, refusal, sync_tree, write_durably, writing


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_called_so_and_what_was_stored_is_whole(small_disk: Path) -> None:
    write_durably(small_disk / "a.jpg", b"a" * 150_000)
    with pytest.raises(DiskFull, match=r"no space left for .*b\.jpg: free some and try again"):
        write_durably(small_disk / "b.jpg", b"b" * 150_000)
    with pytest.raises(DiskFull):
        write_durably(small_disk / "a.jpg", b"c" * 150_000)
    assert (small_disk / "a.jpg").read_bytes() == b"a" * 150_000
    assert [p.name for p in small_disk.iterdir()] == ["a.jpg"], "no scratch file stays"
    write_durably(small_disk / "c.jpg", b"c" * 50_000)


def test_a_disk_without_room_for_a_folder_is_called_full(tmp_path: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,nr_inodes=1", str(small_disk)], check=False, capture_output=True)
    made = []
    with pytest.raises(DiskFull):  # noqa: PT012 - one of many
        for k in range(5000):
            make_folder(small_disk / str(k))
            made.append(k)
            write_durably(small_disk / str(k) / "a", b"a" * 4096)
    assert len(made) < 200


def test_a_file_system_that_may_not_be_written_is_called_so(small_disk: Path) -> None:
    write_durably(small_disk / "a", b"a")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for attempt in (lambda: write_durably(small_disk / "b", b"b"), lambda: make_folder(small_disk / "c" / "d")):
        with pytest.raises(StoreNotWritable, match="Read-only file system"):
            attempt()
    assert (small_disk / "a").read_bytes() == b"a"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_called_so(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(StoreNotWritable, match="Permission denied; check that it exists and is yours to write"):
        write_durably(closed / "a", b"a")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EACCES, StoreNotWritable),
        (errno.EPERM, StoreNotWritable),
        (errno.EROFS, StoreNotWritable),
        (errno.EIO, StoreNotWritable),
        (errno.ENAMETOOLONG, StoreNotWritable),
    ],
)
def test_every_refusal_names_the_file_and_the_reason_in_one_sentence(number: int, kind: type) -> None:
    said = refusal(Path("/out/a.jpg"), OSError(number, os.strerror(number)))
    assert type(said) is kind
    assert "/out/a.jpg" in str(said)
    assert "\n" not in str(said)
    if kind is StoreNotWritable:
        assert os.strerror(number) in str(said)


def test_an_error_without_a_number_is_still_told() -> None:
    with pytest.raises(StoreNotWritable, match="the cable fell out"), writing(Path("/a")):
        raise OSError("the cable fell out")


def test_other_errors_pass_through() -> None:
    with pytest.raises(KeyError), writing(Path("/a")):
        raise KeyError("b")


def test_a_whole_file_replaces_the_old_one(tmp_path: Path) -> None:
    for content in (b"", b"first", b"second" * 100_000):
        write_durably(tmp_path / "a", content)
        assert (tmp_path / "a").read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_what_an_earlier_crash_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".a.partial").write_bytes(b"half of somethi")
    write_durably(tmp_path / "a", b"all")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"all")]


def test_a_missing_folder_or_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreNotWritable, match="No such file"):
        write_durably(tmp_path / "nope" / "a", b"a")
    (tmp_path / "a").mkdir()
    with pytest.raises(StoreNotWritable):
        write_durably(tmp_path / "a", b"a")
    assert list(tmp_path.iterdir()) == [tmp_path / "a"], "no scratch file stays"


def test_folders_are_made_with_their_parents_and_twice(tmp_path: Path) -> None:
    for _ in range(2):
        make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "file", tmp_path / "file" / "a" / "b"):
        with pytest.raises(StoreNotWritable):
            make_folder(wrong)


def test_a_tree_with_links_beside_its_files_can_be_made_durable(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(b"c")
    (tmp_path / "a" / "d").symlink_to("b/c")
    sync_tree(tmp_path)


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_a_files_hash_is_that_of_its_bytes(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "a").write_bytes(content[:size])
    assert file_sha256(tmp_path / "a") == hashlib.sha256(content[:size]).hexdigest()


def test_every_file_and_then_every_folder_of_a_tree_is_made_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/b/c", "a/d", "e"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        for number in range(20):
            (tmp_path / name / f"{number}.jpg").write_bytes(b"x")
    synced: list[Path] = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        sync(descriptor)
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", watched)
    sync_tree(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    folders = [tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())]
    assert sorted(synced) == sorted(files + folders)
    assert set(synced[: len(files)]) == set(files)
