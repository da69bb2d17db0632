"""The canvas: the reference frame's pixel grid, its fixed stripes, and the area that every frame covers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.stacking import kernels
from focusrail.stacking.arrays import Gain, Image, Tile, Transform

# Rows of a stripe: its planes stay in a cache, and its halo is a small part of it. Fixed, because a warp's
# rounding may depend on where it starts: pixels must not depend on the machine.
STRIPE_ROWS = 128

_MOST_TILT = 0.1  # 6 degrees
_FARTHEST_PX = 1e6  # what is farther off shows nothing, and coordinates have 31 bits before the point
# Our own kernel for all that a rail does; where a view turns or tilts, OpenCV's for Keys' is the cubic one.
_KERNELS = {
    "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4, "keys": cv2.INTER_CUBIC,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stripe:
    """Rows [top, bottom) of the canvas, and the same with a halo on either side, cut at the canvas's edges."""

    top: int
    bottom: int
    halo_top: int
    halo_bottom: int

    @property
    def inner(self) -> slice:
        """The stripe's own rows within its halo."""
        return slice(self.top - self.halo_top, self.bottom - self.halo_top)

    @property
    def rows(self) -> slice:
        """The stripe's own rows of the canvas."""
        return slice(self.top, self.bottom)


def stripes(height: int, *, halo_px: int, rows: int = STRIPE_ROWS) -> Iterator[Stripe]:
    """Cut `height` rows into stripes."""
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        yield Stripe(top, bottom, max(0, top - halo_px), min(height, bottom + halo_px))


def warp_stripe(
    frame: Image,
    transform: Transform,
    stripe: Stripe,
    *,
    kernel: str,
    black_border: bool,
    gain: Gain = kernels.UNCHANGED,
) -> Tile:
    """The stripe (with halo) of `frame`, times its gain, on the canvas: (3, rows, width) uint16, 65535 is white.

    Outside the frame its edge is repeated, so that no false edge appears there, or it is black.
    """
    height, width = stripe.halo_bottom - stripe.halo_top, frame.shape[1]
    if kernel == "keys" and not black_border and _nearly_upright(inverse := np.linalg.inv(transform)):
        return kernels.warp(frame, inverse[:2] / inverse[2, 2], gain=gain, top=stripe.halo_top, rows=height)
    moved = transform.copy()
    moved[:2] -= np.outer((0.0, stripe.halo_top), transform[2])
    border = cv2.BORDER_CONSTANT if black_border else cv2.BORDER_REPLICATE
    flags = _KERNELS[kernel]
    if np.array_equal(transform, np.eye(3)):
        seen = frame[stripe.halo_top : stripe.halo_bottom]
    elif not black_border and np.array_equal(moved[2], (0.0, 0.0, 1.0)):
        seen = cv2.warpAffine(frame, moved[:2], (width, height), flags=flags, borderMode=border)
    else:
        seen = cv2.warpPerspective(frame, moved, (width, height), flags=flags, borderMode=border)
    return kernels.split(seen, gain=gain)


def _nearly_upright(inverse: Transform) -> bool:
    """Whether rows stay nearly rows: a warp can then be done along them first, and across them afterwards."""
    (a, b, x), (c, d, y), (e, f, g) = inverse / inverse[2, 2]
    affine = e == 0 and f == 0 and g == 1 and max(abs(x), abs(y)) < _FARTHEST_PX
    return bool(affine and 0.5 < a < 2 and 0.5 < d < 2 and max(abs(b), abs(c)) < _MOST_TILT)


class ValidArea:
    """The running intersection of the frames' outlines on the canvas: a convex polygon."""

    def __init__(self, width: int, height: int) -> None:
        self._outline = np.array(
            [(-0.5, -0.5), (width - 0.5, -0.5), (width - 0.5, height - 0.5), (-0.5, height - 0.5)], np.float64
        )
        self._polygon: npt.NDArray[np.float64] = self._outline

    def add(self, transform: Transform) -> None:
        """Intersect with the outline of one more frame of the canvas's size."""
        quad = cv2.perspectiveTransform(self._outline[None], transform)[0]
        centre = quad.mean(axis=0)
        for a, b in zip(quad, np.roll(quad, -1, axis=0), strict=True):
            normal = np.array((a[1] - b[1], b[0] - a[0]))
            inwards = normal if normal @ (centre - a) >= 0 else -normal  # a mirroring transform turns the outline
            self._polygon = _clip(self._polygon, (self._polygon - a) @ inwards)

    def rectangle(self) -> tuple[int, int, int, int]:
        """The largest rectangle of whole pixels inside: (x, y, width, height); zero width and height when empty."""
        if len(self._polygon) < 3:
            return 0, 0, 0, 0
        left, right = float(self._polygon[:, 0].min()), float(self._polygon[:, 0].max())
        best = self._search(np.linspace(left, right, 129), np.linspace(left, right, 129))
        for _ in range(3):  # ever finer around the best
            spread = (right - left) / 64
            left_s = np.clip(np.linspace(best[0] - spread, best[0] + spread, 65), left, right)
            right_s = np.clip(np.linspace(best[1] - spread, best[1] + spread, 65), left, right)
            best = self._search(left_s, right_s)
            left, right = best[0] - spread / 8, best[1] + spread / 8
        # Half a pixel's tolerance of a hundredth: a frame on the canvas's own grid must not cost a row to rounding.
        x0, x1 = int(np.ceil(best[0] + 0.49)), int(np.floor(best[1] - 0.49))
        y0, y1 = int(np.ceil(best[2] + 0.49)), int(np.floor(best[3] - 0.49))
        return (x0, y0, x1 - x0 + 1, y1 - y0 + 1) if x1 >= x0 and y1 >= y0 else (0, 0, 0, 0)

    def _search(
        self, lefts: npt.NDArray[np.float64], rights: npt.NDArray[np.float64]
    ) -> tuple[float, float, float, float]:
        """The largest (left, right, top, bottom) among candidate sides.

        A convex polygon's upper edge is convex in x and its lower edge concave, so a rectangle is inside when it is at
        its left and right sides.
        """
        top_l, bottom_l = self._edges(lefts)
        top_r, bottom_r = self._edges(rights)
        top = np.maximum(top_l[:, None], top_r[None])
        bottom = np.minimum(bottom_l[:, None], bottom_r[None])
        area = np.clip(rights[None] - lefts[:, None], 0, None) * np.clip(bottom - top, 0, None)
        i, j = np.unravel_index(int(np.argmax(area)), area.shape)
        return float(lefts[i]), float(rights[j]), float(top[i, j]), float(bottom[i, j])

    def _edges(self, xs: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Upper and lower edge of the polygon (smallest and largest y) at each x."""
        top, bottom = np.full(xs.shape, np.inf), np.full(xs.shape, -np.inf)
        for (xa, ya), (xb, yb) in zip(self._polygon, np.roll(self._polygon, -1, axis=0), strict=True):
            low, high = min(xa, xb), max(xa, xb)
            inside = (xs >= low - 1e-6) & (xs <= high + 1e-6)
            if high - low < 1e-6:
                ends = (min(ya, yb), max(ya, yb))
                top[inside] = np.minimum(top[inside], ends[0])
                bottom[inside] = np.maximum(bottom[inside], ends[1])
                continue
            y = ya + (np.clip(xs, low, high) - xa) / (xb - xa) * (yb - ya)
            top[inside] = np.minimum(top[inside], y[inside])
            bottom[inside] = np.maximum(bottom[inside], y[inside])
        return top, bottom


def _clip(polygon: npt.NDArray[np.float64], depths: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The part of a convex polygon (n, 2) on one side of a line: where the depths of its corners are not negative.

    (Sutherland and Hodgman 1974, doi:10.1145/360767.360802. OpenCV's intersectConvexConvex loses corners of polygons
    that share edges, and frames of one stack do.)
    """
    kept = []
    for i in range(len(polygon)):
        j = (i + 1) % len(polygon)
        if depths[i] >= 0:
            kept.append(polygon[i])
        if (depths[i] > 0 > depths[j]) or (depths[i] < 0 < depths[j]):
            kept.append(polygon[i] + (polygon[j] - polygon[i]) * (depths[i] / (depths[i] - depths[j])))
    return np.array(kept, np.float64).reshape(-1, 2)
