from __future__ import annotations

import hashlib
import os
import signal
import struct
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
import structlog

from focusrail.errors import FocusrailError, ShootAborted, TooFewFrames, WorkerLost
from focusrail.model.frame import FrameRecord, Original
from focusrail.model.method import Method
from focusrail.store.outbound import destination, discard, publish
from focusrail.worker.client import Event, StackingProcess
from focusrail.worker.messages import Begin, Finish, Finished, Fused, LeftOut, Live
from peers.stopped import stop
from peers.textures import about, similarity, texture, view

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
SIZE = (240, 180)
FRAMES = 5
MANY_BYTES = 1 << 30


def jpegs() -> list[bytes]:
    """A slanted plane that drifts: each frame is sharp in its own strip."""
    world = texture(SIZE[1] + 80, SIZE[0] + 80)
    levels = [cv2.GaussianBlur(world, (0, 0), 0.1 + k) for k in range(FRAMES)]
    strips = np.arange(world.shape[1]) * FRAMES // world.shape[1]
    made = []
    for k in range(FRAMES):
        seen = np.empty_like(world)
        for strip in range(FRAMES):
            seen[:, strips == strip] = levels[abs(strip - k)][:, strips == strip]
        pose = similarity(x=40, y=40) @ about(similarity(scale=1 + 0.005 * k, x=0.6 * k), SIZE)
        made.append(simplejpeg.encode_jpeg(np.ascontiguousarray(view(seen, pose, SIZE)), quality=92, colorspace="BGR"))
    return made


def original(path: Path, data: bytes) -> Original:
    return Original(path.absolute(), hashlib.sha256(data).hexdigest(), len(data), "image/jpeg")


def record(index: int, path: Path, data: bytes) -> FrameRecord:
    return FrameRecord("s1", index, 10 + index * 0.1, NOON, (original(path, data),))


@pytest.fixture(scope="module")
def photographs() -> list[bytes]:
    return jpegs()


@pytest.fixture
def records(tmp_path: Path, photographs: list[bytes]) -> list[FrameRecord]:
    made = []
    for index, data in enumerate(photographs):
        path = tmp_path / f"f{index}.jpg"
        path.write_bytes(data)
        made.append(record(index, path, data))
    return made


class Valve:
    """An original in a named pipe: the stacking process stands still in the middle of reading it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)

    def wait_for_reader(self) -> int:
        """Return when the process has begun to read, with the end to write to."""
        return os.open(self.path, os.O_WRONLY)

    @staticmethod
    def let_through(end: int, data: bytes) -> None:
        with os.fdopen(end, "wb") as file:
            file.write(data)


@dataclass
class Run:
    process: StackingProcess
    folder: Path
    events: list[Event] = field(default_factory=list)

    def of(self, kind: type) -> list:
        return [e for e in self.events if isinstance(e, kind)]

    def kill(self) -> None:
        self.process._process.kill()


Starter = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    runs: list[Run] = []

    def begin(
        *,
        in_flight_bytes: int = MANY_BYTES,
        memory_limit_mb: int | None = None,
        silence_s: float = 120.0,
        listen: Callable[[Run, Event], None] = lambda run, event: None,
        name: str = "out",
        **changes,
    ) -> Run:
        place = destination(tmp_path / "outbound", name)
        facts = {
            "shoot_id": "s1",
            "name": "beetle",
            "specimen_id": None,
            "source": "test",
            "created_at": NOON,
            "version": 1,
            "method": Method(),
            "scratch": place.scratch,
            "depth_unit": "mm",
            "threads": 2,
            **changes,
        }
        listening = threading.Event()

        def hear(event: Event) -> None:
            listening.wait()
            run.events.append(event)
            listen(run, event)

        process = StackingProcess(
            Begin(**facts),
            place,
            in_flight_bytes=in_flight_bytes,
            memory_limit_mb=memory_limit_mb,
            silence_s=silence_s,
            listen=hear,
        )
        run = Run(process, place.folder)
        runs.append(run)
        listening.set()
        return run

    yield begin
    for run in runs:
        run.process.close()
        run.process.close()
        assert run.process._process.returncode is not None, "no process stays"


def pixels(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("result.tif", "depth.tif", "index.png", "result.jpg")}


def finish(run: Run, records: list[FrameRecord]) -> Finished:
    for one in records:
        run.process.submit(one)
    return run.process.finish(Finish())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, photographs: list[bytes]) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    place = destination(folder, "out")
    begin = Begin("s1", "beetle", None, "test", NOON, 1, Method(), place.scratch, "mm", threads=1)
    process = StackingProcess(begin, place, in_flight_bytes=MANY_BYTES)
    for index, data in enumerate(photographs):
        path = folder / f"f{index}.jpg"
        path.write_bytes(data)
        process.submit(record(index, path, data))
    process.finish(Finish())
    return pixels(place.scratch)


def test_a_stack_is_made_and_every_frame_told_once(
    start: Starter, records: list[FrameRecord], undisturbed: dict[str, bytes]
) -> None:
    run = start()
    finished = finish(run, records)
    assert finished.frames_used == FRAMES
    assert [e.index for e in run.of(Fused)] == list(range(FRAMES))
    assert not run.of(LeftOut)
    place = run.process._place
    publish(place)
    assert pixels(place.folder) == undisturbed
    assert list(place.folder.parent.iterdir()) == [place.folder], "no scratch folder stays"


@pytest.mark.parametrize("after", [0, 2])
def test_killed_in_the_middle_it_makes_the_same_result_bit_for_bit(
    start: Starter, records: list[FrameRecord], undisturbed: dict[str, bytes], after: int
) -> None:
    def kill_once(run: Run, event: Event) -> None:
        if isinstance(event, Fused) and event.index == after:
            run.kill()

    run = start(listen=kill_once)
    finished = finish(run, records)
    assert finished.frames_used == FRAMES
    assert [e.index for e in run.of(Fused)] == list(range(FRAMES)), "what is fused again concerns nobody"
    assert pixels(run.process._place.scratch) == undisturbed


def test_killed_while_it_writes_the_results_it_writes_them_again(
    start: Starter, records: list[FrameRecord], undisturbed: dict[str, bytes]
) -> None:
    run = start()
    for one in records:
        run.process.submit(one)
    first = run.process._process

    def kill_when_writing() -> None:
        while not (run.process._place.scratch / "result.jpg").exists() and first.poll() is None:
            pass
        first.kill()

    killer = threading.Thread(target=kill_when_writing)
    killer.start()
    assert run.process.finish(Finish()).frames_used == FRAMES
    killer.join()
    assert run.process._process is not first
    assert pixels(run.process._place.scratch) == undisturbed


def test_a_frame_on_which_two_processes_died_is_left_out(
    start: Starter, records: list[FrameRecord], tmp_path: Path, photographs: list[bytes]
) -> None:
    valve = Valve(tmp_path / "deadly.jpg")
    records[2] = record(2, valve.path, photographs[2])
    deaths = 0
    run = start()

    def kill_whoever_reads() -> None:
        nonlocal deaths
        for _ in range(3):  # once among others, then twice alone
            end = valve.wait_for_reader()
            deaths += 1
            dying = run.process._process
            dying.kill()
            dying.wait()  # as long as it holds the pipe it would pass for the next reader
            with suppress(OSError):
                os.close(end)

    killer = threading.Thread(target=kill_whoever_reads)
    killer.start()
    finished = finish(run, records)
    killer.join()
    assert deaths == 3
    assert finished.frames_used == FRAMES - 1
    (left_out,) = run.of(LeftOut)
    assert (left_out.index, left_out.error) == (2, "DamagedImage")
    assert "deadly.jpg ends the stacking process" in left_out.message
    assert sorted(e.index for e in run.of(Fused)) == [0, 1, 3, 4]


def black_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def black_jpeg(width: int, height: int, small: bytes) -> bytes:
    """A small JPEG that claims to be large."""
    place = small.index(b"\xff\xc0") + 5
    return small[:place] + struct.pack(">HH", height, width) + small[place + 4 :]


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_small_file_that_claims_to_be_huge_costs_only_itself(
    start: Starter, records: list[FrameRecord], tmp_path: Path, photographs: list[bytes], kind: str
) -> None:
    bomb = black_png(20_000, 16_000) if kind == "png" else black_jpeg(30_000, 30_000, photographs[0])
    assert len(bomb) < 500_000
    path = tmp_path / f"bomb.{kind}"
    path.write_bytes(bomb)
    records[1] = record(1, path, bomb)
    run = start(memory_limit_mb=700)
    assert finish(run, records).frames_used == FRAMES - 1
    (left_out,) = run.of(LeftOut)
    assert left_out.index == 1
    assert "memory_limit_mb" in left_out.message


def test_a_limit_below_what_the_engine_itself_needs_is_called_so(start: Starter, records: list[FrameRecord]) -> None:
    run = start(memory_limit_mb=1)
    with pytest.raises(FocusrailError, match=r"ran out of memory: raise stacking\.memory_limit_mb"):
        finish(run, records)


def test_when_it_dies_again_and_again_the_shoot_is_told_where_the_originals_are(start: Starter) -> None:
    run = start()

    def kill_three() -> None:
        killed = None
        for _ in range(3):
            while run.process._process is killed:
                pass
            killed = run.process._process
            killed.kill()

    killer = threading.Thread(target=kill_three)
    killer.start()
    with pytest.raises(WorkerLost, match=r"ended 3 times \(last exit code -9\).*shoot s1 can be stacked again"):
        run.process.finish(Finish())
    killer.join()


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline_s


def test_while_too_much_is_in_flight_the_shutter_waits(
    start: Starter, records: list[FrameRecord], tmp_path: Path, photographs: list[bytes]
) -> None:
    valve = Valve(tmp_path / "slow.jpg")
    records[1] = record(1, valve.path, photographs[1])
    most: list[int] = []
    run = start(in_flight_bytes=1, listen=lambda run, event: most.append(len(run.process._progress.in_flight)))
    submitted: list[int] = []

    def submit() -> None:
        for one in records:
            run.process.submit(one)
            submitted.append(one.index)

    submitter = threading.Thread(target=submit)
    submitter.start()
    end = valve.wait_for_reader()
    until(lambda: len(run.process._given) == 3)
    assert submitter.is_alive()
    assert submitted == [0, 1]
    assert sorted(run.process._progress.in_flight) == [1, 2]
    valve.let_through(end, photographs[1])
    submitter.join()
    assert run.process.finish(Finish()).frames_used == FRAMES
    assert max(most) <= 2


def test_an_abort_ends_the_wait_of_whoever_submits(
    start: Starter, records: list[FrameRecord], tmp_path: Path, photographs: list[bytes]
) -> None:
    valve = Valve(tmp_path / "slow.jpg")
    records[0] = record(0, valve.path, photographs[0])
    run = start(in_flight_bytes=1)
    ends: list[int] = []

    def abort() -> None:
        ends.append(valve.wait_for_reader())
        for _ in range(3):
            run.process.abort()

    aborter = threading.Thread(target=abort)
    aborter.start()
    with pytest.raises(ShootAborted, match="nothing has been published"):
        finish(run, records)
    aborter.join()
    os.close(ends[0])
    with pytest.raises(ShootAborted):
        run.process.finish(Finish())
    run.process.close()
    discard(run.process._place)
    assert list(run.folder.parent.iterdir()) == []


def test_what_failed_is_raised_by_its_own_name(start: Starter, records: list[FrameRecord]) -> None:
    run = start()
    with pytest.raises(TooFewFrames, match="there is 1"):
        finish(run, records[:1])


def test_a_damaged_and_a_changed_original_are_left_out_with_their_reason(
    start: Starter, records: list[FrameRecord], tmp_path: Path
) -> None:
    half = Path(records[1].original.path)
    data = half.read_bytes()[:-500]
    half.write_bytes(data)
    records[1] = record(1, half, data)
    Path(records[3].original.path).write_bytes(b"something else")
    run = start()
    assert finish(run, records).frames_used == FRAMES - 2
    assert [(e.index, e.error) for e in run.of(LeftOut)] == [(1, "DamagedImage"), (3, "OriginalChanged")]


def test_a_listener_that_fails_is_logged_and_changes_nothing(start: Starter, records: list[FrameRecord]) -> None:
    def fail(run: Run, event: Event) -> None:
        raise KeyError("a bug in a listener")

    with structlog.testing.capture_logs() as logs:
        run = start(listen=fail)
        first = run.process._process
        assert finish(run, records).frames_used == FRAMES
    assert run.process._process is first, "no process is started in its place"
    assert [e.index for e in run.of(Fused)] == list(range(FRAMES))
    assert {entry["event"] for entry in logs} == {"worker.started", "listener.failed"}


@pytest.mark.parametrize("after", [0, FRAMES - 1], ids=["stacking", "writing"])
def test_a_process_that_hangs_is_killed_and_another_makes_the_same_result(
    start: Starter, records: list[FrameRecord], undisturbed: dict[str, bytes], after: int
) -> None:
    def be_patient_for(run: Run, silence_s: float) -> None:
        with run.process._condition:
            run.process._silence_s = silence_s
            run.process._condition.notify_all()

    def be_patient_again(run: Run, hanging: subprocess.Popen[bytes]) -> None:
        hanging.wait()
        be_patient_for(run, 120.0)  # the next process may be slow to start on a busy machine

    def stop_once(run: Run, event: Event) -> None:
        if isinstance(event, Fused) and event.index == after:
            hanging = run.process._process
            stop(hanging.pid)
            be_patient_for(run, 0.1)
            threading.Thread(target=be_patient_again, args=(run, hanging)).start()

    with structlog.testing.capture_logs() as logs:
        run = start(listen=stop_once, in_flight_bytes=1)
        if after:
            for one in records:
                run.process.submit(one)
            until(lambda: len(run.of(Fused)) == FRAMES)
            assert run.process.finish(Finish()).frames_used == FRAMES
        else:
            assert finish(run, records).frames_used == FRAMES
    assert pixels(run.process._place.scratch) == undisturbed
    assert [e.index for e in run.of(Fused)] == list(range(FRAMES))
    assert [e["event"] for e in logs if e["event"] != "worker.started"] == ["worker.hung", "worker.died"]


def test_a_process_that_does_not_even_read_is_killed(start: Starter, records: list[FrameRecord]) -> None:
    run = start(silence_s=1.0)
    stopped = run.process._process
    stop(stopped.pid)
    run.process._send(b" " * 1_000_000)  # more than a pipe holds
    assert stopped.wait(timeout=5.0) == -signal.SIGKILL


def test_closing_without_finishing_leaves_no_process(start: Starter, records: list[FrameRecord]) -> None:
    run = start()
    run.process.submit(records[0])
    run.process.close()
    assert run.process._process.poll() is not None
    run.process.close()


def test_the_middle_frame_can_be_the_reference(start: Starter, records: list[FrameRecord]) -> None:
    run = start(method=Method(reference="middle"), survey=tuple(records))
    assert finish(run, records).frames_used == FRAMES


def test_the_depth_so_far_lies_beside_the_live_composite(
    start: Starter, records: list[FrameRecord], tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    run = start(live=tmp_path / "live.jpg", live_depth=tmp_path / "depth.jpg", live_every=1, depth_ends=(10.0, 10.4))
    assert finish(run, records).frames_used == FRAMES
    assert [event.frames for event in run.of(Live)] == [1, 2, 3, 4, 5]
    result = cv2.imread(str(run.process._place.scratch / "result.tif"))
    assert cv2.imread(str(tmp_path / "live.jpg")).shape == result.shape, "it is cropped likewise"
    depth = cv2.imread(str(tmp_path / "depth.jpg"))
    assert depth.shape[1] >= 320, "there is room for the legend"
    assert pixels(run.process._place.scratch) == undisturbed


def test_a_live_preview_that_cannot_be_written_ends_nothing(
    start: Starter, records: list[FrameRecord], tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    live = tmp_path / "live.jpg"
    (tmp_path / ".live.jpg.partial").mkdir()
    run = start(live=live, live_every=1)
    assert finish(run, records).frames_used == FRAMES
    assert not run.of(Live)
    assert pixels(run.process._place.scratch) == undisturbed
