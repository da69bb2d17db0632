from __future__ import annotations

import hashlib
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from focusrail.capture.events import FrameStored, Merging, Paused, Published, Started
from focusrail.errors import RecipeRefused, ShootAborted, ShootInUse, exit_code
from focusrail.model.shoot import State
from focusrail.service import Service
from focusrail.worker.messages import Fused
from focusrail_drivers.base import ConnectionLost, DriverError, PositionUnknown
from focusrail_drivers.clock import SystemClock, VirtualClock
from peers.small_rig import FRAMES, TOO_SHALLOW, Home, manifest, photograph, pixels, published, recipe, small_rig

pytestmark = pytest.mark.usefixtures("painted_scene")
Make = Callable[..., Service]


@pytest.fixture
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Make:
    """Make a service with a small rig; keyword arguments as for the rig, and `listen`."""

    def service(listen: Callable[[object], None] = lambda _: None, **given: Any) -> Service:
        made = Service(small_rig(tmp_path / "data", **given), clock=VirtualClock(), listen=listen)
        request.addfinalizer(made.close)
        return made

    return service


def frames_of(service: Service, shoot_id: str) -> list[Path]:
    return [Path(record.original.path) for record in service.journal.frames(shoot_id)]


def only_shoot(service: Service) -> str:
    (shoot,) = service.journal.shoots()
    return shoot.shoot_id


# --- what is published ------------------------------------------------------------------------------------------------


def test_a_shoot_publishes_every_result(shot: tuple[Service, Published]) -> None:
    _, done = shot
    names = {p.name for p in done.folder.iterdir()}
    assert names == {
        "result.jpg", "result.tif", "depth.tif", "depth.png", "confidence.png", "index.png", "contact_sheet.jpg",
        "report.html", "shoot.json", "thumbnails",
    }  # fmt: skip
    assert len(list((done.folder / "thumbnails").iterdir())) == FRAMES
    assert not done.left_out
    assert all(TOO_SHALLOW in warning for warning in done.finished.warnings)


def test_the_manifest_proves_every_file(shot: tuple[Service, Published]) -> None:
    _, done = shot
    listed = manifest(done.folder)["files"]
    there = {str(p.relative_to(done.folder)) for p in done.folder.rglob("*") if p.is_file()} - {"shoot.json"}
    assert set(listed) == there
    for name, facts in listed.items():
        data = (done.folder / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (facts["sha256"], facts["size_bytes"]), name


def test_the_journal_proves_every_original(shot: tuple[Service, Published]) -> None:
    service, done = shot
    records = service.journal.frames(done.shoot_id)
    assert [r.index for r in records] == list(range(FRAMES))
    for record in records:
        data = Path(record.original.path).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (record.original.sha256, record.original.size_bytes)
    assert service.journal.shoot(done.shoot_id).state is State.PUBLISHED


def test_the_result_is_judged_against_the_truth(shot: tuple[Service, Published]) -> None:
    _, done = shot
    judgement = manifest(done.folder)["judgement"]
    assert judgement["psnr_db"] == done.finished.psnr_db
    assert judgement["psnr_db"] > 24
    assert judgement["ssim"] == done.finished.ssim
    assert judgement["ssim"] > 0.85
    assert judgement["registration_p95_px"] < 1
    report = (done.folder / "report.html").read_text(encoding="utf-8")
    assert f"{judgement['psnr_db']:.1f}" in report
    assert f"{judgement['ssim']:.3f}" in report


def test_the_frames_stand_where_the_recipe_says(shot: tuple[Service, Published]) -> None:
    _, done = shot
    page = manifest(done.folder)
    assert [f["position_mm"] for f in page["frames"]] == pytest.approx(np.linspace(10, 14, FRAMES), abs=1 / 1600)
    assert page["recipe"]["from_mm"] == 10.0
    assert sum(f["won"] for f in page["frames"]) == pytest.approx(1)


def test_the_specimen_is_named_wherever_a_person_looks(shot: tuple[Service, Published]) -> None:
    _, done = shot
    assert done.folder.name == f"00123-beetle, dorsal-{done.shoot_id}"
    described = "beetle, dorsal 00123"
    with Image.open(done.folder / "result.jpg") as picture:
        exif = picture.getexif()
        assert exif[0x010E] == described
        assert exif[0x010F] == "focusrail"  # the camera's maker, carried over
        assert exif.get_ifd(0x8769)[0x829A] > 0  # and its exposure time
    with tifffile.TiffFile(done.folder / "result.tif") as file:
        assert file.pages.first.description == described
    assert "00123" in (done.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["result.tif", "depth.tif"])
def test_the_lateral_scale_is_in_the_resolution_tags(shot: tuple[Service, Published], name: str) -> None:
    _, done = shot
    with tifffile.TiffFile(done.folder / name) as file:
        tags = file.pages.first.tags
        assert tags["ResolutionUnit"].value == 3  # centimetres
        numerator, denominator = tags["XResolution"].value
        assert numerator / denominator == pytest.approx(10_000 / 2.5)  # um per cm, um per px


def test_the_carriage_returns_to_where_it_started(make: Make) -> None:
    places: list[float | None] = []

    def listen(event: object) -> None:
        if isinstance(event, FrameStored | Published) and service._carriage is not None:
            places.append(service._carriage.status().position_mm)

    service = make(listen, rail={"homed": True, "start_mm": 9.0})
    service.shoot(recipe())
    assert max(place or 0 for place in places) == 14.0
    assert places[-1] == 9.0


def test_a_16_bit_camera_makes_a_16_bit_result(make: Make) -> None:
    service = make(camera={"file_format": "tiff", "bit_depth": 16})
    done = service.shoot(recipe())
    image = pixels(done.folder)
    assert image.dtype == np.uint16
    assert len(np.unique(image & 0xFF)) == 256, "these are not 8 bits blown up"
    assert manifest(done.folder)["result"]["bit_depth"] == 16
    with Image.open(done.folder / "result.jpg") as preview:
        assert preview.mode == "RGB"


def test_originals_are_kept_byte_for_byte(make: Make, photographs: Path) -> None:
    service = make(camera_driver="replay", camera={"folder": str(photographs)})
    done = service.shoot(recipe())
    kept = [path.read_bytes() for path in frames_of(service, done.shoot_id)]
    assert kept == [path.read_bytes() for path in sorted(photographs.iterdir())]
    assert done.finished.psnr_db is None, "nobody knows the truth of real photographs"


def test_a_watcher_never_sees_a_part_of_a_result(make: Make) -> None:
    ended = threading.Event()
    partial: list[Path] = []
    service = make()

    def watch() -> None:
        while not ended.wait(0.002):
            for folder in published(service.config.store.outbound_folder):
                page = manifest(folder) if (folder / "shoot.json").exists() else {"files": {"shoot.json": None}}
                partial.extend(folder / name for name in page["files"] if not (folder / name).exists())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        done = service.shoot(recipe())
    finally:
        ended.set()
        watcher.join()
    assert not partial
    assert list(done.folder.parent.iterdir()) == [done.folder], "no scratch folder stays behind"


def test_frames_are_fused_while_the_shoot_goes_on(make: Make) -> None:
    seen: list[object] = []
    service = make(listen=seen.append, stacking={"in_flight_mb": 1, "preview_every": 2})
    done = service.shoot(recipe(frames=20))
    kinds = [type(event) for event in seen]
    assert kinds[0] is Started and kinds[-1] is Published
    assert kinds.index(Fused) < kinds.index(Merging)
    assert (service.config.store.spool_folder / done.shoot_id / "live.jpg").read_bytes().startswith(b"\xff\xd8\xff")


# --- faults -----------------------------------------------------------------------------------------------------------

FAULTS = {
    "the camera makes no picture, twice": {"capture_fails_at": [3, 3]},
    "the camera makes no picture of the first": {"capture_fails_at": [0]},
    "a delivery hangs": {"hangs_at": [3], "hang_s": 5.0},
    "the last delivery hangs, twice": {"hangs_at": [FRAMES - 1, FRAMES - 1], "hang_s": 5.0},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_frame_that_failed_is_made_again_at_the_same_place(
    make: Make, photographs: Path, fault: dict[str, Any]
) -> None:
    """With backlash taken up: 60 um of it would show as another view."""
    service = make(camera=fault)
    done = service.shoot(recipe())
    made = [photograph(path) for path in frames_of(service, done.shoot_id)]
    wanted = [photograph(path) for path in sorted(photographs.iterdir())]
    for index, (one, other) in enumerate(zip(made, wanted, strict=True)):
        assert np.array_equal(one, other), index


def test_a_camera_that_fails_for_good_ends_the_shoot_with_its_frames_safe(make: Make) -> None:
    service = make(camera={"capture_fails_at": [4] * 3})
    with pytest.raises(DriverError, match=r"no picture of frame 4; 4 frames are safe: `focusrail resume ") as e:
        service.shoot(recipe())
    assert exit_code(e.value) == 30
    shoot_id = only_shoot(service)
    assert service.journal.shoot(shoot_id).state is State.FAILED
    assert service.restack(shoot_id).finished.frames_used == 4


@pytest.mark.parametrize("index", [0, 3, FRAMES - 1])
@pytest.mark.parametrize("fault", ["truncated_at", "dark_at"])
def test_one_bad_frame_is_left_out_and_named(make: Make, fault: str, index: int) -> None:
    service = make(camera={fault: [index]})
    done = service.shoot(recipe())
    assert done.finished.frames_used == FRAMES - 1
    assert [exit_code(error) for error in done.left_out] == [13 if fault == "truncated_at" else 18]
    assert f"{index:06d}.jpg" in str(done.left_out[0])
    assert any(f"{index:06d}.jpg" in warning for warning in done.finished.warnings)
    page = manifest(done.folder)
    assert [f["used"] for f in page["frames"]] == [k != index for k in range(FRAMES)]
    assert page["judgement"]["psnr_db"] > 22
    assert page["judgement"]["registration_p95_px"] < 1
    with Image.open(done.folder / "result.jpg") as picture:
        assert picture.getexif()[0x010F] == "focusrail", "metadata come from the first frame that can be used"
    assert len(frames_of(service, done.shoot_id)) == FRAMES, "the original is kept, bad as it is"


def test_a_rail_that_resets_ends_the_shoot_with_its_frames_safe(make: Make) -> None:
    service = make(rail={"reset_at_move": 6})
    with pytest.raises(PositionUnknown, match=r"reset on the way to .* mm; home before moving; \d frames are safe"):
        service.shoot(recipe())
    shoot_id = only_shoot(service)
    stored = len(frames_of(service, shoot_id))
    assert 2 <= stored < FRAMES
    assert service.journal.shoot(shoot_id).state is State.FAILED
    done = service.restack(shoot_id)
    assert (done.version, done.finished.frames_used) == (1, stored)
    assert service.journal.shoot(shoot_id).state is State.PUBLISHED


def test_a_camera_that_goes_away_ends_the_shoot_with_its_frames_safe(make: Make) -> None:
    service = make(camera={"connection_lost_at": [5]})
    with pytest.raises(ConnectionLost, match="5 frames are safe"):
        service.shoot(recipe())
    assert service.restack(only_shoot(service)).finished.frames_used == 5


def test_a_home_switch_that_is_not_found_ends_the_shoot_before_the_first_frame(make: Make) -> None:
    service = make(rail={"fail_home": True})
    with pytest.raises(DriverError, match=r"no home switch within .* check the switch and its cable$"):
        service.shoot(recipe())
    assert service.journal.shoot(only_shoot(service)).state is State.FAILED
    assert not published(service.config.store.outbound_folder)


OUTSIDE = {
    "beyond the end": {"to_mm": 61.0},
    "before home": {"from_mm": -1.0},
    "no room to take up backlash": {"from_mm": 0.05, "to_mm": 1.0},
    "beyond the soft limits": {"to_mm": 31.0},
}


@pytest.mark.parametrize("wrong", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_a_recipe_outside_the_travel_is_refused_before_anything_moves(make: Make, wrong: dict[str, Any]) -> None:
    carriages = []
    service: Service = make(
        lambda event: carriages.append(service._carriage) if isinstance(event, Started) else None,
        rail={"homed": True},
        travel_mm={"min": 0, "max": 30},
    )
    said = r"-?\d+\.\d+ mm .* the travel of 0 to 30 mm.*change .*rail\.travel_mm"
    with pytest.raises(RecipeRefused, match=said) as error:
        service.shoot(recipe(**wrong))
    assert exit_code(error.value) == 21
    assert [carriage.position_mm() for carriage in carriages if carriage] in ([], [8.0])
    assert all(not frames_of(service, shoot.shoot_id) for shoot in service.journal.shoots())
    assert not published(service.config.store.outbound_folder)


# --- pause, abort -----------------------------------------------------------------------------------------------------


def test_a_paused_shoot_goes_on_to_the_same_result(make: Make, shot: tuple[Service, Published]) -> None:
    states: list[State] = []

    def listen(event: object) -> None:
        if isinstance(event, FrameStored) and event.index == 2:
            service.pause()
        elif isinstance(event, Paused):
            states.append(service.journal.shoot(only_shoot(service)).state)
            service.resume()

    service = make(listen=listen)
    done = service.shoot(recipe())
    assert states == [State.PAUSED, State.SHOOTING]
    assert np.array_equal(pixels(done.folder), pixels(shot[1].folder))


def test_an_abort_while_paused_ends_the_shoot(make: Make) -> None:
    def listen(event: object) -> None:
        if isinstance(event, FrameStored) and event.index == 2:
            service.pause()
        elif isinstance(event, Paused):
            assert event.paused
            service.abort()

    service = make(listen=listen)
    with pytest.raises(ShootAborted, match="frames are safe"):
        service.shoot(recipe())
    assert service.journal.shoot(only_shoot(service)).state is State.ABORTED


@pytest.mark.parametrize("index", [1, 4, FRAMES - 1])
def test_an_aborted_shoot_keeps_what_was_stored(make: Make, index: int) -> None:
    def listen(event: object) -> None:
        if isinstance(event, FrameStored) and event.index == index:
            service.abort()

    service = make(listen=listen)
    with pytest.raises(
        ShootAborted, match=r"(aborted|stopped).*; \d frames are safe: `focusrail (resume|stack --shoot) "
    ) as error:
        service.shoot(recipe())
    assert exit_code(error.value) == 130
    shoot_id = only_shoot(service)
    assert service.journal.shoot(shoot_id).state is State.ABORTED
    stored = len(frames_of(service, shoot_id))
    assert index + 1 <= stored <= index + 2, "the exposure in hand is stored, too"
    assert not list(service.config.store.outbound_folder.iterdir())
    service._listen = lambda _: None
    assert service.restack(shoot_id).finished.frames_used == stored


@pytest.mark.parametrize("at", [Started, Merging])
def test_an_abort_is_heeded_at_any_time(make: Make, at: type) -> None:
    service: Service = make(listen=lambda event: service.abort() if isinstance(event, at) else None)
    with pytest.raises(ShootAborted):
        service.shoot(recipe())
    assert service.journal.shoot(only_shoot(service)).state is State.ABORTED
    assert not list(service.config.store.outbound_folder.iterdir())
    service._listen = lambda _: None
    assert service.shoot(recipe()).finished.frames_used == FRAMES, "it is for what was going on, not for the next shoot"


def test_an_abort_stops_the_rail_in_the_middle_of_a_move(tmp_path: Path) -> None:
    slow = {"homed": True, "start_mm": 10.0, "max_speed_mm_s": 5.0, "acceleration_mm_s2": 40.0, "max_mm": 60.0}
    service = Service(small_rig(tmp_path, rail=slow), clock=SystemClock())
    errors: list[BaseException] = []

    def shoot() -> None:
        try:
            service.shoot(recipe(from_mm=50.0, to_mm=54.0))
        except ShootAborted as error:
            errors.append(error)

    thread = threading.Thread(target=shoot)
    thread.start()
    until = time.monotonic() + 30
    while time.monotonic() < until:
        carriage = service._carriage
        if carriage is not None and (carriage.status().position_mm or 0) > 10.5:
            break
        time.sleep(0.01)
    began_s = time.monotonic()
    service.abort()
    assert carriage is not None
    thread.join(10)
    assert time.monotonic() - began_s < 2, "8 s of the move were left"
    assert errors and not thread.is_alive()
    assert 10.5 < (carriage.status().position_mm or 0) < 30
    service.close()


# --- one at a time ----------------------------------------------------------------------------------------------------


def test_nobody_else_can_take_the_rig_or_the_shoot_meanwhile(home: Home) -> None:
    refused: list[tuple[int, list[str]]] = []

    def listen(event: object) -> None:
        if isinstance(event, FrameStored) and event.index == 1:
            for arguments in (["rail", "home"], ["stack", "--shoot", only_shoot(service)]):
                said = home.run(*arguments)
                refused.append((said.code, said.sentences))
            other = Service(config)
            with pytest.raises(ShootInUse), other.rig():
                pass
            other.close()

    config = small_rig(home.data)
    service = Service(config, clock=VirtualClock(), listen=listen)
    done = service.shoot(recipe())
    assert refused == [
        (24, ["focusrail: another focusrail process holds the rig; wait for it to end, or stop it"]),
        (24, [f"focusrail: shoot {done.shoot_id} is being worked on by another process; wait for it to end"]),
    ]
    service.close()


# --- stacking again ---------------------------------------------------------------------------------------------------


def test_a_restack_is_a_version_beside_the_first_with_the_same_pixels(make: Make) -> None:
    service = make()
    first = service.shoot(recipe())
    again = service.restack(first.shoot_id)
    assert (first.version, again.version) == (1, 2)
    assert again.folder == first.folder.with_name(first.folder.name + ".v2")
    for name in ("result.tif", "depth.tif", "index.png"):
        assert np.array_equal(photograph(first.folder / name), photograph(again.folder / name)), name
    ours, theirs = manifest(first.folder), manifest(again.folder)
    assert (ours["version"], theirs["version"]) == (1, 2)
    for key in ("shoot", "recipe", "method", "judgement", "result"):
        assert ours[key] == theirs[key], key
    assert service.journal.publications(first.shoot_id) == [(1, first.folder), (2, again.folder)]


def test_the_spool_as_a_folder_of_photographs_gives_the_same_pixels(
    make: Make, shot: tuple[Service, Published], photographs: Path
) -> None:
    service = make()
    before = {path: path.stat().st_mtime_ns for path in photographs.iterdir()}
    listing, done = service.stack_folder(photographs, step_mm=4 / (FRAMES - 1))
    assert np.array_equal(pixels(done.folder), pixels(shot[1].folder))
    assert not listing.skipped
    assert {path: path.stat().st_mtime_ns for path in photographs.iterdir()} == before


def test_an_original_that_changed_is_left_out_of_a_restack(make: Make) -> None:
    service = make()
    first = service.shoot(recipe())
    gone, changed, *_ = frames_of(service, first.shoot_id)[3:]
    gone.unlink()
    changed.write_bytes(changed.read_bytes() + b"\0")
    again = service.restack(first.shoot_id)
    assert again.finished.frames_used == FRAMES - 2
    assert [exit_code(error) for error in again.left_out] == [19, 19]
    assert gone.name in str(again.left_out[0]) and changed.name in str(again.left_out[1])


def test_a_shoot_takes_no_more_memory_for_more_frames(make: Make) -> None:
    """In the process that owns the rail; that of the stacking process has a test of its own."""
    held: dict[int, int] = {}

    def listen(event: object) -> None:
        if isinstance(event, FrameStored) and event.index in (9, 39):
            held[event.index] = tracemalloc.get_traced_memory()[0]

    service = make(listen=listen)
    tracemalloc.start()
    try:
        service.shoot(recipe(frames=40))
    finally:
        tracemalloc.stop()
    frame_bytes = 324 * 216 * 3
    # One may be developed just then, and as a photograph each has 25 kB.
    assert held[39] - held[9] < 2 * frame_bytes, "30 frames more must not weigh as much as two"
