"""From prepared layers to a picture: the layers through the lens, front to back, tile by tile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers.simulation.layer import Layer
from focusrail_drivers.simulation.lens import Lens, Plane
from focusrail_drivers.simulation.projection import OneView, Parallax
from focusrail_drivers.simulation.rect import Rect

OPAQUE = 1 / 512  # light left behind a layer that no longer shows in 8 bit


@dataclass(frozen=True, slots=True)
class Renderer:
    """The scene through the lens. Immutable: safe from any thread."""

    layers: Sequence[Layer]  # far to near
    view: Rect
    lens: Lens
    projection: OneView | Parallax

    def picture(self, focus_mm: float) -> Plane:
        """(height, width, 3) float32 of the whole view, 0..255, blue first, with the carriage at `focus_mm`."""
        out = np.empty((self.view.height, self.view.width, 3), np.float32)
        for tile in self._tiles():
            light = np.ones((tile.height, tile.width), np.float32)
            seen = np.zeros((3, tile.height, tile.width), np.float32)
            for layer in reversed(self.layers):
                planes = self.projection.seen(
                    layer, tile, focus_mm=focus_mm, circle_px_per_mm=self.lens.circle_px_per_mm
                )
                if planes is None:
                    continue
                planes[:3] *= light
                seen += planes[:3]
                planes[3] *= np.float32(-1 / 255)
                planes[3] += 1
                light *= planes[3]
                if float(light.max()) < OPAQUE:
                    break
            out[tile.y0 : tile.y1, tile.x0 : tile.x1] = cv2.merge(list(seen))
        return out

    def sharp(self, *, from_mm: float = -math.inf, to_mm: float = math.inf) -> tuple[npt.NDArray[np.uint8], Plane]:
        """The whole view with everything in focus, (height, width, 3) uint8, and its depth in mm.

        What lies outside `from_mm` to `to_mm` is as sharp as with the carriage at the nearer end.
        """
        image = np.empty((self.view.height, self.view.width, 3), np.uint8)
        depth = np.empty((self.view.height, self.view.width), np.float32)
        for tile in self._tiles():
            light = np.ones((tile.height, tile.width), np.float32)
            seen = np.zeros((3, tile.height, tile.width), np.float32)
            deep = np.full((tile.height, tile.width), np.nan, np.float32)
            for layer in reversed(self.layers):
                depth_mm = layer.depth_over(tile)
                beyond_mm = depth_mm - np.clip(depth_mm, np.float32(from_mm), np.float32(to_mm))
                planes = layer.defocused(tile, beyond_mm, focus_mm=0.0, circle_px_per_mm=self.lens.circle_px_per_mm)
                if planes is None:
                    continue
                seen += planes[:3] * light
                light *= 1 - planes[3] / 255
                # A pixel has the depth of the nearest thing that covers half of it.
                np.copyto(deep, depth_mm, where=np.isnan(deep) & (light < 0.5))
            image[tile.y0 : tile.y1, tile.x0 : tile.x1] = np.moveaxis(np.rint(np.minimum(seen, 255)), 0, 2)
            depth[tile.y0 : tile.y1, tile.x0 : tile.x1] = deep
        return image, depth

    def _tiles(self) -> Iterator[Rect]:
        # Tiles that fit the processor's cache, and not so many that calling is what takes the time.
        return self.view.tiles(128 if self.view.width * self.view.height < 4_000_000 else 256)
