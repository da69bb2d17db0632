"""Laying frames on the canvas, stripe by stripe, as the method says."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from focusrail.model.method import Method
from focusrail.stacking import kernels
from focusrail.stacking.arrays import Gain, Image, Tile, Transform
from focusrail.stacking.canvas import STRIPE_ROWS, Stripe, stripes, warp_stripe
from focusrail.stacking.focus_measure import ENERGY_HALO_PX


@dataclass(frozen=True, slots=True)
class Laid:
    """Where a frame lies on the canvas, and what its colours are multiplied with."""

    index: int
    transform: Transform
    gain: Gain


def stripes_of(height: int, method: Method, *, halo_px: int) -> Iterator[Stripe]:
    """The stripes that frames of `height` rows are laid in."""
    # The notebook's own arithmetic is defined on whole frames: a stripe's warp may round otherwise.
    rows = height if method.border == "black" else STRIPE_ROWS
    return stripes(height, halo_px=halo_px, rows=rows)


def measured_pieces(height: int, width: int) -> list[tuple[int, int]]:
    """The (rows, columns) of what an accelerator is given of each frame: every stripe, at full and at half size."""
    pieces = []
    for stripe in stripes(height, halo_px=ENERGY_HALO_PX):
        rows = stripe.halo_bottom - stripe.halo_top
        pieces += [(rows, width), ((rows + 1) // 2, (width + 1) // 2)]
    return pieces


def lay_stripe(frame: Image, transform: Transform, stripe: Stripe, method: Method, *, gain: Gain) -> Tile:
    """A stripe (with halo) of the canvas as a frame sees it, times its gain: (3, rows, width) uint16."""
    black = method.border == "black"
    return warp_stripe(frame, transform, stripe, kernel=method.warp, black_border=black, gain=gain)


def lay(
    frame: Image,
    transform: Transform,
    method: Method,
    *,
    gain: Gain,
    halo_px: int,
    crop: tuple[int, int, int, int],
    executor: Executor,
) -> Image:
    """A frame exactly as it is fused in stripes with that halo, cut to `crop` (x, y, width, height).

    Returns (height, width, 3) uint16, 65535 is white.
    """
    x, y, width, height = crop
    image = np.empty((height, width, 3), np.uint16)

    def place(stripe: Stripe) -> None:
        top, bottom = max(stripe.top, y), min(stripe.bottom, y + height)
        tile = lay_stripe(frame, transform, stripe, method, gain=gain)
        rows = kernels.join(tile[:, top - stripe.halo_top : bottom - stripe.halo_top], image.dtype)
        image[top - y : bottom - y] = rows[:, x : x + width]

    seen = [s for s in stripes_of(len(frame), method, halo_px=halo_px) if s.bottom > y and s.top < y + height]
    deque(executor.map(place, seen), maxlen=0)
    return image
