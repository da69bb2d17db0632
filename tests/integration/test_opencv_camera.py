"""Video sources, with real ones: a film written by OpenCV, and a network stream served by ffmpeg."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from focusrail_drivers.base import (
    ConnectionLost,
    DeviceNotFound,
    DeviceTimeout,
    DriverError,
    NotOffered,
    Photograph,
    SettingRefused,
)
from focusrail_drivers.cameras import opencv
from focusrail_drivers.cameras.opencv import OpenCvCamera
from focusrail_drivers.clock import VirtualClock

Options = OpenCvCamera.Options
WIDTH_PX, HEIGHT_PX = 64, 48
RATE_HZ = 25


@pytest.fixture
def make() -> Iterator[Callable[..., OpenCvCamera]]:
    cameras: list[OpenCvCamera] = []

    def make(source: int | str | Path, **options: object) -> OpenCvCamera:
        source = str(source) if isinstance(source, Path) else source
        camera = OpenCvCamera(Options(source=source, **options), VirtualClock())  # type: ignore[arg-type]
        cameras.append(camera)
        return camera

    yield make
    for camera in cameras:
        camera.close()


def brightness(photograph: Photograph) -> float:
    image = cv2.imdecode(np.frombuffer(photograph.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return float(image.mean())


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Eight pictures, each 30 grey levels brighter than the one before."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (WIDTH_PX, HEIGHT_PX))
    for index in range(8):
        writer.write(np.full((HEIGHT_PX, WIDTH_PX, 3), 30 * index, np.uint8))
    writer.release()
    return path


class Stream:
    """A network camera: ffmpeg serves what a scene looks like at the moment."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/cam"
        self.scene = 40  # grey level
        self._stop = threading.Event()
        self.start()

    def start(self) -> None:
        self._stop.clear()
        self._ffmpeg = subprocess.Popen(
            [
                *("ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{WIDTH_PX}x{HEIGHT_PX}"),
                *("-r", str(RATE_HZ), "-i", "-", "-q:v", "2", "-flush_packets", "1", "-f", "mpjpeg"),
                *("-listen", "1", self.url),
            ],
            bufsize=0,
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._ffmpeg.stdin is not None
        self._feeder = threading.Thread(target=self._feed, args=(self._ffmpeg.stdin.fileno(),))
        self._feeder.start()
        with Path("/proc/net/tcp").open() as table:  # without connecting: it serves one client only
            deadline = time.monotonic() + 10
            while f"0100007F:{self.port:04X} 00000000:0000 0A" not in table.read():
                assert time.monotonic() < deadline
                time.sleep(0.02)
                table.seek(0)

    def _feed(self, fd: int) -> None:
        while not self._stop.wait(1 / RATE_HZ):
            try:
                os.write(fd, bytes([self.scene]) * (WIDTH_PX * HEIGHT_PX))
            except BrokenPipeError:
                return

    def freeze(self) -> None:
        """The camera hangs, with the connection open."""
        self._stop.set()
        self._feeder.join()

    def unplug(self) -> None:
        self._stop.set()
        self._ffmpeg.kill()
        self._ffmpeg.wait()
        self._feeder.join()
        assert self._ffmpeg.stdin is not None
        self._ffmpeg.stdin.close()


@pytest.fixture
def stream() -> Iterator[Stream]:
    if shutil.which("ffmpeg") is None:
        assert "CI" not in os.environ, "CI installs ffmpeg"
        pytest.skip("ffmpeg is not installed")
    stream = Stream()
    yield stream
    stream.unplug()


def test_a_film_gives_its_pictures_in_order_and_says_when_it_ends(
    make: Callable[..., OpenCvCamera], film: Path
) -> None:
    camera = make(film)
    assert camera.open().endswith("film.avi, 64x48 px, MJPG, by FFMPEG")

    for index in range(8):
        (photograph,) = camera.deliver(camera.expose(index))
        assert photograph.media_type == "image/png"
        assert brightness(photograph) == pytest.approx(30 * index, abs=2)

    with pytest.raises(ConnectionLost, match=r"film.avi has ended after 8 pictures"):
        camera.expose(8)


def test_stale_pictures_are_thrown_away(make: Callable[..., OpenCvCamera], film: Path) -> None:
    camera = make(film, stale_frames=3)
    camera.open()

    assert [brightness(camera.deliver(camera.expose(i))[0]) for i in range(2)] == pytest.approx([90, 210], abs=2)


def test_a_numbered_sequence_is_delivered_without_loss(make: Callable[..., OpenCvCamera], tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "frame_0000.png"), image)
    camera = make(tmp_path / "frame_%04d.png")
    camera.open()

    (photograph,) = camera.deliver(camera.expose(0))

    decoded = cv2.imdecode(np.frombuffer(photograph.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(decoded, image)


def test_a_control_is_set_and_read_back(make: Callable[..., OpenCvCamera], film: Path) -> None:
    camera = make(film)
    camera.open()

    assert camera.configure({"pos_frames": "4"}) == {"pos_frames": "4"}

    (photograph,) = camera.deliver(camera.expose(0))
    assert brightness(photograph) == pytest.approx(120, abs=2)
    assert photograph.settings == {"pos_frames": "4"}


def test_live_view_shows_the_scene_as_it_is(make: Callable[..., OpenCvCamera], stream: Stream) -> None:
    camera = make(stream.url)
    camera.open()

    for scene in (40, 120, 200):
        stream.scene = scene
        late = time.monotonic() + 5  # the network's queue is emptied meanwhile
        while abs(brightness(photograph := camera.preview()) - scene) > 4:
            assert time.monotonic() < late
        assert photograph.media_type == "image/jpeg"


def test_a_film_is_not_used_up_by_looking(make: Callable[..., OpenCvCamera], film: Path) -> None:
    camera = make(film)
    camera.open()

    with pytest.raises(NotOffered, match="use up its pictures"):
        camera.preview()

    assert brightness(camera.deliver(camera.expose(0))[0]) == pytest.approx(0, abs=2)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("exposure", "120", r"exposure was set to 120 and reads (0|-1)"),
        ("exposhure", "120", "no control exposhure"),
        ("exposure", "1/60", "'1/60' is not a number"),
    ],
)
def test_a_control_that_does_not_stick_is_refused(
    make: Callable[..., OpenCvCamera], film: Path, name: str, value: str, text: str
) -> None:
    camera = make(film)
    camera.open()

    with pytest.raises(SettingRefused, match=text):
        camera.configure({name: value})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"width_px": 1920, "height_px": 1080}, "size was set to 1920x1080 px and reads 64x48 px"),
        ({"fourcc": "YUYV"}, "fourcc was set to 'YUYV' and reads 'MJPG'"),
        ({"controls": {"exposure": 5}}, r"exposure was set to 5 and reads (0|-1)"),
    ],
)
def test_a_format_that_the_source_does_not_have_is_refused(
    make: Callable[..., OpenCvCamera], film: Path, options: dict[str, object], text: str
) -> None:
    with pytest.raises(SettingRefused, match=text):
        make(film, **options).open()


@pytest.mark.parametrize("source", ["/dev/v4l/by-id/none", "/nowhere/film.avi", "http://127.0.0.1:9/cam"])
def test_a_source_that_is_not_there_is_not_found(make: Callable[..., OpenCvCamera], source: str) -> None:
    with pytest.raises(DeviceNotFound, match="cannot be opened"):
        make(source).open()


def test_an_exposure_never_shows_what_was_before_it_was_asked_for(
    make: Callable[..., OpenCvCamera], stream: Stream
) -> None:
    camera = make(stream.url)
    camera.open()

    for index, scene in enumerate((200, 90, 160)):
        time.sleep(0.3)  # the rail moves and settles: pictures pile up
        stream.scene = scene
        (photograph,) = camera.deliver(camera.expose(index))
        assert brightness(photograph) == pytest.approx(scene, abs=4)


def test_a_picture_must_be_as_young_as_the_source_is_late(make: Callable[..., OpenCvCamera], stream: Stream) -> None:
    camera = make(stream.url, latency_s=0.5, stale_frames=0)
    camera.open()

    began = time.monotonic()
    camera.expose(0)

    assert time.monotonic() - began >= 0.5


def test_an_unplugged_source_is_opened_once_more(make: Callable[..., OpenCvCamera], stream: Stream) -> None:
    camera = make(stream.url)
    camera.open()
    stream.unplug()
    stream.scene = 220
    stream.start()

    assert brightness(camera.deliver(camera.expose(0))[0]) == pytest.approx(220, abs=4)


def test_an_unplugged_source_that_does_not_come_back_is_lost(make: Callable[..., OpenCvCamera], stream: Stream) -> None:
    camera = make(stream.url)
    camera.open()
    stream.unplug()

    with pytest.raises(ConnectionLost, match=r"no more pictures.*opening it again failed.*check cable and power"):
        camera.expose(0)
    with pytest.raises(ConnectionLost, match="cannot be opened"):
        camera.expose(0)

    stream.start()
    assert camera.expose(0).frame_index == 0


def test_a_source_that_hangs_does_not_hang_us(make: Callable[..., OpenCvCamera], stream: Stream) -> None:
    camera = make(stream.url, timeout_s=1.5)
    camera.open()
    stream.freeze()

    with pytest.raises(DeviceTimeout, match=r"did not deliver a picture within 1\.5 s"):  # noqa: PT012
        while True:  # pictures that are under way still come
            began = time.monotonic()
            camera.expose(0)
    assert time.monotonic() - began < 3.0


def test_closing_ends_the_thread_and_later_calls_say_so(make: Callable[..., OpenCvCamera], film: Path) -> None:
    camera = make(film)
    camera.open()
    assert threads_of(camera)

    camera.close()
    camera.close()

    assert not threads_of(camera)
    with pytest.raises(ConnectionLost, match="is not open"):
        camera.expose(0)


def threads_of(camera: OpenCvCamera) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == f"grab {camera._name}"]


def test_find_lists_what_linux_lists() -> None:
    listed = {path.name for path in Path("/sys/class/video4linux").glob("video*")}

    assert len(opencv.find()) <= len(listed)


def test_messages_do_not_give_passwords_away(make: Callable[..., OpenCvCamera]) -> None:
    camera = make("rtsp://admin:secret@127.0.0.1:9/live?user=admin&password=secret", timeout_s=5.0)

    with pytest.raises(DriverError) as raised:
        camera.open()
    assert "secret" not in str(raised.value)
    assert "rtsp://...@127.0.0.1:9/live?..." in str(raised.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"source": ""}, "source: "),
        ({"source": -1}, "source: "),
        ({"width_px": 640}, "width_px: "),
        ({"fourcc": "MJPEG"}, "fourcc: "),
        ({"stale_frames": -1}, "stale_frames: "),
        ({"timeout_s": 0}, "timeout_s: "),
        ({"latency_s": 20}, "latency_s: "),
        ({"controls": {"exposhure": 1}}, "controls: "),
        ({"frames": 3}, "frames"),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        TypeAdapter(Options).validate_python(options)
