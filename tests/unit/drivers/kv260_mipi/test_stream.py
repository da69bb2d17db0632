"""The camera's frames on the emulated board, by pynq's own camera driver: fresh ones, in time, and after failures."""

from __future__ import annotations

import numpy as np
import pytest

from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.base import ConnectionLost, DeviceNotFound, DeviceTimeout, SettingRefused

pytest.importorskip("pynq")

from focusrail_drivers.accelerators.kv260_emulator import faults
from focusrail_drivers.accelerators.kv260_emulator.scene import moment_of


def numbered(moment, rows, columns):
    """Every frame unlike the one before, and everywhere."""
    return np.full((rows, columns, 3), moment.number % 251, np.uint8)


def is_whole(frame):
    return (frame[1:] == moment_of(frame).number % 251).all()


def test_a_frame_was_exposed_wholly_after_it_was_asked_for(bench):
    bench.stream.open()
    for pause in range(60):  # so that it is asked for at any time of a frame, with and without others waiting
        bench.emulated.pass_frames(pause % 7)
        bench.emulated.pass_time(0.00029 * pause)
        asked_s = bench.emulated.time_s
        moment = moment_of(bench.picture())
        assert asked_s <= moment.from_s + 1e-5
        assert moment.until_s - asked_s < 0.12  # and not many frames later
    bench.stream.close()


def test_the_exposure_has_ended_when_it_says_so(bench):
    bench.stream.open()
    capture = bench.stream.begin(2.0)
    while not capture.ended:
        capture.step()
    ended_s = bench.emulated.time_s
    bench.emulated.pass_frames(100)  # whatever happens then, and however late it is fetched
    while not capture.step():
        pass
    assert moment_of(capture.frame()).until_s <= ended_s
    bench.emulated.pass_frames(100)
    assert moment_of(capture.frame()).until_s <= ended_s


def test_the_frame_is_the_scene_to_the_bit(bench):
    rng = np.random.default_rng(1)
    scene = rng.integers(0, 256, (720, 1280, 3), np.uint8)
    bench.emulated.scene = lambda *_: scene
    bench.stream.open()
    got = bench.picture()
    assert np.array_equal(got[0, 8:], scene[0, 8:]) and np.array_equal(got[1:], scene[1:])


def test_tiles_are_measured_exactly_while_a_frame_is_on_its_way(bench):
    bench.stream.open()
    luma = np.random.default_rng(2).integers(0, 256, (100, 170), np.uint8)
    for _ in range(3):
        asked_s = bench.emulated.time_s
        capture = bench.stream.begin(20.0)
        while not capture.ended:  # nobody looks after it but the accelerator, between its tiles
            assert np.array_equal(bench.accelerator.measure(luma), reference.score(luma, 1))
        while not capture.step():
            pass
        moment = moment_of(capture.frame())
        assert asked_s <= moment.from_s + 1e-5
    assert bench.accelerator.recoveries == 0


def test_composing_the_pipeline_keeps_the_cameras_route_and_spoils_no_picture(bench):
    luma = np.random.default_rng(3).integers(0, 256, (40, 50), np.uint8)
    bench.emulated.scene = numbered
    bench.stream.open()
    for looks in range(30):
        capture, resets = bench.stream.begin(5.0), bench.emulated.dma.mm2s.resets
        for _ in range(looks):
            capture.step()
        bench.accelerator._composed = False  # as after a failure, in the middle of a frame
        assert np.array_equal(bench.accelerator.measure(luma), reference.score(luma, 1))
        assert bench.emulated.dma.mm2s.resets > resets
        while not capture.step():
            pass
        assert is_whole(capture.frame())


@pytest.mark.parametrize(
    "fault",
    [faults.CameraStops(), faults.CameraStops(at_frame=3), faults.CameraStops(at_frame=2, until="configure")],
    ids=lambda fault: f"{fault.at_frame}-{fault.until}",
)
def test_a_camera_that_stops_is_late_in_time_and_comes_back(bench, fault):
    bench.stream.open()
    bench.picture()
    bench.emulated.faults.inject(fault)
    for _ in range(2 if fault.until == "configure" else 1):
        began_s = bench.clock.monotonic_s()
        with pytest.raises(DeviceTimeout, match="no frame of 1280x720@60 within 1 s"):
            bench.picture(timeout_s=1.0)
        assert bench.clock.monotonic_s() - began_s < 1.3  # with mending what failed before
    asked_s = bench.emulated.time_s
    assert asked_s <= moment_of(bench.picture()).from_s + 1e-5


def test_a_camera_that_never_sends_is_said_to_be_silent_each_time(bench):
    bench.stream.open()
    bench.emulated.faults.inject(faults.CameraStops(until="never"))
    with pytest.raises(DeviceTimeout):
        bench.picture(timeout_s=0.5)
    for _ in range(2):
        with pytest.raises(DeviceTimeout, match="nothing comes from the sensor"):
            bench.picture(timeout_s=0.5)


def test_spoilt_frames_are_never_delivered(bench):
    bench.emulated.scene = numbered
    bench.stream.open()
    for at_frame in range(7):
        for times in (1, 2):
            bench.emulated.faults.inject(faults.CameraSpoilt(at_frame=at_frame, times=times))
            asked_s = bench.emulated.time_s
            frame = bench.picture()
            assert is_whole(frame) and asked_s <= moment_of(frame).from_s + 1e-5


def test_frames_of_another_size_are_refused_with_what_the_dma_saw(bench):
    bench.stream.open()
    bench.emulated.faults.inject(faults.CameraWrongSize(cols=-8, times=None))
    with pytest.raises(DeviceTimeout, match=r"line shorter than set.*receiver counted"):
        bench.picture(timeout_s=0.5)
    bench.emulated.faults.clear()
    bench.picture()


def test_a_sensor_that_does_not_answer_is_not_there_and_may_be_plugged_in(bench):
    bench.emulated.sensor.attached = False
    with pytest.raises(DeviceNotFound, match="J9"):
        bench.stream.open()
    bench.emulated.sensor.attached = True
    bench.stream.open()
    bench.picture()


def test_a_failing_set_up_is_told_and_the_next_one_works(bench):
    bench.stream.open()
    bench.emulated.faults.inject(faults.CameraSetupFails())
    bench.emulated.faults.inject(faults.CameraStops(until="configure"))
    for expected in (DeviceTimeout, DeviceTimeout, DeviceNotFound):
        with pytest.raises(expected):
            bench.picture(timeout_s=0.5)
    bench.picture()


def test_an_overlay_that_was_loaded_again_has_its_camera_set_up_again(bench):
    bench.stream.open()
    bench.picture()
    bench.accelerator.board.download()
    assert bench.picture().any()


def test_settings_are_those_that_pynq_has(bench):
    bench.stream.open()
    with pytest.raises(SettingRefused, match="exposure"):
        bench.stream.write({"exposure": "100"})
    from focusrail_drivers.kv260_mipi.pcam import SensorPcam

    if isinstance(bench.stream._pcam, SensorPcam):
        written = {"awb": "disabled", "gamma": "2.2", "wb_gains": "1.5,1,1.25"}
        assert bench.stream.write(written) == written
        with pytest.raises(SettingRefused, match="awb: 'dim'"):
            bench.stream.write({"awb": "dim"})
    else:
        with pytest.raises(SettingRefused, match="no settings at all"):
            bench.stream.write({"gamma": "2.2"})


@pytest.mark.parametrize("name", ["1920x1080@30", "1920x1080@15"])
def test_the_larger_modes_are_those_that_pynq_has(bench, name):
    from focusrail_drivers.kv260_mipi.modes import mode_of
    from focusrail_drivers.kv260_mipi.pcam import LibraryPcam
    from focusrail_drivers.kv260_mipi.stream import MipiStream

    mode = mode_of(name)
    bench.stream.open()
    by_library = isinstance(bench.stream._pcam, LibraryPcam)
    bench.stream.close()
    bench.stream = MipiStream(bench.accelerator.board, mode)
    if by_library and mode.frames_per_s == 15:
        with pytest.raises(SettingRefused, match="no mode 1920x1080@15"):
            bench.stream.open()
        return
    bench.stream.open()
    moment = moment_of(bench.picture())
    assert moment.until_s - moment.from_s == pytest.approx(2 / mode.frames_per_s, rel=0.01)
    bench.stream.close()
    bench.stream = MipiStream(bench.accelerator.board, mode_of("1280x720@60"))
    bench.stream.open()
    assert bench.picture().shape == (720, 1280, 3)


def test_a_closed_stream_gives_its_memory_back_and_can_be_opened_again(bench):
    for _ in range(3):
        bench.stream.open()
        bench.picture()
        bench.stream.close()
        with pytest.raises(ConnectionLost, match="not open"):
            bench.stream.begin(1.0)
