"""What the camera sees, for whoever watches; and halting, whatever else goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from focusrail.capture.live_view import Picture
from focusrail.desk import Desk
from focusrail.errors import RigBusy
from focusrail.event_log import EventLog
from focusrail_drivers.base import ConnectionLost, NotOffered
from peers.served import Service, served
from peers.small_rig import small_rig

PREVIEW_S = 2.0  # the first one paints the scene
HALT_S = 0.25
REALISTIC = {"max_speed_mm_s": 5, "acceleration_mm_s2": 40, "axial_vibration_um": 2, "lateral_vibration_um": 8}
HUNG = 6  # this frame is not delivered


# --- at the desk ------------------------------------------------------------------------------------------------------


@contextmanager
def desk(folder: Path, **given: Any) -> Iterator[Desk]:
    """A desk whose rig is open, and homed."""
    desk = Desk(small_rig(folder, **given), EventLog())
    try:
        desk.open()
        desk.on_rig("homing", lambda rig: rig.carriage.home())
        yield desk
    finally:
        desk.close()
        desk.service.close()


async def pictures(desk: Desk, count: int) -> list[Picture | None]:
    with desk.live.watching() as viewer:
        return [await viewer.next() for _ in range(count)]


def test_who_is_slow_misses_pictures_and_sees_the_newest(tmp_path: Path) -> None:
    async def watch(desk: Desk) -> tuple[int, int]:
        with desk.live.watching() as slow, desk.live.watching() as quick:
            first = await slow.next()
            newest = [await quick.next() for _ in range(5)][-1]
            second = await slow.next()
            assert first and second and newest
            return second.number - first.number, newest.number - second.number

    with desk(tmp_path) as at:
        missed, behind = asyncio.run(watch(at))
        assert missed >= 3
        assert behind <= 1  # the one that is being told just now


def test_without_viewers_no_picture_is_taken(tmp_path: Path) -> None:
    with desk(tmp_path) as at:
        asyncio.run(pictures(at, 2))
        for thread in threading.enumerate():
            if thread.name == "live view":
                thread.join(5.0)
                assert not thread.is_alive()
        assert at.live.viewers == 0


def test_a_lost_camera_is_trouble_and_comes_back(tmp_path: Path) -> None:
    async def watch(at: Desk) -> None:
        seen = 0
        with at.live.watching() as viewer, pytest.raises(ConnectionLost, match="went away"):  # noqa: PT012
            while True:  # who is slow misses some
                assert await viewer.next()
                seen += 1
        assert seen

    with desk(tmp_path, camera={"preview_lost_at": (10,)}) as at:
        asyncio.run(watch(at))
        assert "went away" in at.status().trouble
        at.open()  # as the service does again and again
        assert (at.status().trouble, at.status().position_mm) == ("", 0.0)
        assert all(asyncio.run(pictures(at, 2)))


def test_a_camera_that_shows_nothing_says_so_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(b"\xff\xd8\xff")
    with desk(tmp_path, camera_driver="replay", camera={"folder": str(folder), "transfer_s": 0}) as at:
        with pytest.raises(NotOffered, match="no live view"):
            asyncio.run(pictures(at, 1))
        assert not at.status().trouble
        assert at.camera.test_shot()[0].data == b"\xff\xd8\xff"


def test_while_frames_are_made_nobody_watches(tmp_path: Path) -> None:
    with desk(tmp_path) as at:
        with at.live.aside("frames"), pytest.raises(RigBusy, match="frames"):
            asyncio.run(pictures(at, 1))
        assert asyncio.run(pictures(at, 1))


# --- as a service -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A rig that moves as a real one does, and is homed."""
    camera = {"width_px": 600, "height_px": 400, "hangs_at": (HUNG,), "transfer_s": 0.05}
    rail = {**REALISTIC, "homed": True}
    with served(tmp_path_factory.mktemp("served"), rail=rail, camera=camera) as running:
        yield running


def pixels(jpeg: bytes) -> npt.NDArray[np.floating[Any]]:
    """Of a JPEG."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image.astype(np.float32)


class Stream:
    """A viewer on a connection of its own."""

    def __init__(self, service: Service, **given: Any) -> None:
        self.connection = service.connected(**given)
        words = f"GET /api/camera/live HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {service.token()}\r\n\r\n"
        self.connection.sendall(words.encode())
        self._file = self.connection.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers = self._head()
        assert self._file.read(9) == b"--picture"

    def _head(self) -> dict[str, str]:
        lines = iter(lambda: self._file.readline().decode().strip(), "")
        return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    def next(self) -> tuple[int, bytes] | None:
        """Number and JPEG of the next picture; None at the end, which is a proper one."""
        if self._file.read(2) == b"--":
            assert self._file.read() == b"\r\n"
            return None
        head = self._head()
        data = self._file.read(int(head["content-length"]))
        assert self._file.read(11) == b"\r\n--picture"
        return int(head["x-number"]), data

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.connection.close()


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """While something goes on that will be broken off."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join(20.0)


def halt(service: Service) -> float:
    """Halt; return how long it took until the rail stood (s)."""
    began_s = time.monotonic()
    service.post("/halt", 204)
    took_s = time.monotonic() - began_s
    assert not service.status()["moving"]
    return took_s


def photograph(picture: tuple[int, bytes] | None) -> npt.NDArray[np.floating[Any]]:
    assert picture is not None
    return pixels(picture[1])


def difference(picture: tuple[int, bytes] | None, other: npt.NDArray[np.floating[Any]]) -> float:
    return float(np.abs(photograph(picture) - other).mean())


def begin(service: Service, **given: Any) -> str:
    wish = {"name": "beetle", "from_mm": 1.0, "to_mm": 2.0, "frames": 20, **given}
    return str(service.post("/shoots", 202, json={"recipe": wish})["shoot_id"])


def idle(status: dict[str, Any]) -> bool:
    return not status["doing"]


def has_stored(frames: int) -> Callable[[dict[str, Any]], bool]:
    return lambda status: (status["progress"] or {"stored": 0})["stored"] >= frames


def test_pictures_come_and_change_when_the_rail_moves(service: Service) -> None:
    with Stream(service) as stream:
        assert stream.headers["content-type"].startswith("multipart/x-mixed-replace")
        still = [stream.next() for _ in range(3)]
        with meanwhile(lambda: service.post("/rail/goto", json={"position_mm": 11.0})):  # moving waits for no picture
            service.wait(lambda status: status["moving"])
            assert stream.next() and service.status()["moving"]  # nor pictures for the rail
        alone = service._client.get("/api/camera/preview")
        here = pixels(alone.content)
        moved = [stream.next()]
        while len(moved) < 40 and difference(moved[-1], here) > 3:  # some are still on their way
            moved.append(stream.next())
    assert alone.headers["content-type"] == "image/jpeg"
    assert difference(moved[-1], here) < 3
    assert difference(still[0], photograph(still[-1])) < 3
    assert difference(still[-1], here) > 3
    numbers = [picture[0] for picture in (*still, *moved) if picture]
    assert numbers == sorted(set(numbers))


def test_the_kernel_keeps_no_old_pictures_for_a_slow_viewer(service: Service) -> None:
    with Stream(service, receive_bytes=4096) as slow, Stream(service) as quick:
        now, said = 0, 0
        while said < 600_000:  # bytes
            picture = quick.next()
            assert picture is not None
            now, said = picture[0], said + len(picture[1])
        old = 0
        while (picture := slow.next()) is not None and picture[0] < now:
            old += len(picture[1])
        assert picture is not None
        assert old < 300_000  # 200 kB on a busy machine; without a limit all of it


def test_viewers_are_few(service: Service) -> None:
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(Stream(service))
        service.get("/camera/live", 429)
    service.wait(lambda _: service._client.get("/api/camera/preview").status_code == 200)


def test_a_shoot_ends_the_stream_and_does_not_wait_for_it(service: Service) -> None:
    with Stream(service) as stream:
        assert stream.next()
        began_s = time.monotonic()
        begin(service)
        assert time.monotonic() - began_s < PREVIEW_S
        while stream.next():
            pass
    told = service.get("/camera/live", 409)
    assert "frames" in told["detail"] and told["type"] == "/problems/rig-busy"
    service.get("/camera/preview", 409)
    service.post("/halt", 204)
    service.wait(idle)
    with Stream(service) as stream:
        assert stream.next()


def test_settings_are_read_back_and_hold_for_shoots(service: Service) -> None:
    before = service.get("/camera/settings")["settings"]
    assert before == {"exposure_s": "0.001", "iso": "100"}
    with Stream(service) as stream:
        dark = photograph(stream.next())
        assert service.put("/camera/settings", json={"settings": {"iso": "200"}})["settings"]["iso"] == "200"
        stream.next()
        assert photograph(stream.next()).mean() > 1.3 * dark.mean()
    told = service.put("/camera/settings", 422, json={"settings": {"iso": "many"}})
    assert told["detail"] == "iso: 'many' is not a positive number"
    shoot_id = begin(service)
    service.post("/halt", 204)
    service.wait(idle)
    assert service.get(f"/shoots/{shoot_id}")["recipe"]["camera_settings"] == {"iso": "200"}
    service.put("/camera/settings", json={"settings": before})


def test_halting_takes_no_longer_whatever_else_goes_on(service: Service) -> None:
    """From the request to standing still, of which this rail's deceleration from full speed takes 125 ms."""
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(Stream(service)).next()
        service.post("/rail/home")
        with meanwhile(lambda: service.ask_alone("POST", "/rail/goto", json={"position_mm": 50.0})):
            service.wait(lambda status: status["moving"] and status["position_mm"] > 3)
            assert halt(service) < HALT_S
    with meanwhile(lambda: service.ask_alone("POST", "/rail/home")):
        service.wait(lambda status: status["moving"])
        assert halt(service) < HALT_S
    service.post("/rail/home")
    for stored in (2, HUNG):  # with frames coming, and with a camera that hangs
        begin(service)
        service.wait(has_stored(stored))
        assert halt(service) < HALT_S
        if stored != HUNG:
            service.wait(idle)
