"""The camera driver with the FPGA's service, both in this process: one socket, the emulated board, the world's time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.base import (
    AcceleratorLost,
    CaptureFailed,
    ConnectionLost,
    DeviceInUse,
    DeviceNotFound,
    DeviceTimeout,
    SettingRefused,
)
from focusrail_drivers.clock import SystemClock
from focusrail_drivers.kv260_mipi.camera import Kv260MipiCamera
from peers.kv260_camera import decoded, serving

pytest.importorskip("pynq")

from focusrail_drivers.accelerators.kv260_emulator import faults
from focusrail_drivers.accelerators.kv260_emulator.scene import moment_of


@pytest.fixture
def served(tmp_path):
    with serving(tmp_path) as it:
        yield it


@pytest.fixture
def camera(served):
    made = served.camera()
    made.open()
    yield made
    made.close()


def test_each_picture_was_exposed_after_it_was_asked_for_and_is_delivered_to_the_bit(served, camera):
    scene = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), np.uint8)
    served.board.scene = lambda *_: scene
    for index in range(4):
        asked_s = served.board.time_s
        exposure = camera.expose(index)
        ended_s = served.board.time_s
        served.board.pass_frames(30)  # the rail moves; the picture is fetched late
        (photograph,) = camera.deliver(exposure)
        picture = decoded(photograph)
        moment = moment_of(picture)
        assert asked_s <= moment.from_s + 1e-5 and moment.until_s <= ended_s
        assert np.array_equal(picture[1:], scene[1:])
        assert exposure.frame_index == index and photograph.settings["mode"] == "1280x720@60"


def test_live_view_is_a_jpeg_of_now_and_disturbs_no_frame(served, camera):
    for grey in (40, 160):
        served.board.scene = lambda *_, grey=grey: np.full((720, 1280, 3), grey, np.uint8)
        shown = camera.preview()
        assert shown.media_type == "image/jpeg"
        picture = cv2.imdecode(np.frombuffer(shown.data, np.uint8), cv2.IMREAD_COLOR)
        assert picture[32:].mean() == pytest.approx(grey, abs=2)  # the moment is written above
    (photograph,) = camera.deliver(camera.expose(0))
    assert (decoded(photograph)[1:] == 160).all()


def test_the_other_plane_order_is_the_same_picture_with_its_colours_changed(served):
    colour = np.zeros((720, 1280, 3), np.uint8)
    colour[:] = (10, 20, 200)
    served.board.scene = lambda *_: colour
    for order, expected in (("bgr", (10, 20, 200)), ("rgb", (200, 20, 10))):
        camera = served.camera(plane_order=order)
        camera.open()
        (photograph,) = camera.deliver(camera.expose(0))
        assert (decoded(photograph)[1:] == expected).all()
        camera.close()


def test_pictures_and_scores_are_right_at_the_same_time(served, camera):
    accelerator = served.accelerator()
    luma = np.random.default_rng(2).integers(0, 256, (200, 300), np.uint8)
    expected, stop = reference.score(luma, 1), threading.Event()

    def measure():
        count = 0
        while not stop.is_set():
            assert np.array_equal(accelerator.measure(luma), expected)
            count += 1
        return count

    with ThreadPoolExecutor(1) as pool:
        measuring = pool.submit(measure)
        for index in range(5):
            asked_s = served.board.time_s
            moment = moment_of(decoded(camera.deliver(camera.expose(index))[0]))
            assert asked_s <= moment.from_s + 1e-5
        stop.set()
        assert measuring.result() > 0
    accelerator.close()


def test_a_camera_that_sends_nothing_is_late_in_time_and_the_next_exposure_works(served, camera):
    served.board.faults.inject(faults.CameraStops(at_frame=1))
    began_s = time.monotonic()
    with pytest.raises(DeviceTimeout, match="no frame of 1280x720@60 within 2 s"):
        camera.expose(0)
    assert time.monotonic() - began_s < 5
    assert camera.deliver(camera.expose(0))


def test_a_long_exposure_is_waited_for_though_nothing_is_heard_of_it(served):
    camera = served.camera(timeout_s=6.5)  # longer than a client believes in a service that says nothing
    camera.open()
    served.board.faults.inject(faults.CameraStops(at_frame=1))
    with pytest.raises(DeviceTimeout, match=r"within 6.5 s"):
        camera.expose(0)
    camera.close()


def test_a_camera_is_one_clients_until_it_goes(served, camera):
    other = served.camera()
    with pytest.raises(DeviceInUse, match="used by process"):
        other.open()
    camera.close()
    other.open()
    assert other.deliver(other.expose(0))
    with pytest.raises(ConnectionLost, match="not open"):
        camera.expose(1)
    other.close()


def test_a_client_that_vanishes_in_the_middle_leaves_the_camera_to_the_next(served):
    vanishing = served.camera()
    vanishing.open()
    vanishing.expose(0)
    vanishing._disconnect()
    deadline_s = time.monotonic() + 5
    camera = served.camera()
    while True:
        try:
            camera.open()
            break
        except DeviceInUse:
            assert time.monotonic() < deadline_s
    asked_s = served.board.time_s
    assert asked_s <= moment_of(decoded(camera.deliver(camera.expose(0))[0])).from_s + 1e-5
    camera.close()


def test_an_older_exposure_is_not_delivered_as_the_newer_one(camera):
    first, second = camera.expose(0), camera.expose(1)
    with pytest.raises(CaptureFailed, match="not there any more"):
        camera.deliver(first)
    assert camera.deliver(second)


def test_a_setting_that_pynq_has_not_is_refused_with_a_sentence(camera):
    with pytest.raises(SettingRefused, match=r"exposure: .*pynq"):
        camera.configure({"exposure": "1/60"})
    assert camera.deliver(camera.expose(0))


def test_a_mode_that_there_is_not_is_refused_by_name(served):
    with pytest.raises(ValueError, match="1920x1080@60' is none of 1280x720@60"):
        served.camera(mode="1920x1080@60")


def test_fewer_stale_frames_than_are_needed_are_refused(served):
    with pytest.raises(ValueError, match="stale_frames: 2 is not within 3"):
        served.camera(stale_frames=2)


def test_no_camera_on_the_connector_is_said_and_the_accelerator_does_not_mind(served):
    served.board.sensor.attached = False
    with pytest.raises(DeviceNotFound, match="J9"):
        served.camera().open()
    accelerator = served.accelerator()
    luma = np.random.default_rng(3).integers(0, 256, (60, 60), np.uint8)
    assert np.array_equal(accelerator.measure(luma), reference.score(luma, 1))
    accelerator.close()


def test_no_service_is_said_with_the_command_that_starts_it(tmp_path):
    with pytest.raises(DeviceNotFound, match="systemctl start focusrail-fpga"):
        Kv260MipiCamera(Kv260MipiCamera.Options(socket=tmp_path / "none"), SystemClock()).open()


def test_the_camera_outlives_an_overlay_that_is_loaded_anew(served, camera):
    accelerator = served.accelerator()
    luma = np.random.default_rng(4).integers(0, 256, (60, 60), np.uint8)
    accelerator.measure(luma)
    served.board.faults.inject(faults.Stall(at_tile=0, times=3))  # the third failure loads the overlay
    assert np.array_equal(accelerator.measure(luma), reference.score(luma, 1))
    for _ in range(2):
        asked_s = served.board.time_s
        assert asked_s <= moment_of(decoded(camera.deliver(camera.expose(0))[0])).from_s + 1e-5
    accelerator.close()


def test_the_camera_goes_on_when_the_accelerator_is_lost(served, camera):
    accelerator = served.accelerator()
    served.board.faults.inject(faults.Stall(at_tile=0, times=4))
    with pytest.raises(AcceleratorLost):
        accelerator.measure(np.zeros((60, 60), np.uint8))
    served.board.faults.clear()
    asked_s = served.board.time_s
    assert asked_s <= moment_of(decoded(camera.deliver(camera.expose(0))[0])).from_s + 1e-5
    accelerator.close()
