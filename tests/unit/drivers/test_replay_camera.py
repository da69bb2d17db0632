from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from focusrail_drivers.base import Camera, CaptureFailed, ConnectionLost, DeviceNotFound, SettingRefused
from focusrail_drivers.cameras.replay import ReplayCamera, natural
from focusrail_drivers.clock import VirtualClock
from focusrail_drivers.rails.simulated import SimulatedRail


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in (1, 2, 9, 10, 11):
        (tmp_path / f"IMG_{number}.JPG").write_bytes(b"photograph %d" % number)
    (tmp_path / "notes.txt").write_text("not a photograph")
    (tmp_path / "raw.jpg").mkdir()
    return tmp_path


def bench(
    folder: Path, *, order: Literal["forward", "reverse"] = "forward", homed: bool = True, to_mm: float = 14.0
) -> tuple[SimulatedRail, ReplayCamera]:
    clock = VirtualClock()
    rail = SimulatedRail(SimulatedRail.Options(homed=homed), clock)
    rail.open()
    options = ReplayCamera.Options(folder=folder, from_mm=10.0, to_mm=to_mm, order=order)
    return rail, ReplayCamera(options, clock, rail)


def shot_at(rail: SimulatedRail, camera: ReplayCamera, position_mm: float) -> bytes:
    rail.move_to(position_mm)
    return camera.deliver(camera.expose(0))[0].data


def test_the_photograph_nearest_to_the_carriage_is_served_unaltered(folder: Path) -> None:
    rail, camera = bench(folder)
    assert "5 photographs" in camera.open()
    served = [shot_at(rail, camera, position_mm) for position_mm in (5.0, 10.0, 11.2, 11.8, 12.6, 14.0, 30.0)]
    assert served == [b"photograph %d" % number for number in (1, 1, 2, 9, 10, 11, 11)]


def test_the_media_type_follows_the_file(folder: Path) -> None:
    rail, as_camera = bench(folder)
    camera: Camera = as_camera
    camera.open()
    rail.move_to(10.0)
    photograph = camera.deliver(camera.expose(3))[0]
    assert (photograph.media_type, photograph.settings["replayed"]) == ("image/jpeg", "IMG_1.JPG")


def test_a_photograph_is_chosen_when_exposed_not_when_delivered(folder: Path) -> None:
    rail, camera = bench(folder)
    camera.open()
    rail.move_to(10.0)
    exposure = camera.expose(0)
    rail.move_to(14.0)
    assert camera.deliver(exposure)[0].data == b"photograph 1"


def test_reversed_order_serves_the_last_one_first(folder: Path) -> None:
    rail, camera = bench(folder, order="reverse")
    camera.open()
    assert shot_at(rail, camera, 10.0) == b"photograph 11"


def test_a_range_may_run_towards_home(folder: Path) -> None:
    rail, camera = bench(folder, to_mm=6.0)
    camera.open()
    assert shot_at(rail, camera, 6.0) == b"photograph 11"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    _, camera = bench(tmp_path / "nowhere")
    with pytest.raises(DeviceNotFound, match="nowhere: no such folder"):
        camera.open()


def test_a_folder_without_photographs_is_named(tmp_path: Path) -> None:
    _, camera = bench(tmp_path)
    with pytest.raises(DeviceNotFound, match="holds no photograph"):
        camera.open()


def test_nothing_is_shot_while_the_rail_does_not_know_where_it_is(folder: Path) -> None:
    _, camera = bench(folder, homed=False)
    camera.open()
    with pytest.raises(CaptureFailed, match="home it"):
        camera.expose(0)


def test_a_photograph_that_has_gone_is_a_failed_capture(folder: Path) -> None:
    rail, camera = bench(folder)
    camera.open()
    rail.move_to(10.0)
    exposure = camera.expose(0)
    (folder / "IMG_1.JPG").unlink()
    with pytest.raises(CaptureFailed, match=r"IMG_1\.JPG"):
        camera.deliver(exposure)


def test_a_closed_camera_takes_no_picture(folder: Path) -> None:
    _, camera = bench(folder)
    camera.open()
    camera.close()
    camera.close()
    with pytest.raises(ConnectionLost):
        camera.expose(0)


def test_no_setting_can_be_written(folder: Path) -> None:
    _, camera = bench(folder)
    camera.open()
    assert camera.configure({}) == {}
    with pytest.raises(SettingRefused, match="iso"):
        camera.configure({"iso": "100"})


@pytest.mark.parametrize(
    ("field", "wrong"), [("folder", ""), ("from_mm", float("nan")), ("to_mm", float("inf")), ("transfer_s", -1.0)]
)
def test_a_wrong_option_is_refused_by_its_name(field: str, wrong: object) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        ReplayCamera.Options(**{"folder": "here", field: wrong})  # type: ignore[arg-type]


def test_numbers_in_names_count_as_numbers() -> None:
    assert sorted(["b2", "b10", "B1", "10", "9", "a"], key=natural) == ["9", "10", "a", "B1", "b2", "b10"]
