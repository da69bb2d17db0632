"""A depth map as a mesh."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from focusrail.stacking.surface import Surface, find_surface

Array = npt.NDArray[np.float32]
STEP = 0.2


def plane(height: int = 90, width: int = 130, *, right: float = 0.004, down: float = -0.002) -> Array:
    y, x = np.mgrid[0:height, 0:width] + 0.5
    return (12 + right * x + down * y).astype(np.float32)


def everywhere(depth: Array) -> npt.NDArray[np.bool_]:
    return np.ones(depth.shape, bool)


def across(surface: Surface) -> npt.NDArray[np.float64]:
    """By how much depth differs between the corners of each triangle."""
    return np.ptp(surface.vertices[:, 2][surface.triangles], axis=1)


def turns(surface: Surface) -> npt.NDArray[np.float64]:
    """Twice the area of each triangle in px^2, positive where it is counter-clockwise with y up."""
    a, b, c = (surface.vertices[surface.triangles[:, k], :2].astype(np.float64) * (1, -1) for k in range(3))
    one, other = b - a, c - a
    twice: npt.NDArray[np.float64] = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    return twice


def area_px(surface: Surface) -> float:
    return float(0.5 * np.abs(turns(surface)).sum())


@pytest.mark.parametrize("most", [400, 5000, 10**6])
def test_vertices_lie_on_the_surface_however_few_they_are(most: int) -> None:
    depth = plane()
    surface = find_surface(depth, everywhere(depth), step=STEP, most_triangles=most)
    assert 0.4 * min(most, 2 * depth.size) < len(surface.triangles) <= most
    x, y, z = surface.vertices.T.astype(np.float64)
    assert np.abs(z - (12 + 0.004 * x - 0.002 * y)).max() < 1e-4


def test_triangles_face_the_camera_and_share_their_vertices() -> None:
    depth = plane()
    surface = find_surface(depth, everywhere(depth), step=STEP, most_triangles=3000)
    assert (turns(surface) > 0).all()
    assert np.array_equal(np.unique(surface.triangles), np.arange(len(surface.vertices)))
    assert len(surface.vertices) < 0.6 * len(surface.triangles)


def test_no_triangle_reaches_from_a_near_thing_to_what_is_behind_it() -> None:
    depth = plane()
    depth[30:60, 40:90] -= 1.5
    for most in (900, 5000, 10**6):
        surface = find_surface(depth, everywhere(depth), step=STEP, most_triangles=most)
        assert across(surface).max() < STEP
        x, y, z = surface.vertices.T.astype(np.float64)
        near = z < 12 + 0.004 * x - 0.002 * y - 0.75
        off = np.where(near, z + 1.5, z) - (12 + 0.004 * x - 0.002 * y)
        assert np.abs(off).max() < 0.05  # none in between
        assert near.any()


def test_a_steep_surface_is_not_cut_where_the_lateral_scale_is_known() -> None:
    steep = plane(right=0.05)  # 0.05 mm a pixel
    for most, whole in ((400, True), (10**6, True)):
        surface = find_surface(steep, everywhere(steep), step=STEP, px_per_depth=20.0, most_triangles=most)
        assert (area_px(surface) > 0.8 * steep.size) == whole
    cut = find_surface(steep, everywhere(steep), step=STEP, most_triangles=400)
    assert area_px(cut) < 0.1 * steep.size


def test_unsure_pixels_and_specks_make_no_surface() -> None:
    depth = plane()
    sure = everywhere(depth)
    sure[:, :60] = False
    sure[10:13, 20:23] = True
    depth[:, :60] = 99.0
    surface = find_surface(depth, sure, step=STEP, most_triangles=10**6)
    assert surface.vertices[:, 0].min() >= 60
    assert surface.vertices[:, 2].max() < 13
    nothing = find_surface(depth, np.zeros_like(sure), step=STEP)
    assert nothing.triangles.shape == (0, 3)


def test_small_holes_are_closed_where_their_rim_is_of_one_depth() -> None:
    depth = plane()
    sure = everywhere(depth)
    for row, column in ((20, 30), (60, 30), (60, 100), (0, 60)):
        sure[row : row + 6, column : column + 6] = False
    depth[20:26, 30:36] = 40.0  # a bad guess stays within the rim
    depth[60:66, 99] -= 2.0
    surface = find_surface(depth, sure, step=STEP, most_triangles=10**6)
    x, y, z = surface.vertices.T.astype(np.float64)

    def vertices_in(row: int, column: int) -> int:
        return int(np.sum((x > column) & (x < column + 6) & (y > row) & (y < row + 6)))

    assert vertices_in(20, 30) == vertices_in(60, 30) == 36
    assert vertices_in(60, 100) == 0  # between two things
    assert vertices_in(0, 60) == 0  # at the border: nobody knows how far it goes
    assert np.abs(z - (12 + 0.004 * x - 0.002 * y))[z > 11].max() < 0.06
    assert surface.guessed == pytest.approx(72 / len(x))


def test_noise_is_smoothed_and_edges_are_not() -> None:
    random = np.random.default_rng(0)
    depth = plane(right=0.0, down=0.0)
    depth[:, 65:] += 2.0
    noisy = (depth + random.normal(0, 0.02, depth.shape)).astype(np.float32)
    surface = find_surface(noisy, everywhere(depth), step=STEP, most_triangles=10**6)
    x, _, z = surface.vertices.T
    off = z - np.where(x < 65, 12, 14)
    assert off.std() < 0.008
    assert np.abs(off).max() < 0.1


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (2, 2), (3, 200)])
def test_a_sliver_of_a_picture_is_no_error(shape: tuple[int, int]) -> None:
    depth = np.full(shape, 12.0, np.float32)
    surface = find_surface(depth, everywhere(depth), step=STEP, most_triangles=50)
    assert surface.triangles.ndim == 2
    assert surface.vertices.shape[1] == 3
