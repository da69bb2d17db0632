"""The result as a mesh in true lengths."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from focusrail.worker.mesh import mesh_glb
from peers.glb import parsed

HEIGHT, WIDTH, STEP_MM = 120, 200, 0.2
UM_PER_PX = 5.0


def scene() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """A tilted plane whose left end is nearest, red at its left and blue at its bottom."""
    x = np.mgrid[0:HEIGHT, 0:WIDTH][1]
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    image[:, :20] = (0, 0, 255)
    image[-20:, 60:] = (255, 0, 0)
    return image, (12 + 0.004 * (x + 0.5)).astype(np.float32)


def mesh(**changed: Any) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]], bytes]:
    image, depth = scene()
    given: dict[str, Any] = {
        "sure": np.ones(depth.shape, bool), "step": STEP_MM, "unit": "mm", "um_per_px": UM_PER_PX, "name": "beetle",
    }  # fmt: skip
    data = mesh_glb(changed.pop("image", image), changed.pop("depth", depth), **{**given, **changed})
    assert data is not None
    return parsed(data)


def test_lengths_are_true_metres_where_the_scale_is_known() -> None:
    document, values, _ = mesh()
    node = document["nodes"][0]
    assert node["scale"] == [1, 1, 1]
    assert node["name"] == "beetle"
    assert node["extras"]["axis_units"] == ["m", "m", "m"]
    assert node["extras"]["true_to_scale"] is True
    x, y, z = values["POSITION"].T.astype(np.float64)
    assert np.ptp(x) == pytest.approx((WIDTH - 1) * UM_PER_PX * 1e-6, rel=1e-5)
    assert np.ptp(y) == pytest.approx((HEIGHT - 1) * UM_PER_PX * 1e-6, rel=1e-5)
    # 4 um of depth for each pixel of 5 um: to the right it goes away from the camera, towards -z.
    assert np.polyfit(x, z, 1)[0] == pytest.approx(-0.8, rel=1e-3)
    assert node["extras"]["depth_at_origin"] == pytest.approx(12.4, abs=0.001)


def test_the_picture_lies_on_the_surface_upright_and_not_mirrored() -> None:
    _, values, jpeg = mesh()
    texture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert texture is not None
    assert texture.shape == (HEIGHT, WIDTH, 3)
    x, y, _ = values["POSITION"].T
    u, v = values["TEXCOORD_0"].T
    seen = texture[np.minimum((v * HEIGHT).astype(int), HEIGHT - 1), np.minimum((u * WIDTH).astype(int), WIDTH - 1)]
    left, below = x < np.quantile(x, 0.05), (y < np.quantile(y, 0.1)) & (x > 0)
    assert (seen[left][:, 2] > 200).all()
    assert (seen[below][:, 0] > 200).all()


def test_triangles_face_the_viewer() -> None:
    for far_is_high in (True, False):
        _, values, _ = mesh(far_is_high=far_is_high)
        a, b, c = (values["POSITION"][values["indices"].reshape(-1, 3)[:, k]] for k in range(3))
        assert (np.cross(b - a, c - a)[:, 2] > 0).all()


def test_a_rail_that_looks_the_other_way_turns_the_relief_about() -> None:
    ahead, back = mesh()[1]["POSITION"], mesh(far_is_high=False)[1]["POSITION"]
    assert np.abs(ahead[:, 2] + back[:, 2]).max() < 1e-7
    assert np.array_equal(ahead[:, :2], back[:, :2])


@pytest.mark.parametrize(
    ("given", "units", "said"),
    [
        ({"um_per_px": None}, ["px", "px", "m"], "beetle (not to scale: x and y in px)"),
        ({"unit": "frames"}, ["m", "m", "frames"], "beetle (not to scale: z in frames)"),
        ({"um_per_px": None, "unit": "frames"}, ["px", "px", "frames"],
         "beetle (not to scale: x and y in px, z in frames)"),
    ],
)  # fmt: skip
def test_what_is_not_to_scale_says_so(given: dict[str, Any], units: list[str], said: str) -> None:
    document, values, _ = mesh(**given)
    node = document["nodes"][0]
    assert node["extras"]["axis_units"] == document["asset"]["extras"]["axis_units"] == units
    assert node["extras"]["true_to_scale"] is False
    assert node["name"] == said
    x, _, z = values["POSITION"].T.astype(np.float64)
    assert np.ptp(x) == pytest.approx((WIDTH - 1) * (1 if units[0] == "px" else UM_PER_PX * 1e-6), rel=1e-5)
    assert np.ptp(z) == pytest.approx(0.004 * (WIDTH - 1) * (1 if units[2] == "frames" else 1e-3), rel=1e-3)
    relief = np.ptp(z) * node["scale"][2] / (np.ptp(x) * node["scale"][0])
    assert relief == pytest.approx(0.25, rel=0.02)


def test_unsure_parts_are_left_out_and_where_nothing_is_sure_there_is_no_mesh() -> None:
    image, depth = scene()
    sure = np.zeros(depth.shape, bool)
    assert mesh_glb(image, depth, sure, step=STEP_MM, unit="mm", um_per_px=UM_PER_PX, name="beetle") is None
    sure[:, 100:] = True
    _, values, _ = mesh(sure=sure)
    assert values["TEXCOORD_0"][:, 0].min() >= 0.5


def test_a_large_picture_makes_a_mesh_of_bearable_size() -> None:
    height, width = 1500, 4500
    depth = np.full((height, width), 12.0, np.float32)
    image = np.full((height, width, 3), 30000, np.uint16)
    _, values, jpeg = mesh(image=image, depth=depth, sure=np.ones(depth.shape, bool))
    assert 200_000 < len(values["indices"]) / 3 <= 400_000
    texture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert texture is not None
    assert texture.shape == (1365, 4096, 3)
    assert abs(int(texture[0, 0, 0]) - 30000 / 257) <= 1
