"""What pynq's own camera driver sees of the emulated board: that the emulator is right, and why we do otherwise."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from focusrail_drivers.accelerators.kv260_emulator import faults
from focusrail_drivers.accelerators.kv260_emulator.scene import Moment, moment_of
from peers.kv260_rig import SWITCH, ThroughPynq, board, overlay_folder

pytest.importorskip("pynq", reason="pynq is not installed")


@pytest.fixture(params=[False, True], ids=["own metadata", "real metadata"])
def camera(request: pytest.FixtureRequest, tmp_path: Path, loop_for_pynq: asyncio.AbstractEventLoop) -> Any:
    """(board, pynq's hierarchy driver), streaming over eight stores as pynq has it."""
    from pynq.lib.video import VideoMode

    if request.param and overlay_folder() is None:
        pytest.skip("a board's metadata (FOCUSRAIL_KV260_OVERLAY or ../shared/kv260) is not here")
    emulated = board()
    driver = ThroughPynq(emulated, tmp_path, overlay_folder() if request.param else None)
    driver.write(SWITCH, 0x40 + 4 * emulated.layout.ports["mipi"].into, emulated.layout.ports["mipi"].out_of)
    driver.write(SWITCH, 0, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no bus is labelled as the camera's here
        hierarchy = driver.overlay.mipi
        if not hasattr(hierarchy.mipi_csi2_rx_subsyst, "configure") and hasattr(hierarchy, "wb_gains"):
            from pynq.lib.video.mipi_rx import MipiRx

            hierarchy.mipi_csi2_rx_subsyst = MipiRx(hierarchy.description["ip"]["mipi_csi2_rx_subsyst"])
        hierarchy.configure(VideoMode(1280, 720, 24, fps=60))
    hierarchy.start()
    return emulated, hierarchy


def moment(hierarchy: Any) -> Moment:
    frame = hierarchy.readframe()
    found = moment_of(np.array(frame))
    frame.freebuffer()
    return found


async def read_for_ever(hierarchy: Any) -> None:
    while True:
        await hierarchy.readframe_async()
        await asyncio.sleep(0)


def test_frames_come_at_the_sensors_rate_in_their_order(camera: Any) -> None:
    emulated, hierarchy = camera
    for _ in range(8):
        moment(hierarchy)  # pynq takes the oldest of eight stores, of which the first were never filled
    moments = [moment(hierarchy) for _ in range(12)]
    assert [each.number for each in moments] == sorted({each.number for each in moments})
    periods = {round(each.until_s - each.from_s, 4) for each in moments}
    assert periods == {round(2 / 60.03, 4)}
    assert emulated.sensor.frames_per_s == pytest.approx(60, abs=0.1)
    hierarchy.stop()


def test_after_a_pause_pynq_delivers_frames_from_before_it_was_asked(camera: Any) -> None:
    emulated, hierarchy = camera
    for _ in range(8):
        moment(hierarchy)
    emulated.pass_frames(100)
    asked_s = emulated.time_s
    stale = 0
    while moment(hierarchy).from_s < asked_s:
        stale += 1
    assert 1 <= stale <= 9
    hierarchy.stop()


def test_readframe_waits_for_ever_when_the_camera_stops(camera: Any, loop_for_pynq: asyncio.AbstractEventLoop) -> None:
    emulated, hierarchy = camera
    moment(hierarchy)
    emulated.faults.inject(faults.CameraStops())
    with pytest.raises(asyncio.TimeoutError):
        loop_for_pynq.run_until_complete(asyncio.wait_for(read_for_ever(hierarchy), 1.0))


def test_nothing_comes_while_nothing_is_routed_to_the_cameras_memory(
    camera: Any, loop_for_pynq: asyncio.AbstractEventLoop
) -> None:
    emulated, hierarchy = camera
    ports = emulated.layout.ports["mipi"]
    emulated.write(emulated.layout.windows[SWITCH].address + 0x40 + 4 * ports.into, 0x80000000)
    emulated.write(emulated.layout.windows[SWITCH].address, 2)
    with pytest.raises(asyncio.TimeoutError):
        loop_for_pynq.run_until_complete(asyncio.wait_for(read_for_ever(hierarchy), 1.0))
    assert "from nowhere" in emulated.mipi.standing
