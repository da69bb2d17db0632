"""Cameras on USB, against the virtual PTP camera that comes with libgphoto2: the real library, driver and protocol.

It cannot do everything a camera does: exposures take no time, there is no RAW + JPEG, and the cable cannot be pulled.
Its count of pictures lives as long as its process: the helper.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from pydantic import TypeAdapter, ValidationError

from focusrail_drivers.base import (
    CameraStorageFull,
    CaptureFailed,
    ConnectionLost,
    DeviceNotFound,
    DeviceTimeout,
    Exposure,
    NotOffered,
    SettingRefused,
)
from focusrail_drivers.cameras import gphoto2
from focusrail_drivers.cameras.found import FoundCamera
from focusrail_drivers.cameras.gphoto2 import Gphoto2Camera
from focusrail_drivers.clock import VirtualClock

pytest.importorskip("gphoto2", reason="the optional library gphoto2 is not installed")

Options = Gphoto2Camera.Options
CARD = "Memory card"


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The JPEG that the virtual camera delivers for every exposure."""
    folder = tmp_path / "DCIM" / "100NIKON"
    folder.mkdir(parents=True)
    path = folder / "DSC_0001.JPG"
    noise = np.random.default_rng(5).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), noise)
    monkeypatch.setenv("VCAMERADIR", str(tmp_path))
    return path


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def make(picture: Path, clock: VirtualClock) -> Iterator[Callable[..., Gphoto2Camera]]:
    cameras: list[Gphoto2Camera] = []

    def make(**options: object) -> Gphoto2Camera:
        camera = Gphoto2Camera(Options(**{"quiet_s": 0.1, "capture_s": 3.0, **options}), clock)  # type: ignore[arg-type]
        cameras.append(camera)
        return camera

    yield make
    for camera in cameras:
        camera.close()


@pytest.fixture
def camera(make: Callable[..., Gphoto2Camera]) -> Gphoto2Camera:
    camera = make()
    camera.open()
    return camera


def helper(camera: Gphoto2Camera) -> psutil.Process:
    assert camera._child.pid is not None
    return psutil.Process(camera._child.pid)


def kill_helper(camera: Gphoto2Camera) -> None:
    process = helper(camera)
    process.kill()
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)


def press_release(camera: Gphoto2Camera, *, after_s: float) -> None:
    """Somebody presses the remote release: a vendor command of the virtual camera, which shows as a setting."""
    args = {"name": "opcode", "value": f"0x9999,0x0,{int(after_s * 1000):#x}", "settle_s": 0.0}
    with pytest.raises(SettingRefused):  # it is a command: what is read back is something else
        camera._child.call("write", args, timeout_s=5.0)


def name_of(exposure: Exposure) -> str:
    assert isinstance(exposure.token, gphoto2._Announced)
    return exposure.token.name


def on_camera(camera: Gphoto2Camera, exposure: Exposure) -> bool:
    """Whether the exposure's picture is still there."""
    assert isinstance(exposure.token, gphoto2._Announced)
    folder, name = exposure.token.folder, exposure.token.name
    return [folder, name] in camera._child.call("siblings", {"folder": folder, "name": name}, timeout_s=5.0).result


def test_find_lists_the_camera_as_the_configuration_would_name_it(picture: Path) -> None:
    assert gphoto2.find() == [FoundCamera("gphoto2", "Nikon DSC D750", "usb:001,001")]


def test_opening_names_the_camera(make: Callable[..., Gphoto2Camera]) -> None:
    assert make().open() == "Nikon DSC D750, serial 0.1, at usb:001,001, battery 50%"


@pytest.mark.parametrize("options", [{"serial": "0.1"}, {"model": "nikon"}, {"port": "usb:001,001"}])
def test_a_camera_is_chosen_by_serial_or_by_a_part_of_its_name_or_by_port(
    make: Callable[..., Gphoto2Camera], options: dict[str, str]
) -> None:
    assert make(**options).open().startswith("Nikon DSC D750")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"serial": "3009123"}, "no camera with serial '3009123': Nikon DSC D750 has '0.1'"),
        ({"model": "EOS R5"}, "no camera with model 'EOS R5' on USB; connected: Nikon DSC D750 at usb:001,001"),
        ({"port": "usb:009,009"}, "no camera with port 'usb:009,009'"),
    ],
)
def test_another_camera_than_the_one_wanted_is_not_taken(
    make: Callable[..., Gphoto2Camera], options: dict[str, str], text: str
) -> None:
    camera = make(**options)

    with pytest.raises(DeviceNotFound, match=text):
        camera.open()
    assert camera._child.pid is None


def test_no_camera_says_what_to_do(make: Callable[..., Gphoto2Camera], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VCAMERADIR")

    with pytest.raises(DeviceNotFound, match="connected: none; switch it on, and its USB mode to PTP"):
        make().open()


def test_frames_come_byte_for_byte_although_names_have_gaps_and_folders_roll_over(
    camera: Gphoto2Camera, picture: Path
) -> None:
    names = []
    for index in range(4):
        exposure = camera.expose(index)
        names.append(name_of(exposure))
        (photograph,) = camera.deliver(exposure)
        assert exposure.frame_index == index
        assert photograph.data == picture.read_bytes()
        assert photograph.media_type == "image/jpeg"

    assert names == ["GPH_0099.JPG", "GPH_0101.JPG", "GPH_0103.JPG", "GPH_0105.JPG"]


def test_a_delivered_picture_is_deleted_from_the_camera(make: Callable[..., Gphoto2Camera]) -> None:
    camera = make(capture_target=CARD)
    camera.open()
    exposure = camera.expose(0)
    assert on_camera(camera, exposure)

    camera.deliver(exposure)

    assert not on_camera(camera, exposure)


@pytest.mark.parametrize(("target", "kept"), [(CARD, True), ("Internal RAM", False)])
def test_keep_on_card_keeps_it_on_the_card_but_never_in_the_memory(
    make: Callable[..., Gphoto2Camera], target: str, kept: bool
) -> None:
    camera = make(capture_target=target, keep_on_card=True)
    camera.open()
    exposure = camera.expose(0)

    camera.deliver(exposure)

    assert on_camera(camera, exposure) is kept


def test_settings_are_applied_and_go_with_every_photograph(make: Callable[..., Gphoto2Camera]) -> None:
    camera = make(settings={"f-number": "f/8"})
    camera.open()

    assert camera.configure({"shutterspeed": "0.0200s"}) == {"shutterspeed": "0.0200s"}

    (photograph,) = camera.deliver(camera.expose(0))
    assert photograph.settings == {"f-number": "f/8", "shutterspeed": "0.0200s"}


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("shutterspeed", "1/60", r"no choice '1/60'; there are: 1\.0000s, 0\.1000s"),  # the camera ignores it silently
        ("serialnumber", "7", "cannot be set over USB"),
        ("irisspeed", "3", "has no such setting"),
        ("opcode", "0x9999,0x0,0x0", r"was set to '0x9999,0x0,0x0' and reads '0x1001,0xparam1,0xparam2' after 0.2 s"),
        ("bulb", "on", "cannot be 'on'"),
    ],
)
def test_a_setting_that_does_not_stick_is_refused(
    camera: Gphoto2Camera, monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str
) -> None:
    monkeypatch.setattr(gphoto2, "SETTING_SHOWS_S", 0.2)
    with pytest.raises(SettingRefused, match=text):
        camera.configure({name: value})

    assert name not in camera._settings  # and it is not tried again at a reconnection


def test_a_refused_setting_in_the_options_leaves_nothing_open(make: Callable[..., Gphoto2Camera]) -> None:
    camera = make(settings={"f-number": "f/7.77"})

    with pytest.raises(SettingRefused):
        camera.open()
    assert camera._child.pid is None


def test_a_full_card_is_noticed_and_after_a_change_of_card_the_frame_is_made(camera: Gphoto2Camera) -> None:
    for index in range(26):
        camera.expose(index)

    for _ in range(2):  # it stays full, and says so in another way the second time
        with pytest.raises(CameraStorageFull, match="card is full"):
            camera.expose(26)

    kill_helper(camera)  # the virtual camera's way of getting an empty card
    assert camera.deliver(camera.expose(26))


def test_a_picture_that_cannot_be_fetched_fails_and_the_next_try_succeeds(camera: Gphoto2Camera, picture: Path) -> None:
    exposure = camera.expose(0)
    data = picture.read_bytes()
    picture.unlink()

    with pytest.raises(CaptureFailed, match=r"fetching /store_00010001/DCIM/100GPHOT/GPH_0099.JPG"):
        camera.deliver(exposure)

    picture.write_bytes(data)
    assert camera.deliver(camera.expose(0))[0].data == data


def test_a_picture_that_is_cut_off_is_not_delivered_and_not_deleted(
    make: Callable[..., Gphoto2Camera], picture: Path
) -> None:
    camera = make(capture_target=CARD)
    camera.open()
    exposure = camera.expose(0)
    picture.write_bytes(picture.read_bytes()[:-200] + bytes(200))

    with pytest.raises(CaptureFailed, match=r"GPH_0099.JPG is cut off"):
        camera.deliver(exposure)
    assert on_camera(camera, exposure)


def test_a_library_that_dies_costs_a_reconnection_and_no_frame(
    make: Callable[..., Gphoto2Camera], clock: VirtualClock
) -> None:
    camera = make(settings={"f-number": "f/8"})
    camera.open()
    camera.configure({"shutterspeed": "0.0200s"})
    camera.deliver(camera.expose(0))
    kill_helper(camera)

    (photograph,) = camera.deliver(camera.expose(1))

    assert photograph.settings == {"f-number": "f/8", "shutterspeed": "0.0200s"}
    assert clock.monotonic_s() == 2.0  # a camera needs that to come back onto the bus


def test_a_picture_lost_with_the_connection_is_a_failed_capture(camera: Gphoto2Camera) -> None:
    exposure = camera.expose(0)
    kill_helper(camera)  # the virtual camera forgets its pictures, as a real one forgets what is in its memory

    with pytest.raises(CaptureFailed):
        camera.deliver(exposure)
    assert camera.deliver(camera.expose(0))


def test_a_library_that_hangs_is_ended_within_the_deadline_and_the_next_try_succeeds(
    make: Callable[..., Gphoto2Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gphoto2, "SLACK_S", 0.5)
    camera = make(capture_s=0.5)
    camera.open()
    process = helper(camera)
    process.suspend()

    began = time.monotonic()
    with pytest.raises(DeviceTimeout, match=r"no answer to expose within 1 s"):
        camera.expose(0)

    assert time.monotonic() - began < 2.5
    assert not process.is_running()
    assert camera.deliver(camera.expose(0))


def test_a_camera_that_is_gone_is_given_up_after_the_reconnections(
    make: Callable[..., Gphoto2Camera], clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = make(reconnects=2)
    camera.open()
    monkeypatch.delenv("VCAMERADIR")
    kill_helper(camera)

    with pytest.raises(ConnectionLost, match=r"\(serial 0.1\) is gone, also after 2 reconnections: no camera"):
        camera.expose(0)
    assert clock.monotonic_s() == 4.0


def test_a_camera_that_comes_back_later_goes_on(
    make: Callable[..., Gphoto2Camera], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    camera = make(reconnects=1)
    camera.open()
    monkeypatch.delenv("VCAMERADIR")
    kill_helper(camera)
    with pytest.raises(ConnectionLost):
        camera.expose(0)

    monkeypatch.setenv("VCAMERADIR", str(tmp_path))

    assert camera.deliver(camera.expose(0))


def test_an_external_release_is_waited_for(make: Callable[..., Gphoto2Camera], picture: Path) -> None:
    camera = make(trigger="external")
    camera.open()
    press_release(camera, after_s=0.4)

    began = time.monotonic()
    exposure = camera.expose(0)

    assert time.monotonic() - began > 0.2
    assert camera.deliver(exposure)[0].data == picture.read_bytes()


def test_an_external_release_that_never_comes_fails(make: Callable[..., Gphoto2Camera]) -> None:
    camera = make(trigger="external", capture_s=0.3)
    camera.open()

    with pytest.raises(CaptureFailed, match=r"no picture within 0.3 s; nobody released the shutter"):
        camera.expose(0)


def test_a_picture_from_before_is_not_taken_for_this_frame(camera: Gphoto2Camera) -> None:
    press_release(camera, after_s=0.0)
    time.sleep(0.1)  # the camera's own time

    assert name_of(camera.expose(0)) == "GPH_0099.JPG"  # the other was GPH_0098.JPG


def test_all_files_of_a_frame_are_waited_for(make: Callable[..., Gphoto2Camera]) -> None:
    camera = make(files_per_frame=2)
    camera.open()
    press_release(camera, after_s=0.3)  # stands for the raw file, which comes a little later

    exposure = camera.expose(0)

    assert len(camera.deliver(exposure)) == 2


def test_a_missing_companion_is_a_failed_capture(make: Callable[..., Gphoto2Camera]) -> None:
    camera = make(files_per_frame=2, capture_s=0.5)
    camera.open()

    with pytest.raises(CaptureFailed, match=r"1 of 2 files within 0.5 s"):
        camera.deliver(camera.expose(0))


def test_closing_ends_the_helper_and_later_calls_say_so(camera: Gphoto2Camera) -> None:
    process = helper(camera)

    camera.close()
    camera.close()

    assert not process.is_running()
    with pytest.raises(ConnectionLost, match="is not open"):
        camera.expose(0)


def test_making_one_touches_nothing(make: Callable[..., Gphoto2Camera]) -> None:
    assert make()._child.pid is None


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"capture_s": 0}, "capture_s: "),
        ({"quiet_s": float("nan")}, "quiet_s: "),
        ({"files_per_frame": 0}, "files_per_frame: "),
        ({"reconnects": -1}, "reconnects: "),
        ({"settings": {"capturetarget": CARD}}, "settings: "),
        ({"trigger": "relay"}, "trigger"),
        ({"exposure": 3}, "exposure"),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        TypeAdapter(Options).validate_python(options)


def test_numbers_in_the_settings_are_what_the_camera_calls_them() -> None:
    options = TypeAdapter(Options).validate_python({"settings": {"iso": 100, "zoom": 0.5, "fastfs": True}})

    assert Gphoto2Camera(options, VirtualClock())._settings == {"iso": "100", "zoom": "0.5", "fastfs": "1"}


def test_a_camera_without_live_view_says_so_and_goes_on_shooting(camera: Gphoto2Camera) -> None:
    for _ in range(2):
        with pytest.raises(NotOffered, match="no live view over USB; look at its own display"):
            camera.preview()

    assert camera.deliver(camera.expose(0))[0].media_type == "image/jpeg"


def test_settings_can_be_read_without_writing_any(camera: Gphoto2Camera) -> None:
    assert camera.configure({}) == {"shutterspeed": "0.0100s", "f-number": "f/2.8"}
