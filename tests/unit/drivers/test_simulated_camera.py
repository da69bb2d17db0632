from __future__ import annotations

import dataclasses
import io
import time
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import ExifTags, Image

from focusrail_drivers.base import (
    Camera,
    CaptureFailed,
    ConnectionLost,
    DeviceTimeout,
    Exposure,
    Previews,
    SettingRefused,
    TruthfulCamera,
)
from focusrail_drivers.cameras.simulated import SimulatedCamera
from focusrail_drivers.clock import VirtualClock
from focusrail_drivers.rails.simulated import SimulatedRail

LONG_S = 5.0
SMALL: dict[str, Any] = {"width_px": 480, "height_px": 320, "file_format": "png"}
QUIET: dict[str, Any] = {**SMALL, "full_well_electrons": 0.0, "flicker": 0.0}


class Bench:
    """A homed rail and an open camera on one clock."""

    def __init__(self, camera: dict[str, Any], rail: dict[str, Any] | None = None) -> None:
        self.clock = VirtualClock()
        self.rail = SimulatedRail(SimulatedRail.Options(**{"homed": True, **(rail or {})}), self.clock)
        self.rail.open()
        self.camera = SimulatedCamera(SimulatedCamera.Options(**camera), self.clock, self.rail)
        self.camera.open()

    def expose(self, position_mm: float, index: int = 0, *, settle_s: float = LONG_S) -> Exposure:
        self.rail.move_to(position_mm)
        self.clock.wait(settle_s)
        return self.camera.expose(index)

    def data(self, exposure: Exposure) -> bytes:
        return self.camera.deliver(exposure)[0].data

    def shot(self, position_mm: float, index: int = 0, *, settle_s: float = LONG_S) -> npt.NDArray[Any]:
        return decoded(self.data(self.expose(position_mm, index, settle_s=settle_s)))


def decoded(data: bytes) -> npt.NDArray[Any]:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return np.asarray(image)


def sharpness(image: npt.NDArray[Any]) -> float:
    return float(cv2.Laplacian(image.astype(np.float32), cv2.CV_32F).var())


@pytest.fixture(scope="module", autouse=True)
def _scene_painted_once() -> Any:
    # Cameras of the same scene share it as long as one of them lives.
    keep = Bench(QUIET)
    keep.camera.truth()
    return keep


def test_it_is_a_camera_that_knows_the_truth() -> None:
    camera: Camera = Bench(QUIET).camera
    assert isinstance(camera, TruthfulCamera)
    assert isinstance(camera, Previews)


def test_same_seed_index_and_position_give_the_same_bytes() -> None:
    one, other = Bench(SMALL), Bench(SMALL)
    other.shot(13.0, 3)  # what was shot before does not matter
    other.rail.move_to(9.0)
    assert one.data(one.expose(11.5, 7)) == other.data(other.expose(11.5, 7))


def test_another_place_has_other_noise_and_another_lamp_whatever_the_index_is() -> None:
    bench = Bench({**SMALL, "jitter_um": 0.0})
    assert np.array_equal(bench.shot(11.5, 0), bench.shot(11.5, 1)), "a frame added later equals one shot in one go"
    one, other = (bench.shot(position_mm).astype(np.float32) for position_mm in (11.5, 11.501))
    difference = one / max(1.0, float(one.mean())) - other / max(1.0, float(other.mean()))
    assert difference.std() > 0.002
    assert abs(one.mean() / other.mean() - 1) > 1e-4


def test_another_seed_is_another_scene() -> None:
    assert np.abs(Bench(QUIET).shot(11.5).astype(int) - Bench({**QUIET, "seed": 2}).shot(11.5)).mean() > 2


def test_in_focus_the_frame_is_the_truth_seen_through_the_true_transform() -> None:
    bench = Bench({**QUIET, "width_px": 900, "height_px": 600})
    truth = bench.camera.truth()
    # Judged where it is in focus, and nothing nearer throws its veil over it.
    for position_mm in (10.8, 11.5, 12.5):
        exposure = bench.expose(position_mm, 5)
        frame = decoded(bench.data(exposure))
        transform = bench.camera.true_transform(exposure)
        back = cv2.warpAffine(frame, transform[:2], (900, 600), flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP)
        in_focus = np.abs(truth.depth_mm - position_mm) < 0.03
        unveiled = cv2.erode(truth.depth_mm, np.ones((41, 41), np.uint8)) > position_mm - 0.25
        judged = in_focus & unveiled
        judged[:, :60] = judged[:, -60:] = judged[-40:] = False
        assert judged.sum() > 500
        assert truth.all_in_focus[judged].std() > 20  # there is texture to be judged
        error = (back.astype(np.float64) - truth.all_in_focus)[judged]
        assert 10 * np.log10(255**2 / np.mean(error**2)) > 38


@pytest.mark.parametrize("position_mm", [10.4, 13.4])
def test_the_true_transform_is_the_one_that_fits_best(position_mm: float) -> None:
    bench = Bench(QUIET)
    exposure = bench.expose(position_mm, 2)
    frame = decoded(bench.data(exposure)).astype(np.float32)
    view = bench.camera._darkroom.stage
    x0, y0 = view.view.frame_origin_px
    defocused = view.renderer.picture(position_mm)

    def misfit(transform: npt.NDArray[np.float64]) -> float:
        to_frame = transform @ np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1.0]])
        seen = cv2.warpAffine(defocused, to_frame[:2], (480, 320), flags=cv2.INTER_LANCZOS4)
        return float(np.abs(seen - frame)[20:-20, 20:-20].mean())

    true = bench.camera.true_transform(exposure)
    shifted, grown = np.eye(3), np.diag([1.002, 1.002, 1.0])
    shifted[0, 2] = 0.25
    assert misfit(true) < 0.5
    assert misfit(shifted @ true) > 1.2 * misfit(true)
    assert misfit(grown @ true) > 1.2 * misfit(true)


def test_truth_and_frames_share_their_size_and_the_depths_of_the_options() -> None:
    bench = Bench(QUIET)
    truth = bench.camera.truth()
    assert truth.all_in_focus.shape == (320, 480, 3) == bench.shot(12.0).shape
    assert truth.depth_mm.shape == (320, 480)
    depths = truth.depth_mm[truth.depth_mm < 14.5]
    assert 9.9 <= depths.min() < 10.8
    assert 13.3 < depths.max() <= 14.1
    assert truth.depth_mm.max() == np.float32(14.6)


def test_backlash_displaces_what_is_in_focus_unless_approached_from_one_side() -> None:
    bench = Bench({**QUIET, "jitter_um": 0.0}, {"backlash_mm": 0.2})
    bench.rail.move_to(11.0)
    from_below = bench.shot(12.0)
    bench.rail.move_to(13.0)
    from_above = bench.shot(12.0)
    bench.rail.move_to(11.5)
    from_below_again = bench.shot(12.0)
    assert np.array_equal(from_below, from_below_again)
    assert np.abs(from_below.astype(int) - from_above).mean() > 1
    bench.rail.move_to(11.0)
    assert np.array_equal(from_above, bench.shot(12.2))  # the carriage stood there all along


def test_an_exposure_before_the_rail_has_settled_is_blurred() -> None:
    vibration = {"lateral_vibration_um": 40.0}
    quiet = {**QUIET, "jitter_um": 0.0}
    settled = Bench(quiet, vibration).shot(12.0, settle_s=1.0)
    shaken = Bench(quiet, vibration).shot(12.0, settle_s=0.0)
    assert sharpness(shaken) < 0.8 * sharpness(settled)


def test_defocus_blurs() -> None:
    bench = Bench(QUIET)
    assert sharpness(bench.shot(12.0)) > 3 * sharpness(bench.shot(6.0))


def test_no_frame_within_the_scene_has_an_empty_border() -> None:
    for projection in ("similarity", "perspective"):
        bench = Bench({**QUIET, "projection": projection, "background_mm": 15.0})
        stage = bench.camera._darkroom.stage
        for position_mm in (10.0, 14.0, 15.0):
            to_view = np.linalg.inv(bench.camera.true_transform(bench.expose(position_mm)))
            corners = (to_view @ np.array([[0, 479, 0, 479], [0, 0, 319, 319], [1, 1, 1, 1.0]]))[:2]
            x0, y0 = stage.view.frame_origin_px
            assert (corners.T + np.array([x0, y0]) >= 2).all()
            assert (corners[0] + x0 <= stage.view.rect.width - 3).all()
            assert (corners[1] + y0 <= stage.view.rect.height - 3).all()
            assert bench.shot(position_mm).min(axis=2).max() > 0


def test_perspective_changes_what_is_hidden_and_the_transform_holds_in_focus() -> None:
    bench = Bench({**QUIET, "projection": "perspective"})
    truth = bench.camera.truth()
    exposure = bench.expose(11.2, 1)
    frame, transform = decoded(bench.data(exposure)), bench.camera.true_transform(exposure)
    back = cv2.warpAffine(frame, transform[:2], (480, 320), flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP)
    judged = (np.abs(truth.depth_mm - 11.2) < 0.05) & (cv2.erode(truth.depth_mm, np.ones((31, 31), np.uint8)) > 10.6)
    judged[:, :40] = judged[:, -40:] = judged[-30:] = False
    assert judged.sum() > 200
    error = (back.astype(np.float64) - truth.all_in_focus)[judged]
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 30


def test_sixteen_bits_have_more_than_256_levels() -> None:
    for file_format in ("png", "tiff"):
        bench = Bench({**SMALL, "file_format": file_format, "bit_depth": 16})
        exposure = bench.expose(12.0)
        photograph = bench.camera.deliver(exposure)[0]
        image = decoded(photograph.data)
        assert photograph.media_type == f"image/{file_format}"
        assert image.dtype == np.uint16
        assert image.shape == (320, 480, 3)
        assert len(np.unique(image)) > 5000


def test_a_jpeg_carries_time_model_and_exposure() -> None:
    bench = Bench({**SMALL, "file_format": "jpeg"})
    exposure = bench.expose(12.0)
    photograph = bench.camera.deliver(exposure)[0]
    with Image.open(io.BytesIO(photograph.data)) as image:
        exif = image.getexif()
        details = exif.get_ifd(ExifTags.IFD.Exif)
        image.load()
    assert exif[ExifTags.Base.Model] == "focusrail simulated camera"
    assert details[ExifTags.Base.DateTimeOriginal] == exposure.ended_at.strftime("%Y:%m:%d %H:%M:%S")
    assert float(details[ExifTags.Base.ExposureTime]) == pytest.approx(0.02)
    assert photograph.media_type == "image/jpeg"
    assert decoded(photograph.data).shape == (320, 480, 3)


def test_exposing_and_delivering_take_their_time() -> None:
    bench = Bench({**SMALL, "exposure_s": 0.5, "transfer_s": 1.25})
    bench.rail.move_to(12.0)
    start_s = bench.clock.monotonic_s()
    exposure = bench.camera.expose(0)
    assert bench.clock.monotonic_s() - start_s == pytest.approx(0.5)
    bench.camera.deliver(exposure)
    assert bench.clock.monotonic_s() - start_s == pytest.approx(1.75)


def test_the_rail_may_move_between_exposure_and_delivery() -> None:
    bench = Bench(QUIET)
    exposure = bench.expose(11.0)
    at_once = bench.data(exposure)
    bench.rail.move_to(14.0)
    assert bench.data(exposure) == at_once


def test_settings_change_the_brightness_and_are_read_back() -> None:
    bench = Bench(QUIET)
    normal = bench.shot(12.0)
    assert bench.camera.configure({"exposure_s": "0.01"}) == {"exposure_s": "0.01", "iso": "100"}
    exposure = bench.expose(12.0)
    photograph = bench.camera.deliver(exposure)[0]
    assert photograph.settings == {"exposure_s": "0.01", "iso": "100"}
    assert decoded(photograph.data).mean() == pytest.approx(normal.mean() / 2, rel=0.02)
    bench.camera.configure({"iso": "200"})
    assert bench.shot(12.0).mean() == pytest.approx(normal.mean(), rel=0.02)


def preview(bench: Bench, position_mm: float) -> npt.NDArray[np.floating[Any]]:
    bench.rail.move_to(position_mm)
    bench.clock.wait(LONG_S)
    return decoded(bench.camera.preview().data).astype(np.float32)


def test_live_view_shows_what_a_frame_would_show() -> None:
    bench = Bench(QUIET)
    for position_mm in (11.0, 13.0):
        shown = preview(bench, position_mm)
        here, there = bench.shot(position_mm), bench.shot(position_mm + 1.0)
        assert np.abs(shown - here).mean() < 0.5 * np.abs(shown - there).mean()  # and one is a JPEG


def test_live_view_has_the_cameras_noise_and_settings() -> None:
    bench = Bench({**SMALL, "full_well_electrons": 2000.0})
    one, other = preview(bench, 11.5), preview(bench, 11.5)
    assert (one - other).std() > 2
    bench.camera.configure({"iso": "50"})
    assert preview(bench, 11.5).mean() < 0.7 * one.mean()


def test_a_large_frame_is_shown_in_800_px() -> None:
    bench = Bench({"width_px": 1728, "height_px": 1152})
    assert preview(bench, 11.5).shape == (533, 800, 3)


def test_looking_through_the_camera_disturbs_no_frame() -> None:
    looked, other = Bench(SMALL), Bench(SMALL)
    looked.rail.move_to(11.5)
    looked.camera.preview()
    exposure = looked.expose(11.5, 7)
    looked.camera.preview()
    assert looked.data(exposure) == other.data(other.expose(11.5, 7))


@pytest.mark.parametrize(
    ("name", "text"), [("f-number", "f/8"), ("iso", "-3"), ("exposure_s", "quick"), ("iso", "nan")]
)
def test_a_setting_that_cannot_be_is_refused_and_nothing_changes(name: str, text: str) -> None:
    camera = Bench(SMALL).camera
    with pytest.raises(SettingRefused, match=name):
        camera.configure({"exposure_s": "0.5", name: text})
    assert camera.configure({}) == {"exposure_s": "0.02", "iso": "100"}


def test_a_failed_capture_may_be_tried_again() -> None:
    bench = Bench({**SMALL, "capture_fails_at": (3, 3)})
    for _ in range(2):
        with pytest.raises(CaptureFailed, match="frame 3"):
            bench.expose(12.0, 3)
    assert bench.shot(12.0, 3).shape == (320, 480, 3)


def test_a_lost_connection_lasts_until_the_camera_is_opened_again() -> None:
    bench = Bench({**SMALL, "connection_lost_at": (1,)})
    for index in (1, 2):
        with pytest.raises(ConnectionLost):
            bench.expose(12.0, index)
    bench.camera.open()
    bench.expose(12.0, 1)


def test_a_truncated_file_is_delivered_once() -> None:
    bench = Bench({**SMALL, "truncated_at": (2,)})
    exposure = bench.expose(12.0, 2)
    broken, whole = bench.data(exposure), bench.data(exposure)
    assert len(broken) == len(whole) // 2
    assert whole.startswith(broken)


def test_a_closed_shutter_gives_a_black_frame_with_noise() -> None:
    frame = Bench({**SMALL, "dark_at": (0,)}).shot(12.0, 0)
    assert frame.mean() < 1


def test_a_hanging_delivery_ends_in_a_timeout() -> None:
    bench = Bench({**SMALL, "hangs_at": (0,), "hang_s": 60.0})
    exposure = bench.expose(12.0, 0)
    start_s = bench.clock.monotonic_s()
    with pytest.raises(DeviceTimeout, match="60 s"):
        bench.camera.deliver(exposure)
    assert bench.clock.monotonic_s() - start_s == pytest.approx(60.0)
    assert bench.camera.deliver(exposure)


def test_a_camera_that_is_not_open_does_nothing() -> None:
    bench = Bench(SMALL)
    bench.camera.close()
    bench.camera.close()
    with pytest.raises(ConnectionLost):
        bench.camera.expose(0)


def test_a_rail_without_a_truth_is_believed() -> None:
    class Told:
        def __init__(self, rail: SimulatedRail) -> None:
            self._rail = rail

        def status(self) -> Any:
            return dataclasses.replace(self._rail.status(), position_mm=11.0)

    bench = Bench(QUIET)
    camera = SimulatedCamera(SimulatedCamera.Options(**QUIET), bench.clock, Told(bench.rail))  # type: ignore[arg-type]
    camera.open()
    assert np.array_equal(decoded(camera.deliver(camera.expose(0))[0].data), bench.shot(11.0))


def test_frames_come_quickly() -> None:
    bench = Bench(SMALL)
    exposure = bench.expose(12.0)
    start_s = time.process_time()
    for _ in range(5):
        bench.camera.deliver(exposure)
    assert (time.process_time() - start_s) / 5 < 0.5  # a tenth of this when alone on a processor


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("width_px", 10),
        ("width_px", 60000),
        ("far_mm", 9.0),
        ("background_mm", 13.0),
        ("field_mm", 0.0),
        ("numerical_aperture", 1.0),
        ("breathing_per_mm", 0.5),
        ("flicker", -0.1),
        ("colour_flicker", -0.1),
        ("exposure_s", float("nan")),
        ("jpeg_quality", 0),
    ],
)
def test_a_wrong_option_is_refused_by_its_name(field: str, wrong: float) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        SimulatedCamera.Options(**{field: wrong})  # type: ignore[arg-type]


def test_a_jpeg_of_16_bits_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^bit_depth: .* png or tiff"):
        SimulatedCamera.Options(bit_depth=16)


def test_the_sharpest_truth_lies_on_the_frames_own_pixels() -> None:
    bench = Bench(QUIET)
    exposure = bench.expose(13.4, 2)
    seen = bench.camera.sharpest(exposure, from_mm=9.0, to_mm=15.0)
    truth, transform = bench.camera.truth(), bench.camera.true_transform(exposure)
    moved = cv2.warpAffine(truth.all_in_focus, transform[:2], (480, 320), flags=cv2.INTER_LANCZOS4)
    inside = np.s_[20:-20, 20:-20]
    assert np.abs(seen.all_in_focus[inside].astype(int) - moved[inside]).max() <= 2
    assert seen.depth_mm.shape == (320, 480)


def test_a_picture_developed_is_the_file_delivered() -> None:
    bench = Bench(SMALL)
    exposure = bench.expose(12.0, 4)
    assert bench.camera.developed(exposure, bench.camera.picture(exposure)) == bench.data(exposure)
    assert bench.camera.lamp(exposure) == pytest.approx(1.0, abs=0.1)
