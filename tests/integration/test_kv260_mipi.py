"""The MIPI camera of the emulated KV260, with the service that owns the FPGA in a process of its own."""

from __future__ import annotations

import itertools
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from focusrail.service import Service
from focusrail_drivers import registry
from focusrail_drivers.base import CaptureFailed, ConnectionLost
from focusrail_drivers.clock import SystemClock, VirtualClock
from focusrail_drivers.kv260_mipi.camera import Kv260MipiCamera
from focusrail_drivers.rails.simulated import SimulatedRail
from peers.fpga_service_process import ServiceProcess
from peers.kv260_camera import decoded, serving
from peers.small_rig import manifest, photograph, pixels, recipe, small_rig

pytest.importorskip("pynq")


@pytest.fixture
def start(tmp_path):
    """Starts a service with an emulated board, and a camera on it."""
    started: list[Any] = []

    def start(*, faults="", **options):
        service = ServiceProcess(tmp_path, emulated=True, options={"frame_timeout_s": 0.3}, faults=faults)
        started.append(service)
        service.start()
        given = {"mode": "1280x720@60", "timeout_s": 2.0, "socket": service.socket, **options}
        camera = Kv260MipiCamera(Kv260MipiCamera.Options(**given), SystemClock())
        started.append(camera)
        return service, camera

    yield start
    for each in reversed(started):
        each.close()


def picture(camera, index=0):
    (delivered,) = camera.deliver(camera.expose(index))
    return decoded(delivered)


def expose_for_ever(camera):
    for index in itertools.count():  # one of them waits for a frame that never comes
        camera.expose(index)


def test_a_service_killed_in_the_middle_of_an_exposure_costs_that_exposure_and_no_more(start):
    service, camera = start(faults="camera_stops at_frame=12 until=never", timeout_s=30.0)
    camera.open()
    assert picture(camera).shape == (720, 1280, 3)
    service.keep()
    threading.Timer(0.5, service.kill).start()
    with pytest.raises(CaptureFailed, match="may be made again"):
        expose_for_ever(camera)
    assert picture(camera).shape == (720, 1280, 3)


def test_a_service_killed_between_exposure_and_delivery_costs_that_picture_and_no_more(start):
    service, camera = start()
    camera.open()
    service.keep()
    exposure = camera.expose(0)
    service.kill()
    with pytest.raises(CaptureFailed, match="may be made again"):
        camera.deliver(exposure)
    with pytest.raises(CaptureFailed, match="make it again"):
        camera.deliver(exposure)
    assert picture(camera).shape == (720, 1280, 3)


def test_a_set_up_that_never_ends_ends_with_the_service_that_the_watchdog_kills(start):
    service, camera = start(faults="camera_setup_hangs")
    threading.Timer(1.0, service.kill).start()  # as systemd does when the service has not told for long that it lives
    began_s = time.monotonic()
    with pytest.raises(ConnectionLost, match="hung up: open camera"):
        camera.open()
    assert time.monotonic() - began_s < 20


def blurred(texture, sigma_px):
    return cv2.GaussianBlur(texture, (0, 0), sigma_px) if sigma_px > 0.2 else texture


def sharpness(image):
    return float(cv2.Laplacian(image, cv2.CV_64F).var())


@pytest.mark.parametrize("accelerator", ["cpu", "kv260"])
def test_a_shoot_has_each_frame_of_its_place_and_is_published(tmp_path, monkeypatch, accelerator):
    """With kv260, the same emulated board takes the pictures and measures them, at the same time."""
    rails = []

    class Seen(SimulatedRail):
        def __init__(self, *args):
            super().__init__(*args)
            rails.append(self)

    of_others = registry.load
    ours = {("rails", "simulated"): Seen, ("cameras", "kv260_mipi"): Kv260MipiCamera}
    monkeypatch.setattr(registry, "load", lambda kind, name: ours.get((kind, name)) or of_others(kind, name))
    texture = np.random.default_rng(6).integers(0, 256, (720, 1280, 3), np.uint8)
    texture = blurred(texture, 0.8)

    @lru_cache(maxsize=2)
    def seen_from(at_mm):
        """The left half is in focus at 11 mm, the right one at 13 mm."""
        left, right = (blurred(texture, 2 * abs(at_mm - focus_mm)) for focus_mm in (11.0, 13.0))
        return np.hstack([left[:, :640], right[:, 640:]])

    with serving(tmp_path, tile_height_px=368, tile_width_px=648) as served:
        served.board.scene = lambda *_: seen_from(rails[-1].true_position_mm()).copy()
        options = {"mode": "1280x720@60", "socket": str(served.socket)}
        sections = {}
        if accelerator == "kv260":
            sections = {"accelerator": {"driver": "kv260", "options": {"socket": str(served.socket), "shift": 1}}}
        config = small_rig(tmp_path / "data", camera_driver="kv260_mipi", camera=options, **sections)
        service = Service(config, clock=VirtualClock())
        try:
            done = service.shoot(recipe(from_mm=10.0, to_mm=14.0, frames=9))
            frames = [photograph(Path(record.original.path)) for record in service.journal.frames(done.shoot_id)]
        finally:
            service.close()
    assert [frame.shape for frame in frames] == [(720, 1280, 3)] * 9
    sharpest = [int(np.argmax([sharpness(frame[8:, half]) for frame in frames])) for half in halves()]
    assert sharpest == [2, 6]  # the frames at 11 and at 13 mm
    result = pixels(done.folder)
    assert result.shape[0] > 700 and result.shape[1] > 1260
    assert manifest(done.folder)["measured_by"].startswith(accelerator)
    assert manifest(done.folder)["warnings"] == []
    for half, index in zip(halves(), sharpest, strict=True):
        assert sharpness(result[100:600, half]) > 0.5 * sharpness(frames[index][100:600, half])


def halves():
    return slice(20, 600), slice(680, 1260)
