from __future__ import annotations

import hashlib
import os
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from focusrail.worker.scratch import Scratch


def test_of_every_file_its_size_and_hash_are_told(tmp_path: Path) -> None:
    (tmp_path / "thumbnails").mkdir()
    (tmp_path / "thumbnails" / "000000.jpg").write_bytes(b"was there before")
    with Scratch(tmp_path) as scratch:
        for number in range(20):
            scratch.add(f"{number}.bin", partial(Path.write_bytes, data=bytes(number)))
        assert scratch.names() == sorted(f"{number}.bin" for number in range(20))
        facts = scratch.facts()
    assert set(facts) == {"thumbnails/000000.jpg", *(f"{number}.bin" for number in range(20))}
    for name, fact in facts.items():
        data = (tmp_path / name).read_bytes()
        assert (fact.size_bytes, fact.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_file_is_durable_when_it_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        sync(descriptor)
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr(os, "fsync", watched)
    with Scratch(tmp_path) as scratch:
        scratch.add("a", lambda path: path.write_bytes(b"a"))
        began_s = time.monotonic()
        assert scratch.durable_s("a") <= time.monotonic()
        assert scratch.durable_s("a") >= began_s - 1
        assert synced == [str(tmp_path / "a"), str(tmp_path)]


def test_files_are_written_side_by_side_and_begun_in_order(tmp_path: Path) -> None:
    together = threading.Barrier(2, timeout=10)
    begun: list[str] = []

    def write(path: Path) -> None:
        begun.append(path.name)
        if path.name in ("0", "1"):
            together.wait()
        path.touch()

    with Scratch(tmp_path) as scratch:
        for number in range(6):
            scratch.add(str(number), write)
    assert begun[:2] == ["0", "1"]
    assert sorted(begun) == [str(number) for number in range(6)]


def test_what_cannot_be_written_is_told_and_nothing_more_is_begun(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    def slow(path: Path) -> None:
        held.wait(10)
        path.touch()

    held = threading.Event()
    scratch = Scratch(tmp_path)
    for name, write in {"full": fail, "a": slow, "b": slow, "c": slow, "never": slow}.items():
        scratch.add(name, write)
    with pytest.raises(OSError, match="No space left") as caught:
        scratch.facts()
    threading.Timer(0.2, held.set).start()
    scratch.__exit__(type(caught.value), caught.value, None)
    assert "never" not in {path.name for path in tmp_path.iterdir()}
    assert "full" not in {path.name for path in tmp_path.iterdir()}
