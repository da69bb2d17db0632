"""The mesh and the depth, from a shoot or a folder to what is published."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from focusrail.capture.events import Published
from focusrail.config.loader import load_recipe, shipped_with
from focusrail.config.schema import Config
from focusrail.model.outputs import Outputs
from focusrail.service import Service
from focusrail.store.image_io import write_png
from focusrail_drivers.clock import VirtualClock
from peers.glb import parsed
from peers.small_rig import RAIL, Home, manifest, published, recipe, small_rig

Mesh = tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]
MESH = Outputs(mesh=True)


def mesh_of(folder: Path) -> Mesh:
    document, values, _ = parsed((folder / "surface.glb").read_bytes())
    return document["nodes"][0], values


def test_a_mesh_is_made_when_it_is_asked_for_and_only_then(home: Home, photographs: Path) -> None:
    assert home.run_here("stack", photographs).code == 0
    (plain,) = published(home.outbound)
    assert not (plain / "surface.glb").exists()
    assert "mesh" not in manifest(plain)["timings_s"]
    assert home.run_here("stack", photographs, "--mesh", "-o", home.folder / "out").code == 0
    folder = home.folder / "out"
    data = (folder / "surface.glb").read_bytes()
    page = manifest(folder)
    assert page["files"]["surface.glb"] == {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    assert 'href="./surface.glb"' in (folder / "report.html").read_text(encoding="utf-8")
    node, values = mesh_of(folder)
    assert len(values["indices"]) > 3 * 1000
    assert node["extras"]["axis_units"] == ["px", "px", "frames"]
    assert page["timings_s"]["mesh"] > 0
    others = [folder / name for name in ("result.jpg", "result.tif", "depth.tif", "index.png", "contact_sheet.jpg")]
    when = (folder / "surface.glb").stat().st_mtime_ns
    assert all(path.stat().st_mtime_ns < when for path in others), "what everybody wants does not wait for it"


def test_the_configuration_can_want_a_mesh_and_the_command_line_does_without(tmp_path: Path, photographs: Path) -> None:
    home = Home(tmp_path, outputs={"mesh": True})
    assert home.run_here("stack", photographs).code == 0
    assert home.run_here("stack", photographs, "--no-mesh", "-o", tmp_path / "out").code == 0
    (wanted,) = published(home.outbound)
    assert (wanted / "surface.glb").exists()
    assert not (tmp_path / "out" / "surface.glb").exists()


def test_where_no_surface_is_sure_there_is_no_mesh_and_that_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "noise"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(4):
        write_png(folder / f"{k}.png", np.clip(np.rint(90 + rng.normal(0, 3, (120, 160, 3))), 0, 255).astype(np.uint8))
    service = Service(small_rig(tmp_path / "data"))
    try:
        _, done = service.stack_folder(folder, aligned=True, outputs=MESH)
    finally:
        service.close()
    assert not (done.folder / "surface.glb").exists()
    assert any(warning.startswith("no mesh was made") for warning in done.finished.warnings)


@pytest.mark.usefixtures("painted_scene")
def test_the_rig_says_which_end_is_far(tmp_path: Path) -> None:
    heights: dict[str, npt.NDArray[Any]] = {}
    pictures: dict[str, npt.NDArray[Any]] = {}
    for far in ("high", "low"):
        config = small_rig(tmp_path / far, um_per_px=8000 / 324)
        config = config.model_copy(update={"rail": config.rail.model_copy(update={"far_is": far})})
        service = Service(config, clock=VirtualClock())
        try:
            done = service.shoot(recipe(outputs=MESH))
        finally:
            service.close()
        assert manifest(done.folder)["result"]["far_is_high"] is (far == "high")
        node, values = mesh_of(done.folder)
        assert node["extras"]["true_to_scale"] is True
        heights[far] = values["POSITION"][:, 2]
        picture = cv2.imread(str(done.folder / "depth.png"))
        assert picture is not None
        pictures[far] = picture
    assert np.allclose(heights["high"], -heights["low"], atol=1e-7)
    bottom = slice(int(0.85 * len(pictures["high"])), None)
    assert (pictures["high"][bottom] != pictures["low"][bottom]).any(), "near and far have changed places"


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """What `make demo` shoots, with a mesh; the motors are fast and nothing shakes."""
    root = tmp_path_factory.mktemp("demonstration")
    config = Config.model_validate({
        "rail": {"settle_s": 0, "options": RAIL},
        "camera": {"um_per_px": 8000 / 1728, "options": {"transfer_s": 0}},
        "store": {"root": str(root)},
    })  # fmt: skip
    service = Service(config, clock=VirtualClock())
    try:
        return service.shoot(replace(load_recipe(shipped_with("recipes") / "demo.yaml"), outputs=MESH))
    finally:
        service.close()


@pytest.mark.slow
def test_depth_that_is_sure_is_right_to_a_seventh_of_the_step(demonstration: Published) -> None:
    judgement = manifest(demonstration.folder)["judgement"]
    assert judgement["depth_rms_steps"] <= 0.15
    assert judgement["depth_rms_mm"] == pytest.approx(judgement["depth_rms_steps"] * 4.7 / 29, rel=0.01)
    assert judgement["depth_beyond_step"] <= 0.02
    assert judgement["depth_judged"] > 0.4, "and that is most of what has texture"


@pytest.mark.slow
def test_the_demonstrations_mesh_lies_where_the_scene_does(demonstration: Published) -> None:
    node, values = mesh_of(demonstration.folder)
    assert node["extras"]["axis_units"] == ["m", "m", "m"]
    page = manifest(demonstration.folder)
    crop, um_per_px = page["result"]["crop"], 8000 / 1728
    truth = _truth(demonstration)
    x, y, z = values["POSITION"].T.astype(np.float64) * 1e6 / np.array([[um_per_px], [um_per_px], [1000]])
    column, row = (x + crop["width"] / 2).astype(int), (crop["height"] / 2 - y).astype(int)
    off_mm = node["extras"]["depth_at_origin"] - z - truth[row, column]
    step_mm = 4.7 / 29
    assert np.median(np.abs(off_mm)) < 0.1 * step_mm
    assert np.mean(np.abs(off_mm) > step_mm) < 0.05


def _truth(done: Published) -> npt.NDArray[Any]:
    """The true depth on the result's pixels."""
    spool = done.folder.parent.parent / "spool" / done.shoot_id / "truth"
    crop = manifest(done.folder)["result"]["crop"]
    to_crop = np.array([[1, 0, -crop["x"]], [0, 1, -crop["y"]], [0, 0, 1]], np.float64)
    to_first = np.array(json.loads((spool / "000000.json").read_text()))
    return cv2.warpPerspective(
        tifffile.imread(spool / "depth.tif"), to_crop @ to_first, (crop["width"], crop["height"]),
        flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
