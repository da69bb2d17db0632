"""The result as a textured mesh: depth map and image put together, in true lengths where they are known."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.stacking.surface import Surface, find_surface
from focusrail.store.gltf import to_glb
from focusrail.store.image_io import Metadata, encode_jpeg

_MOST_TRIANGLES = 400_000
_TEXTURE_PX = 4096  # the longer side: what every graphics card takes
_TEXTURE_QUALITY = 90
_WIDTH_M = 0.1  # of a mesh whose true width is not known
_RELIEF = 0.25  # depth of a mesh whose true depth is not known, as a part of its width


def mesh_glb(
    image: npt.NDArray[Any],
    depth: npt.NDArray[Any],
    sure: npt.NDArray[Any],
    *,
    step: float,
    unit: str,
    um_per_px: float | None,
    name: str,
    far_is_high: bool = True,
) -> bytes | None:
    """A .glb of the image (height, width, 3) on its depth (height, width) where `sure` (bool); None if nowhere.

    `unit` is the depth's, "mm" or "frames", `step` the distance between frames in it. x is right, y up, z towards the
    camera; the origin is the picture's middle, half way between the nearest and the farthest point. The asset's extras
    say in which unit each axis is: metres, where it is known, and else pixels or frames; then the mesh as a whole is
    scaled to a handy size that means nothing, and its name says so.
    """
    in_mm = unit == "mm"
    px_per_depth = 1000 / um_per_px if um_per_px and in_mm else None
    surface = find_surface(depth, sure, step=step, px_per_depth=px_per_depth, most_triangles=_MOST_TRIANGLES)
    if len(surface.triangles) == 0:
        return None
    height, width = depth.shape
    positions, middle, relief = _placed(surface, width, height, far_is_high=far_is_high)
    metres_per_px = um_per_px * 1e-6 if um_per_px else None
    lateral = metres_per_px or 1.0
    axial = 1e-3 if in_mm else 1.0
    positions *= np.array([lateral, lateral, axial], np.float32)
    lateral_scale = 1.0 if metres_per_px else _WIDTH_M / width
    width_m = width * lateral * lateral_scale
    axial_scale = 1.0 if metres_per_px and in_mm else _RELIEF * width_m / max(relief * axial, 1e-9)
    true = metres_per_px is not None and in_mm
    across, along = "m" if metres_per_px else "px", "m" if in_mm else "frames"
    extras = {
        "axis_units": [across, across, along],
        "true_to_scale": true,
        "um_per_px": um_per_px,
        "depth_unit": unit,
        "depth_at_origin": middle,
        "depth_step": step,
        "picture_px": [width, height],
        "vertex_distance_px": surface.cell_px,
        "guessed_share": round(surface.guessed, 4),
        "origin": "middle of the picture; x right, y up, z towards the camera",
    }
    unknown = [part for part, known in ((f"x and y in {across}", metres_per_px), (f"z in {along}", in_mm)) if not known]
    texture_at: npt.NDArray[np.float32] = (surface.vertices[:, :2] / np.array([width, height])).astype(np.float32)
    return to_glb(
        positions=positions,
        texture_at=texture_at,
        triangles=surface.triangles,
        texture_jpeg=_texture(image),
        name=name if true else f"{name} (not to scale: {', '.join(unknown)})",
        extras=extras,
        scale=(lateral_scale, lateral_scale, axial_scale),
    )


def _placed(
    surface: Surface, width: int, height: int, *, far_is_high: bool
) -> tuple[npt.NDArray[np.float32], float, float]:
    """Vertices right-handed about the origin, the depth there, and the extent of depths."""
    x, y, depth = surface.vertices.T
    low, high = float(depth.min()), float(depth.max())
    middle = 0.5 * (low + high)
    towards = middle - depth if far_is_high else depth - middle
    # Seen along -z, as the camera does, nothing is mirrored: the winding stays whichever way depth goes.
    placed = np.stack([x - np.float32(width / 2), np.float32(height / 2) - y, towards], axis=1)
    return placed.astype(np.float32), middle, high - low


def _texture(image: npt.NDArray[Any]) -> bytes:
    zoom = _TEXTURE_PX / max(image.shape[:2])
    if zoom < 1:
        size = (max(1, round(image.shape[1] * zoom)), max(1, round(image.shape[0] * zoom)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return encode_jpeg(image, Metadata(), description="", quality=_TEXTURE_QUALITY)
