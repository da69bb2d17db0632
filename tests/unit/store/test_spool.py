from __future__ import annotations

import contextlib
import hashlib
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from focusrail.errors import OriginalChanged, ShootInUse, StoreNotWritable
from focusrail.store.media_types import suffix_of
from focusrail.store.spool import Spool, read_original
from focusrail_drivers.base import Photograph

JPEG = "image/jpeg"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(data=st.binary(max_size=5000), index=st.integers(0, 65535))
def test_originals_are_kept_byte_for_byte(tmp_path: Path, data: bytes, index: int) -> None:
    spool = Spool(tmp_path)
    (original,) = spool.store("s", index, [Photograph(data, JPEG)])
    assert Path(original.path) == tmp_path / "s" / "frames" / f"{index:06d}.jpg"
    assert Path(original.path).read_bytes() == read_original(original) == data
    assert original.sha256 == hashlib.sha256(data).hexdigest()
    assert (original.size_bytes, original.media_type) == (len(data), JPEG)


def test_a_raw_companion_is_kept_beside_it(tmp_path: Path) -> None:
    photographs = [Photograph(b"jpeg", JPEG), Photograph(b"raw", "image/x-nikon-nef")]
    first, second = Spool(tmp_path).store("s", 7, photographs)
    assert (first.path.name, second.path.name) == ("000007.jpg", "000007.nef")
    assert (read_original(first), read_original(second)) == (b"jpeg", b"raw")


def test_two_pictures_of_one_kind_do_not_overwrite_each_other(tmp_path: Path) -> None:
    photographs = [Photograph(b"large", JPEG), Photograph(b"small", JPEG)]
    first, second = Spool(tmp_path).store("s", 7, photographs)
    assert (read_original(first), read_original(second)) == (b"large", b"small")


def test_a_frame_shot_anew_replaces_its_original(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.store("s", 0, [Photograph(b"first", JPEG)])
    (again,) = spool.store("s", 0, [Photograph(b"second", JPEG)])
    assert read_original(again) == b"second"
    assert len(list((tmp_path / "s" / "frames").iterdir())) == 1


@pytest.mark.parametrize(
    ("media_type", "suffix"),
    [(JPEG, "jpg"), ("image/tiff", "tif"), ("image/x-canon-cr3", "cr3"), ("image/x-unheard-of", "unheard-of")],
)
def test_every_kind_has_a_suffix(media_type: str, suffix: str) -> None:
    assert suffix_of(media_type) == suffix


def test_a_changed_a_shortened_and_a_missing_original_are_noticed(tmp_path: Path) -> None:
    (original,) = Spool(tmp_path).store("s", 0, [Photograph(b"abcdef", JPEG)])
    path = Path(original.path)
    for changed in (b"abcdeg", b"abcde", b"abcdef ", b""):
        path.write_bytes(changed)
        with pytest.raises(OriginalChanged, match=r"000000\.jpg is not the file that was stored"):
            read_original(original)
    path.unlink()
    with pytest.raises(OriginalChanged, match=r"000000\.jpg cannot be read: No such file"):
        read_original(original)
    path.mkdir()
    with pytest.raises(OriginalChanged, match="Is a directory"):
        read_original(original)


def test_one_shoot_is_worked_on_by_one_at_a_time(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with spool.claim("s"):
        with pytest.raises(ShootInUse, match="shoot s is being worked on"), spool.claim("s"):
            pass
        with spool.claim("t"):
            pass
        refused: list[BaseException] = []

        def other_thread() -> None:
            try:
                with Spool(tmp_path).claim("s"):
                    pass
            except ShootInUse as error:
                refused.append(error)

        thread = threading.Thread(target=other_thread)
        thread.start()
        thread.join()
        assert len(refused) == 1
    with spool.claim("s"):
        pass
    with contextlib.suppress(KeyError), spool.claim("s"):
        raise KeyError
    with spool.claim("s"):
        pass


CLAIMER = """
import sys
from pathlib import Path
from focusrail.store.spool import Spool
with Spool(Path(sys.argv[1])).claim("s"):
    print("claimed", flush=True)
    sys.stdin.readline()
"""


def test_a_claim_shuts_out_other_processes_and_ends_with_its_own(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", CLAIMER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "claimed\n"
    with pytest.raises(ShootInUse), Spool(tmp_path).claim("s"):
        pass
    holder.kill()
    holder.communicate()
    with Spool(tmp_path).claim("s"):
        pass


def test_a_spool_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spool = Spool(tmp_path / "file")
    with pytest.raises(StoreNotWritable):
        spool.store("s", 0, [Photograph(b"a", JPEG)])
    with pytest.raises(StoreNotWritable), spool.claim("s"):
        pass


STORER = """
import sys
from pathlib import Path
from focusrail.store.spool import Spool
from focusrail_drivers.base import Photograph
spool, first = Spool(Path(sys.argv[1])), int(sys.argv[2])
for index in range(first, first + 1000):
    data = bytes([index % 256]) * (400_000 + index)
    spool.store("s", index, [Photograph(data, "image/jpeg")])
    print(index, flush=True)
"""


def test_whenever_the_process_is_killed_no_half_file_has_a_final_name(tmp_path: Path) -> None:
    chance = random.Random(1)
    counted: set[int] = set()
    script = f"import sys; sys.path[:] = {sys.path!r}\n{STORER}"
    for attempt in range(24):
        storer = subprocess.Popen(
            [sys.executable, "-S", "-c", script, str(tmp_path), str(attempt * 1000)],
            stdout=subprocess.PIPE,
        )
        assert storer.stdout is not None
        counted.add(int(storer.stdout.readline()))
        try:  # a random moment within the next few files
            storer.wait(timeout=chance.uniform(0, 0.02))
        except subprocess.TimeoutExpired:
            storer.kill()
        rest, _ = storer.communicate()
        counted |= {int(line) for line in rest.split(b"\n")[:-1]}
    found = {}
    for path in (tmp_path / "s" / "frames").glob("[0-9]*.jpg"):
        index = int(path.stem)
        found[index] = path
        assert path.read_bytes() == bytes([index % 256]) * (400_000 + index)
    assert counted <= set(found), "whatever was counted is there"
    assert len(found) - len(counted) <= 24


def test_whoever_only_looks_keeps_nobody_from_working_on_a_shoot(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with spool.claim("s"), pytest.raises(ShootInUse), spool.claim("s", patience_s=0.0):
        pass
    held = spool.claim("s")
    held.__enter__()
    threading.Timer(0.05, held.__exit__, (None, None, None)).start()
    with spool.claim("s", patience_s=5.0):
        pass
