"""Fusion in two bands: what is coarse and what is fine in a picture are weighed each by its own sharpness.

Where a thin thing stands before strong texture, the texture is sharp and loud in frames in which the thing has
dissolved, and shines through it. At a coarse scale, and in colour, the thing still tells itself apart: so the coarse
band shows it whole, and the fine band adds the detail of the sharpest frame to it. (Burt and Adelson 1983,
doi:10.1145/245.247, blend in bands; the weights are ours, see docs/algorithms.md.)
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from focusrail.model.method import Method
from focusrail.stacking import kernels
from focusrail.stacking.arrays import Allocate, Gain, Image, Luma, Plane, Tile, Transform
from focusrail.stacking.canvas import STRIPE_ROWS, Stripe, warp_stripe
from focusrail.stacking.focus_measure import ENERGY_HALO_PX, Scores, energy, noise_floor, plane_floor, smooth_energy
from focusrail.stacking.fusion import Fused
from focusrail_drivers.base import Accelerator

_POWER = 2  # of the focus, as the weight of a frame
_FLOOR = 8  # times the noise: below it all frames weigh alike
# The coarse band is the picture at 1/4 of its size, of larger ones at 1/8 or 1/16 (from so many megapixels on).
_LEVEL, _LEVEL_3_MPX, _LEVEL_4_MPX = 2, 7.0, 83.0
# What no frame has in focus is no more than noise in that. At 1/8 of the coarse band's size it still tells which frame
# is nearest to it.
_HALVINGS = 3
_TINY = np.float32(2.0**-60)  # so that no product of energies leaves single precision
_LEAST_PX = 7  # of the coarse focus: its least value among so many, against halos of strong edges


def level_of(height: int, width: int) -> int:
    """How many times the coarse band is halved."""
    mpx = height * width / 1e6
    return _LEVEL + (mpx > _LEVEL_3_MPX) + (mpx > _LEVEL_4_MPX)


def reduced(image: Image, level: int) -> Image:
    """Reduced 2^level times: its pixel j stands for the place 2^level j + 1/2."""
    height, width = image.shape[:2]
    small = image[: max(1, height // 2 * 2), : max(1, width // 2 * 2)]
    small = cv2.resize(small, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    for halvings_left in range(level - 1, 0, -1):
        if halvings_left == 1 and small.dtype == np.uint8:  # so that rounding shows no steps in what is smooth
            small = small.astype(np.uint16) * 257
        small = cv2.pyrDown(small)
    return small


@dataclass(frozen=True, slots=True)
class _Noise:
    """What noise makes of each energy, from the first frame."""

    fine: float
    colour: float  # at half size
    coarse: float
    coarse_colour: float
    coarser_colour: float  # at half the size of the coarse band


class BandsAccumulator:
    """The means of the coarse band and of the details above it, each weighted by a power of its focus."""

    halo_px = ENERGY_HALO_PX

    def __init__(
        self,
        height: int,
        width: int,
        method: Method,
        dtype: np.dtype[np.generic],
        *,
        accelerator: Accelerator,
        allocate: Allocate,
    ) -> None:
        self._method, self._dtype = method, dtype
        self._measure, self._scale = accelerator.measure, accelerator.configure()
        self._level = level_of(height, width)
        size = 1 << self._level
        self._to_full = np.array([[size, 0, 0.5], [0, size, 0.5], [0, 0, 1]], np.float64)
        self._details = allocate((3, height, width), np.uint16)
        self._details[...] = 32768  # none
        self._weight = allocate((height, width), np.float32)
        self._focus = allocate((height, width), np.uint16)  # the largest so far, as codes
        self._index = allocate((height, width), np.uint16)
        self._noise: _Noise | None = None
        self._coarse: _Coarse | None = None
        self._base: Plane = np.empty(0, np.float32)  # of the frame in hand

    def begin(self, frame: Image, transform: Transform, gain: Gain, index: int) -> None:
        """Fold in the coarse band of a frame."""
        small = reduced(frame, self._level)
        to_canvas = np.linalg.inv(self._to_full) @ transform @ self._to_full
        whole = Stripe(0, len(small), 0, len(small))
        black = self._method.border == "black"
        tile = warp_stripe(small, to_canvas, whole, kernel=self._method.warp, black_border=black, gain=gain)
        energies = self._coarse_energies(tile)
        if self._noise is None:
            self._noise = self._noise_of(frame, energies)
            self._coarse = _Coarse.empty(*tile.shape[1:])
        assert self._coarse is not None
        kernels.blend(
            self._coarse_focus(*energies, self._noise), tile, mean=self._coarse.mean, largest=self._coarse.focus,
            weight=self._coarse.weight, winner=self._coarse.index, frame=index, power=_POWER,
        )  # fmt: skip
        self._base = tile.astype(np.float32)

    def _colour_energy(self, red: Luma, blue: Luma) -> Plane:
        return energy(self._measure(red), self._scale, self._measure(blue))

    def _coarse_energies(self, tile: Tile) -> tuple[Plane, Plane, Plane, Plane]:
        """Of luma, of colour, of colour at half the size, and of luma at an eighth."""
        red, blue = cv2.split(cv2.cvtColor(kernels.join(tile, np.dtype(np.uint8)), cv2.COLOR_BGR2YCrCb))[1:]
        luma = energy(self._measure(kernels.luma(tile)), self._scale)
        coarser_colour = self._colour_energy(cv2.pyrDown(red), cv2.pyrDown(blue))
        return luma, self._colour_energy(red, blue), coarser_colour, _coarsest_energy(tile)

    def _noise_of(self, frame: Image, coarse: tuple[Plane, ...]) -> _Noise:
        return _Noise(
            noise_floor(frame, lambda part: energy(self._measure(kernels.luma(part)), self._scale)),
            noise_floor(frame, lambda part: self._colour_energy(*kernels.chroma(part))),
            *map(plane_floor, coarse[:3]),
        )

    def _coarse_focus(self, luma: Plane, colour: Plane, coarser_colour: Plane, coarsest: Plane, noise: _Noise) -> Plane:
        """(Y + 8)^2 (N + 8) (D + 1)^1.5 (E + 1) (G + 1)^2, but for a factor.

        Energies over their noise: of luma, its least nearby, of colour, and of colour at half the size; and that of
        luma at an eighth, in squared grey levels, of which noise has but a few hundredths left.
        """
        y = luma * np.float32(1 / noise.coarse)
        least = cv2.erode(y, np.ones((_LEAST_PX, _LEAST_PX), np.uint8))
        c = colour * np.float32(1 / noise.coarse_colour) + 1
        y += _FLOOR
        focus: Plane = y * y * (least + _FLOOR)
        focus *= c * np.sqrt(c)
        size = (luma.shape[1], luma.shape[0])
        focus *= cv2.pyrUp(coarser_colour, dstsize=size) * np.float32(1 / noise.coarser_colour) + 1
        gross = _enlarged(coarsest, size) + 1
        focus *= gross * gross * _TINY
        return focus

    def add(self, stripe: Stripe, tile: Tile, luma: Luma, scores: Scores, index: int) -> Plane:
        """Fold in the details of a stripe."""
        assert self._noise is not None
        fine, rows = energy(scores.fine, self._scale), stripe.rows
        colour = self._colour_energy(*kernels.chroma(tile))
        focus = kernels.focus(
            fine, colour, noise=(self._noise.fine, self._noise.colour), floor=_FLOOR, top=stripe.inner.start,
            rows=stripe.bottom - stripe.top,
        )  # fmt: skip
        kernels.blend(
            focus, tile[:, stripe.inner], mean=self._details[:, rows], largest=self._focus[rows],
            weight=self._weight[rows], winner=self._index[rows], frame=index, power=_POWER,
            base=self._base, level=self._level, top=stripe.top,
        )  # fmt: skip
        return fine[stripe.inner]

    def end(self, index: int) -> None:
        pass

    def finish(self) -> Fused:
        image = np.empty((*self._index.shape, 3), self._dtype)
        for top in range(0, len(image), STRIPE_ROWS):
            rows = slice(top, min(top + STRIPE_ROWS, len(image)))
            image[rows] = self._composed(top, rows=rows.stop - top)
        return Fused(image, self._index)

    def glance(self, step: int) -> Image:
        rows = -(-len(self._index) // step)
        return np.ascontiguousarray(self._composed(0, rows=rows, step=step)[:, ::step])

    def _composed(self, top: int, *, rows: int, step: int = 1) -> Image:
        assert self._coarse is not None
        base = self._coarse.mean.astype(np.float32)
        tile = kernels.compose(
            self._details, base=base, level=self._level, top=top, rows=rows, step=step, gain=self._method.detail_gain
        )
        return kernels.join(tile, self._dtype)


def _coarsest_energy(tile: Tile) -> Plane:
    """Of the luma at an eighth of the tile's size; float32, since out of focus its contrast is below a grey level."""
    blue, green, red = (plane.astype(np.float32) for plane in tile)
    luma = blue * np.float32(0.114 / 257) + green * np.float32(0.587 / 257) + red * np.float32(0.299 / 257)
    for _ in range(_HALVINGS):
        luma = cv2.pyrDown(luma)
    lob = cv2.Laplacian(cv2.GaussianBlur(luma, (3, 3), 0), cv2.CV_32F)
    return smooth_energy(lob * lob)


def _enlarged(plane: Plane, size: tuple[int, int]) -> Plane:
    """To (width, height) of the coarse band, of which `plane` is an eighth."""
    sizes = [size]
    for _ in range(_HALVINGS - 1):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    for one in reversed(sizes):
        plane = cv2.pyrUp(plane, dstsize=one)
    return plane


@dataclass(frozen=True, slots=True)
class _Coarse:
    """The coarse band so far."""

    mean: Plane  # (3, height, width) uint16
    focus: Plane
    weight: Plane
    index: Plane

    @staticmethod
    def empty(height: int, width: int) -> _Coarse:
        focus, index = np.zeros((2, height, width), np.uint16)
        return _Coarse(np.zeros((3, height, width), np.uint16), focus, np.zeros((height, width), np.float32), index)
