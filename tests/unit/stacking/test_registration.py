from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focusrail.errors import NotRegistered
from focusrail.model.method import Registration
from focusrail.stacking.alignment import align
from focusrail.stacking.band_pass import pyramid
from focusrail.stacking.features import Features, Found, Reduced, estimate, find_features, match
from focusrail.stacking.judgement import registration_errors
from focusrail.stacking.registration import Registrar, Seen, reduce, see
from focusrail_drivers.simulation.moment import Moment
from focusrail_drivers.simulation.noise import Sensor
from focusrail_drivers.simulation.scene import SceneOptions
from focusrail_drivers.simulation.stage import Stage, StageOptions
from peers.textures import about, grey_texture, similarity, view

SIZE = (480, 360)
TO_WORLD = similarity(x=100, y=80)
ESTIMATORS = ("ransac", "lmeds", "rho", "least_squares")
MODELS = ("translation", "similarity", "affine", "homography")

TRUE = {
    "translation": similarity(x=7.37, y=-5.81),
    "similarity": about(similarity(scale=1.02, degrees=0.8, x=3.37, y=-5.81), SIZE),
    "affine": about(np.array([[1.02, 0.011, 4.2], [-0.006, 0.985, -2.6], [0, 0, 1.0]]), SIZE),
    "homography": about(np.array([[1.01, 0.008, 4.2], [-0.006, 0.99, -2.6], [1.5e-5, -1e-5, 1.0]]), SIZE),
}


def of_greys(grey: np.ndarray, *, work_mpx: float) -> Reduced:
    return reduce(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), Registration(work_mpx=work_mpx))[1]


def detect(grey: np.ndarray, settings: Registration) -> Seen:
    """What registration sees of a frame of these greys."""
    return see(of_greys(grey, work_mpx=settings.work_mpx), settings)


def world(seed: int = 0) -> np.ndarray:
    return grey_texture(SIZE[1] + 160, SIZE[0] + 200, seed=seed)


def frame(transform: np.ndarray, seed: int = 0) -> np.ndarray:
    """What a frame sees whose pixels the transform takes to those of the first frame."""
    return view(world(seed), TO_WORLD @ transform, SIZE)


def worst_px(found: np.ndarray, true: np.ndarray) -> float:
    points = np.array([[(x, y)] for x in np.linspace(0, SIZE[0], 5) for y in np.linspace(0, SIZE[1], 5)])
    return float(np.abs(cv2.perspectiveTransform(points, found) - cv2.perspectiveTransform(points, true)).max())


def registered(settings: Registration, *frames: np.ndarray) -> Found:
    registrar = Registrar(settings)
    found = Found()
    for one in frames:
        found = registrar.add(detect(one, settings))
    return found


@pytest.mark.parametrize("detector", ["dense", "sift", "orb"])
@pytest.mark.parametrize("model", MODELS)
def test_a_known_transform_is_found_to_a_tenth_of_a_pixel(model: str, detector: str) -> None:
    settings = Registration(model=model, detector=detector)
    found = registered(settings, frame(np.eye(3)), frame(TRUE[model]))
    assert worst_px(found.transform, TRUE[model]) < 0.1
    assert found.inliers >= 8
    assert found.matches >= found.inliers
    assert 0 < found.residual_px < 2


@pytest.mark.parametrize("estimator", ["ransac", "lmeds", "rho"])
@pytest.mark.parametrize("model", MODELS)
def test_every_robust_estimator_finds_it(model: str, estimator: str) -> None:
    settings = Registration(detector="sift", model=model, estimator=estimator)
    found = registered(settings, frame(np.eye(3)), frame(TRUE[model]))
    assert worst_px(found.transform, TRUE[model]) < 0.1


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("model", MODELS)
def test_features_alone_find_it_to_half_a_pixel(model: str, estimator: str) -> None:
    settings = Registration(detector="sift", model=model, estimator=estimator, refine=False, ratio=0.5)
    found = registered(settings, frame(np.eye(3)), frame(TRUE[model]))
    assert worst_px(found.transform, TRUE[model]) < 0.7


@pytest.mark.parametrize("work_mpx", [0.0, 0.04, 0.02])
def test_frames_reduced_for_registration_land_in_the_same_place(work_mpx: float) -> None:
    settings = Registration(work_mpx=work_mpx)
    found = registered(settings, frame(np.eye(3)), frame(TRUE["similarity"]))
    assert worst_px(found.transform, TRUE["similarity"]) < 0.2


def test_reduced_pixels_lie_where_full_size_pixels_do() -> None:
    grey = np.zeros((300, 451), np.uint8)
    grey[40:44, 80:84] = 255  # centred on (81.5, 41.5)
    reduced = of_greys(grey, work_mpx=300 * 451 / 16e6)
    assert reduced.divisor == 4
    assert reduced.luma[10, 20] == 255
    assert reduced.to_full() @ (20, 10, 1) == pytest.approx((81.5, 41.5, 1))


@pytest.mark.parametrize("chain", [True, False])
def test_the_transforms_of_a_chain_are_composed_to_the_first_frame(chain: bool) -> None:
    settings = Registration(chain=chain)
    registrar = Registrar(settings)
    for k in range(6):
        true = about(similarity(scale=1 + 0.008 * k, degrees=0.1 * k, x=1.3 * k, y=-0.7 * k), SIZE)
        found = registrar.add(detect(frame(true), settings))
        assert worst_px(found.transform, true) < 0.1
        assert found.transform[2, 2] == 1


def test_the_first_frame_is_the_reference() -> None:
    found = registered(Registration(), frame(np.eye(3)))
    assert np.array_equal(found.transform, np.eye(3))
    assert found.inliers == found.matches > 8


@pytest.mark.parametrize("detector", ["dense", "sift"])
def test_what_cannot_be_registered_is_refused_with_numbers_and_the_chain_goes_on(detector: str) -> None:
    settings = Registration(detector=detector)
    registrar = Registrar(settings)
    registrar.add(detect(frame(np.eye(3)), settings))
    with pytest.raises(NotRegistered, match=r"cannot be aligned: \d+ (of \d+ )?matches .*\d+ are needed"):
        registrar.add(detect(frame(np.eye(3), seed=9), settings))
    with pytest.raises(NotRegistered, match=r"0 matches.*8 are needed"):
        registrar.add(detect(np.full((SIZE[1], SIZE[0]), 128, np.uint8), settings))
    found = registrar.add(detect(frame(TRUE["similarity"]), settings))
    assert worst_px(found.transform, TRUE["similarity"]) < 0.1


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("detector", ["dense", "sift", "orb"])
def test_a_blank_first_frame_does_not_cost_the_rest_of_the_stack(detector: str, level: int) -> None:
    settings = Registration(detector=detector)
    registrar = Registrar(settings)
    with pytest.raises(NotRegistered, match="0 "):
        registrar.add(detect(np.full((SIZE[1], SIZE[0]), level, np.uint8), settings))
    registrar.add(detect(frame(np.eye(3)), settings))
    found = registrar.add(detect(frame(TRUE["similarity"]), settings))
    assert worst_px(found.transform, TRUE["similarity"]) < 0.1


@pytest.mark.parametrize("detector", ["sift", "orb"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 700), (700, 1), (3, 5), (16, 16), (40, 40)])
def test_frames_too_small_for_features_have_none(detector: str, height: int, width: int) -> None:
    reduced = Reduced(np.zeros((height, width), np.uint8), 1)
    assert find_features(reduced, Registration(detector=detector)).points.shape == (0, 2)
    assert pyramid(reduced.luma) == ()


@given(
    scale=st.floats(0.9, 1.1),
    degrees=st.floats(-3, 3),
    x=st.floats(-50, 50),
    y=st.floats(-50, 50),
    model=st.sampled_from(MODELS),
    estimator=st.sampled_from(ESTIMATORS),
)
@settings(deadline=None, max_examples=60)
def test_exact_matches_give_the_exact_transform(
    scale: float, degrees: float, x: float, y: float, model: str, estimator: str
) -> None:
    free = model != "translation"
    true = about(similarity(scale=scale if free else 1, degrees=degrees if free else 0, x=x, y=y), SIZE)
    source = np.random.default_rng(3).uniform(0, 400, (40, 2)).astype(np.float32)
    target = cv2.perspectiveTransform(source[:, None], true)[:, 0].astype(np.float32)
    found = estimate(source, target, Registration(model=model, estimator=estimator), threshold_px=2.0)
    assert worst_px(found.transform, true) < 0.01
    assert found.inliers == found.matches == 40
    assert found.residual_px < 1e-3


def test_a_translation_is_nothing_else_and_the_best_there_is_of_frames_that_breathe() -> None:
    true = about(similarity(scale=1.004, degrees=0.1, x=5.3, y=-2.7), SIZE)
    for detector in ("dense", "sift"):
        settings = Registration(model="translation", detector=detector)
        found = registered(settings, frame(np.eye(3)), frame(true)).transform
        assert np.array_equal(found[:, :2], np.eye(3)[:, :2])
        assert found[:2, 2] == pytest.approx((5.3, -2.7), abs=0.5)


@pytest.mark.parametrize("model", ["similarity", "affine"])
def test_least_squares_is_the_smallest_sum_of_squares(model: str) -> None:
    random = np.random.default_rng(5)
    source = random.uniform(0, 400, (30, 2)).astype(np.float32)
    target = (source * 1.02 + random.normal(0, 1, source.shape)).astype(np.float32)
    settings = Registration(model=model, estimator="least_squares")

    def squares(transform: np.ndarray) -> float:
        moved = source @ transform[:2, :2].T + transform[:2, 2]
        return float(np.sum((moved - target) ** 2))

    found = estimate(source, target, settings, threshold_px=2.0).transform
    best = squares(found)
    for dx, dy, turn, grow in random.normal(0, 1, (50, 4)):
        nudge = similarity(scale=1 + 1e-4 * grow, degrees=1e-2 * turn, x=1e-2 * dx, y=1e-2 * dy)
        assert squares(nudge @ found) > best


@pytest.mark.parametrize("estimator", ["ransac", "lmeds", "rho"])
@pytest.mark.parametrize("model", MODELS)
def test_a_third_of_wrong_matches_does_no_harm(model: str, estimator: str) -> None:
    true = TRUE["translation" if model == "translation" else "similarity"]
    random = np.random.default_rng(6)
    source = random.uniform(0, 400, (90, 2)).astype(np.float32)
    target = cv2.perspectiveTransform(source[:, None], true)[:, 0].astype(np.float32)
    target[::3] = random.uniform(0, 400, (30, 2))
    found = estimate(source, target, Registration(model=model, estimator=estimator), threshold_px=1.0)
    assert worst_px(found.transform, true) < 0.1
    assert 55 <= found.inliers <= 65


def lay(source: np.ndarray, target: np.ndarray, registration: Registration) -> Found:
    """Register a frame whose features at `source` are those of the first frame at `target`."""
    blank = Reduced(np.full((SIZE[1], SIZE[0]), 128, np.uint8), 1)
    descriptors = np.random.default_rng(1).uniform(0, 255, (len(source), 128)).astype(np.float32)
    registrar = Registrar(registration)
    registrar.add(Seen(blank, (), Features(blank, target, descriptors)))
    return registrar.add(Seen(blank, (), Features(blank, source, descriptors)))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("wrong", ["a point", "to a point", "a line", "mirrored", "tiny"])
def test_matches_that_no_photograph_could_have_are_refused_with_numbers(wrong: str, estimator: str, model: str) -> None:
    source = np.random.default_rng(7).uniform(0, 340, (30, 2)).astype(np.float32)
    target = source.copy()
    if wrong == "a point":
        source = np.full_like(source, 100)
    elif wrong == "to a point":
        target = np.full_like(source, 100)
    elif wrong == "a line":
        source = np.column_stack([source[:, 0], source[:, 0]])
        target = np.column_stack([target[:, 0], np.zeros(len(target), np.float32)])
    elif wrong == "mirrored":
        target[:, 0] = 400 - target[:, 0]
    else:
        target *= 0.01
    registration = Registration(detector="sift", model=model, estimator=estimator)
    try:
        found = lay(source, target, registration)
    except NotRegistered as error:
        assert any(character.isdigit() for character in str(error))  # noqa: PT017 - two outcomes are right
    else:
        # A line or a point fits many transforms: one that a photograph can have may be found.
        assert wrong in {"a line", "a point", "mirrored"}
        assert 0.25 < np.linalg.det(found.transform[:2, :2]) < 4


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), matches=st.integers(0, 60))
def test_whatever_the_matches_what_is_found_can_be_warped_with_and_composed(
    seed: int, matches: int, estimator: str, model: str
) -> None:
    random = np.random.default_rng(seed)
    points = random.uniform(0, 340, (2, matches + 8, 2)).astype(np.float32)
    registration = Registration(detector="sift", model=model, estimator=estimator)
    try:
        found = lay(points[0], points[1], registration)
    except NotRegistered:
        return
    assert np.isfinite(np.linalg.inv(found.transform)).all()
    for x, y in ((0, 0), (SIZE[0], 0), (0, SIZE[1]), SIZE):
        assert found.transform[2] @ (x, y, 1) > 0


def test_many_to_one_matches_do_not_end_the_stack() -> None:
    registrar = Registrar(Registration())
    random = np.random.default_rng(1)
    reduced = Reduced(frame(np.eye(3)), 1)
    points = random.uniform(0, 300, (20, 2)).astype(np.float32)
    one = random.uniform(0, 100, (1, 128)).astype(np.float32)
    others = random.uniform(150, 255, (19, 128)).astype(np.float32)
    registrar.add(Seen(reduced, (), Features(reduced, points, np.vstack([one, others]))))
    with pytest.raises(NotRegistered, match="area would change 0 times"):
        registrar.add(Seen(reduced, (), Features(reduced, points, np.repeat(one, 20, axis=0))))


def test_matches_are_the_nearest_first_and_no_more_than_asked_for() -> None:
    settings = Registration(detector="sift", best_matches=10)
    a, b = (find_features(Reduced(frame(t), 1), settings) for t in (np.eye(3), TRUE["similarity"]))
    nearest, _ = match(b, a, settings)
    every, _ = match(b, a, replace(settings, best_matches=0))
    assert len(nearest) == 10 < len(every)
    assert np.array_equal(nearest, every[:10])


def test_what_does_not_agree_is_not_said_to() -> None:
    blank = pyramid(np.full((SIZE[1], SIZE[0]), 128, np.uint8))
    a, b = pyramid(frame(np.eye(3))), pyramid(frame(np.eye(3), seed=8))
    assert align(blank, blank, similarity(x=2), model="similarity", levels=4).agreeing == 0
    unrelated = align(a, b, np.eye(3), model="similarity", levels=4)
    assert unrelated.agreeing < 0.05 * unrelated.textured


@pytest.mark.parametrize("model", MODELS)
def test_refinement_comes_nearer(model: str) -> None:
    start = similarity(x=0.8, y=-0.6) @ TRUE[model]
    levels = pyramid(frame(TRUE[model])), pyramid(frame(np.eye(3)))
    aligned = align(*levels, start, model=model, levels=2)
    assert worst_px(aligned.transform, TRUE[model]) < 0.05
    assert aligned.agreeing > 0.9 * aligned.textured > 0


def test_registration_is_the_same_every_time() -> None:
    settings = Registration()
    frames = [frame(np.eye(3)), frame(TRUE["similarity"])]
    first, second = registered(settings, *frames), registered(settings, *frames)
    assert np.array_equal(first.transform, second.transform)


@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize("detector", ["dense", "sift"])
def test_no_bit_depends_on_the_number_of_threads(detector: str, threads: int) -> None:
    settings = Registration(detector=detector)
    frames = [frame(np.eye(3)), frame(TRUE["similarity"]), frame(TRUE["similarity"] @ TRUE["similarity"])]
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = registered(settings, *frames)
        cv2.setNumThreads(threads)
        many = registered(settings, *frames)
    finally:
        cv2.setNumThreads(before)
    assert np.array_equal(one.transform, many.transform)


@pytest.mark.parametrize("model", MODELS[1:])
@pytest.mark.parametrize("share", [0.02, 0.05])
def test_breathing_of_several_per_cent_a_frame_is_followed(share: float, model: str) -> None:
    settings = Registration(model=model)
    registrar = Registrar(settings)
    for k in range(4):
        true = about(similarity(scale=(1 + share) ** -k, x=3.3 * k), SIZE)
        found = registrar.add(detect(frame(true), settings))
        assert worst_px(found.transform, true) < 0.1


@pytest.mark.parametrize("size", [(48, 48), (1500, 64), (64, 1500)])
@pytest.mark.parametrize("model", MODELS)
def test_strips_and_small_frames_are_registered_too(model: str, size: tuple[int, int]) -> None:
    picture = grey_texture(size[1] + 40, size[0] + 40, seed=2)
    true = similarity(x=3.3, y=-1.7)
    settings = Registration(model=model)
    registrar = Registrar(settings)
    registrar.add(detect(view(picture, similarity(x=20, y=20), size), settings))
    found = registrar.add(detect(view(picture, similarity(x=20, y=20) @ true, size), settings))
    corners = np.array([[(0.0, 0.0)], [(size[0], 0)], [(0, size[1])], [size]])
    off = cv2.perspectiveTransform(corners, found.transform) - cv2.perspectiveTransform(corners, true)
    assert np.abs(off).max() < (1.0 if size == (48, 48) else 0.2)


@pytest.mark.parametrize("size", [(2000, 7), (16, 16), (47, 500)])
@pytest.mark.parametrize("detector", ["dense", "sift", "orb"])
def test_what_is_too_small_to_be_registered_is_refused_with_its_size_and_a_way_out(
    detector: str, size: tuple[int, int]
) -> None:
    settings = Registration(detector=detector)
    with pytest.raises(NotRegistered, match=f"it is {size[0]} x {size[1]} pixels.*48.*--aligned"):
        Registrar(settings).add(detect(grey_texture(size[1], size[0], seed=2), settings))


def test_a_narrow_frame_is_not_reduced_to_a_thread() -> None:
    assert of_greys(np.zeros((60, 30000), np.uint8), work_mpx=0.6).divisor == 1
    assert of_greys(np.zeros((100, 30000), np.uint8), work_mpx=0.6).divisor == 2


def test_a_jump_of_a_quarter_of_the_frame_is_found() -> None:
    true = similarity(x=120.3, y=40.6)
    assert worst_px(registered(Registration(), frame(np.eye(3)), frame(true)).transform, true) < 0.1


@pytest.mark.parametrize("gain", [0.5, 0.8, 1.25])
def test_flicker_moves_nothing(gain: float) -> None:
    dim = np.clip(frame(TRUE["similarity"]) * gain, 0, 255).astype(np.uint8)
    assert worst_px(registered(Registration(), frame(np.eye(3)), dim).transform, TRUE["similarity"]) < 0.1


def test_what_moves_by_itself_is_outvoted() -> None:
    moving = frame(TRUE["similarity"])
    moving[100:220, 150:300] = frame(TRUE["similarity"], seed=4)[100:220, 150:300]
    moving[20:80, 20:120] = moving[20:80, 23:123].copy()
    found = registered(Registration(), frame(np.eye(3)), moving)
    assert worst_px(found.transform, TRUE["similarity"]) < 0.1


def test_sharpness_that_travels_across_the_picture_does_not_pull_at_it() -> None:
    settings = Registration()
    registrar = Registrar(settings)
    worst = 0.0
    for k in range(8):
        true = about(similarity(scale=1 + 0.004 * k, x=0.37 * k, y=-0.61 * k), SIZE)
        sharp = frame(true)
        layers = [sharp, *(cv2.GaussianBlur(sharp, (0, 0), sigma) for sigma in (1, 2, 3, 4, 5, 6, 7, 8))]
        away = np.abs(np.arange(SIZE[0]) - 40 - 55 * k) / 55  # px of blur, focus travels from left to right
        lower = np.minimum(away.astype(int), 7)
        share = np.clip(away - lower, 0, 1)
        columns = np.arange(SIZE[0])
        stack = np.stack(layers).astype(np.float32)
        seen = (1 - share) * stack[lower, :, columns].T + share * stack[lower + 1, :, columns].T
        found = registrar.add(detect(np.rint(seen).astype(np.uint8), settings))
        worst = max(worst, worst_px(found.transform, true))
    assert worst < 0.3


def test_a_chain_that_begins_out_of_focus_is_not_pulled_by_the_change_of_blur() -> None:
    size = (864, 576)
    stage = Stage(
        StageOptions(
            scene=SceneOptions(7, 5.0, 25.0, 25.6),
            width_px=size[0],
            height_px=size[1],
            field_mm=8.0,
            numerical_aperture=0.055,
            breathing_per_mm=0.01,
            drift_um_per_mm=(6.0, -4.0),
            rotation_deg_per_mm=0.02,
            jitter_um=0.4,
            projection="similarity",
            working_distance_mm=40.0,
        )
    )
    sensor = Sensor(7, 20000.0, 5.0, 0.02)
    settings = Registration()
    registrar = Registrar(settings)
    found, true = {}, {}
    for k in range(12):
        moment = [Moment(5 + 0.1 * k)]
        grey = cv2.cvtColor(sensor.counts(stage.frame(moment, k), k, bits=8), cv2.COLOR_BGR2GRAY)
        found[k] = registrar.add(detect(grey, settings)).transform
        true[k] = stage.transform(moment, k)
    errors = registration_errors(true, found, 0, size)

    assert np.percentile(errors, 95) < 3  # the finest band alone: 24


def along_the_rail(frames: int) -> list[np.ndarray]:
    return [about(similarity(scale=1 + 0.005 * k, x=1.5 * k, y=0.4 * k), SIZE) for k in range(frames)]


def test_a_frame_with_nothing_in_it_is_laid_where_the_rail_says() -> None:
    settings = Registration()
    registrar = Registrar(settings)
    poses = along_the_rail(7)
    grey = np.full((SIZE[1], SIZE[0]), int(frame(np.eye(3)).mean()), np.uint8)
    for k in range(5):
        assert not registrar.add(detect(frame(poses[k]), settings), 10 + 0.1 * k).predicted
    found = registrar.add(detect(grey, settings), 10.5)
    assert found.predicted
    assert found.inliers == 0
    assert worst_px(found.transform, poses[5]) < 0.2
    found = registrar.add(detect(frame(poses[6]), settings), 10.6)
    assert not found.predicted
    assert worst_px(found.transform, poses[6]) < 0.1


@pytest.mark.parametrize("intruder", ["black", "another scene"])
def test_what_belongs_to_no_stack_is_not_laid_by_the_rail(intruder: str) -> None:
    settings = Registration()
    registrar = Registrar(settings)
    for k, pose in enumerate(along_the_rail(5)):
        registrar.add(detect(frame(pose), settings), 10 + 0.1 * k)
    other = frame(np.eye(3), seed=5) if intruder == "another scene" else np.zeros((SIZE[1], SIZE[0]), np.uint8)
    with pytest.raises(NotRegistered):
        registrar.add(detect(other, settings), 10.5)


def test_a_shaken_frame_is_said_to_be_and_the_next_is_laid_on_the_one_before_it() -> None:
    settings = Registration()
    registrar = Registrar(settings)
    poses = along_the_rail(4)
    said = []
    for k, pose in enumerate(poses):
        grey = frame(pose) if k != 2 else cv2.blur(frame(pose), (9, 1))
        found = registrar.add(detect(grey, settings))
        said.append(found.shaken)
        assert worst_px(found.transform, pose) < (0.5 if k == 2 else 0.1)
    assert said == [False, False, True, False]
