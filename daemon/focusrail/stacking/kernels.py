"""The inner loops of stacking. Compiled (native/) they take a tenth of the time; else numpy gives the same pixels."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from focusrail.stacking import kernels_plain
from focusrail.stacking.arrays import Gain, Image, Luma, Plane, Tile
from focusrail.stacking.kernels_plain import decode, encode
from focusrail_drivers import native

__all__ = [
    "blend", "choose", "chroma", "compiled", "compose", "decode", "encode", "energy", "focus", "join", "lob5", "luma",
    "shrink", "smooth", "split", "track", "warp",
]  # fmt: skip
UNCHANGED: Gain = (1.0, 1.0, 1.0)
_LIBRARY = native.load(__file__, "native/libnative.so")


def compiled() -> bool:
    """Whether the compiled loops are in use."""
    return _LIBRARY is not None


def _at(array: npt.NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _done(failed: int) -> None:
    if failed:
        raise MemoryError("for a stripe's buffers")


def warp(frame: Image, inverse: npt.NDArray[np.float64], *, gain: Gain = UNCHANGED, top: int, rows: int) -> Tile:
    """Rows [top, top + rows) of the canvas as seen by a frame of its size: (3, rows, width) uint16, 65535 is white.

    `inverse` (2, 3) leads from canvas to frame pixels; it must be near to no rotation. Six-point cubic convolution
    (Keys 1981, doi:10.1109/TASSP.1981.1163711) along rows, then across them; beyond its edges the frame is continued.
    """
    height, width = frame.shape[:2]
    scales = _scales(gain, frame.dtype)
    if _LIBRARY is None:
        return kernels_plain.warp(frame, inverse, gain=scales, top=top, rows=rows)
    pixels, m = np.ascontiguousarray(frame), np.ascontiguousarray(inverse, np.float64)
    tile = np.empty((3, rows, width), np.uint16)
    depth = 8 * frame.dtype.itemsize
    _done(_LIBRARY.warp(_at(pixels), depth, height, width, _at(m), _at(scales), top, rows, _at(tile)))
    return tile


def split(image: Image, *, gain: Gain = UNCHANGED) -> Tile:
    """Pixels (rows, width, 3) of 8 or 16 bits, times a gain for each channel, as a tile."""
    scales = _scales(gain, image.dtype)
    if _LIBRARY is None:
        return kernels_plain.split(image, scales)
    height, width = image.shape[:2]
    pixels, tile = np.ascontiguousarray(image), np.empty((3, height, width), np.uint16)
    _done(_LIBRARY.split(_at(pixels), 8 * image.dtype.itemsize, height, width, _at(scales), _at(tile)))
    return tile


def shrink(image: Image, side: int) -> Image:
    """Means of whole squares of `side` (256 at most) pixels: (height // side, width // side, 3), of the same type."""
    if side == 1:
        return image
    if _LIBRARY is None:
        return kernels_plain.shrink(image, side)
    height, width = image.shape[:2]
    pixels, out = np.ascontiguousarray(image), np.empty((height // side, width // side, 3), image.dtype)
    _done(_LIBRARY.shrink(_at(pixels), 8 * image.dtype.itemsize, height, width, side, _at(out)))
    return out


def luma(tile: Tile) -> Luma:
    """Rec. 601 luma of a tile, rounded to 8 bits: (rows, width) uint8."""
    if _LIBRARY is None:
        return kernels_plain.luma(tile)
    out = np.empty(tile.shape[1:], np.uint8)
    _LIBRARY.luma(_at(out), _at(tile), ctypes.c_size_t(out.size), ctypes.c_size_t(out.size))
    return out


def join(tile: Tile, dtype: np.dtype[Any]) -> Image:
    """A tile as interleaved pixels: (rows, width, 3) uint8 or uint16."""
    if _LIBRARY is None:
        return kernels_plain.join(tile, dtype)
    out = np.empty((*tile.shape[1:], 3), dtype)
    _LIBRARY.join(_at(out), 8 * dtype.itemsize, _at(tile), _apart(tile), ctypes.c_size_t(out.size // 3))
    return out


def choose(measure: Plane, tile: Tile, *, largest: Plane, best: Plane, winner: Plane, frame: int) -> None:
    """Keep the pixels of a tile where the measure is no smaller than the largest so far, which it becomes.

    measure and largest (rows, width) int16 or float32; tile and best (3, rows, width), best uint8 or uint16; winner
    (rows, width) uint16 becomes `frame` there.
    """
    if _LIBRARY is None:
        kernels_plain.choose(measure, tile, largest=largest, best=best, winner=winner, frame=frame)
        return
    rows, width = measure.shape
    _done(
        _LIBRARY.choose(
            _at(measure), measure.dtype == np.float32, _at(tile), _apart(tile), _at(largest), _at(best),
            8 * best.dtype.itemsize, _apart(best), _at(winner), frame, rows, width,
        )
    )  # fmt: skip


def lob5(luma: Luma) -> Plane | None:
    """|Laplacian(Gaussian)| of kernel sizes 5 and 5, exactly as OpenCV's: int16. None where nothing is compiled."""
    if _LIBRARY is None:
        return None
    grey, out = np.ascontiguousarray(luma), np.empty(luma.shape, np.int16)
    _done(_LIBRARY.lob5(_at(grey), *grey.shape, _at(out)))
    return out


def smooth(plane: Plane, kernel: npt.NDArray[np.float32]) -> Plane:
    """A float32 plane smoothed along both axes by a symmetric kernel of 7: `kernel` (4,) is its middle and one side."""
    if _LIBRARY is None:
        return kernels_plain.smooth(plane, kernel)
    out = np.empty(plane.shape, np.float32)
    _done(_LIBRARY.smooth(_at(out), _at(plane), *plane.shape, _at(kernel)))
    return out


def energy(
    score: Plane, more: Plane | None = None, *, scale: float, kernel: npt.NDArray[np.float32], halved: bool = False
) -> Plane:
    """Scores (height, width) uint16, times a scale, squared, and smoothed by the kernel of `smooth`: float32.

    With `more`, the squares of a second plane are added. Halved, squares are averaged over 2 x 2 pixels (or what there
    is at the end of an odd side) before they are smoothed, and the size is half, rounded up.
    """
    if _LIBRARY is None:
        return kernels_plain.energy(score, more, scale=np.float32(scale), kernel=kernel, halved=halved)
    height, width = score.shape
    out = np.empty(((height + 1) // 2, (width + 1) // 2) if halved else score.shape, np.float32)
    second = None if more is None else _at(more)
    _done(_LIBRARY.energy(_at(out), _at(score), second, ctypes.c_float(scale), height, width, halved, _at(kernel)))
    return out


def track(fine: Plane, coarse: Plane, *, floors: tuple[float, float], state: Plane, now: int) -> None:
    """Remember the largest energy sqrt((fine + floor) (coarse + floor)), and those of the frames before and after it.

    fine and coarse (rows, at least width) float32; state (5, rows, width) uint16: the largest energy, that of the frame
    before and of the frame after it, that of the last frame, and the largest one's number. `now` counts frames from 0.
    Energies are kept as the upper 16 bits of a float without its sign.
    """
    _, rows, width = state.shape
    fine_floor, coarse_floor = _single(floors[0]), _single(floors[1])
    if _LIBRARY is None:
        singles = (np.float32(fine_floor), np.float32(coarse_floor))
        kernels_plain.track(fine[:, :width], coarse[:, :width], floors=singles, state=state, now=now)
        return
    _LIBRARY.track(
        _at(fine), fine.strides[0] // 4, _at(coarse), coarse.strides[0] // 4, ctypes.c_float(fine_floor),
        ctypes.c_float(coarse_floor), _at(state), _apart(state), now, rows, width,
    )  # fmt: skip


def blend(
    focus: Plane,
    tile: Tile,
    *,
    mean: Plane,
    largest: Plane,
    weight: Plane,
    winner: Plane,
    frame: int,
    power: int,
    base: Plane | None = None,
    level: int = 0,
    top: int = 0,
) -> None:
    """Fold the pixels of a tile into their mean, with the weight focus^power (2 or 3).

    focus and weight (rows, width) float32, where `weight` is the sum of weights relative to that of the largest focus
    so far, whose codes (see `decode`) are `largest`, uint16; tile and mean (3, rows, width) uint16; winner
    (rows, width) uint16. With `base`, three float32 planes of the whole canvas that are reduced 2^level times (2, 3 or
    4), the mean is half the details above that, around 32768, and `top` is the tile's first row on the canvas.
    """
    if _LIBRARY is None:
        kernels_plain.blend(
            focus, tile, base=base, level=level, top=top, mean=mean, largest=largest, weight=weight, winner=winner,
            frame=frame, power=power,
        )  # fmt: skip
        return
    rows, width = focus.shape
    below = (None, 0, 0) if base is None else (_at(base), *base.shape[1:])
    _done(
        _LIBRARY.blend(
            _at(focus), _at(tile), _apart(tile), *below, level, top, _at(mean), _apart(mean), _at(largest),
            _at(weight), _at(winner), frame, power, rows, width,
        )
    )  # fmt: skip


def compose(mean: Plane, *, base: Plane, level: int, top: int, rows: int, step: int = 1, gain: float = 1.0) -> Tile:
    """Base and mean details of `blend`, times a gain, together: rows top, top + step, ... of the canvas, as a tile."""
    if _LIBRARY is None:
        return kernels_plain.compose(mean, base=base, level=level, gain=np.float32(gain), top=top, step=step, rows=rows)
    out = np.empty((3, rows, mean.shape[2]), np.uint16)
    below = (_at(base), *base.shape[1:])
    _done(
        _LIBRARY.compose(
            _at(mean), _apart(mean), *below, level, ctypes.c_float(gain), top, step, rows, mean.shape[2], _at(out)
        )
    )
    return out


def chroma(tile: Tile) -> tuple[Luma, Luma]:
    """Red and blue against luma (Rec. 601), of means of 2 x 2 pixels: two uint8 planes of half the size, rounded up."""
    if _LIBRARY is None:
        return kernels_plain.chroma(tile)
    _, rows, width = tile.shape
    red, blue = np.empty((2, (rows + 1) // 2, (width + 1) // 2), np.uint8)
    _LIBRARY.chroma(_at(tile), _apart(tile), rows, width, _at(red), _at(blue))
    return red, blue


def focus(fine: Plane, colour: Plane, *, noise: tuple[float, float], floor: float, top: int, rows: int) -> Plane:
    """(F + floor)^2 (M + floor) (C + floor) for rows [top, top + rows) of a stripe: (rows, width) float32.

    F is the fine energy (height, width) in units of its noise, M its least value within two pixels, C the energy of the
    colour at half the size, rounded up, in units of its own noise.
    """
    shares, floor = (_single(1 / noise[0]), _single(1 / noise[1])), _single(floor)
    if _LIBRARY is None:
        singles = (np.float32(shares[0]), np.float32(shares[1]))
        return kernels_plain.focus(fine, colour, shares=singles, floor=np.float32(floor), top=top, rows=rows)
    out = np.empty((rows, fine.shape[1]), np.float32)
    values = map(ctypes.c_float, (*shares, floor))
    _done(_LIBRARY.focus(_at(fine), *fine.shape, _at(colour), len(colour), *values, top, rows, _at(out)))
    return out


def _scales(gain: Gain, dtype: np.dtype[Any]) -> npt.NDArray[np.float32]:
    """What pixels of a depth are multiplied with to be those of a tile."""
    return np.array([one * (257 if dtype == np.uint8 else 1) for one in gain], np.float32)


def _single(value: float) -> float:
    """Rounded as both ways of computing round it."""
    return float(np.float32(value))


def _apart(planes: npt.NDArray[Any]) -> ctypes.c_size_t:
    """How many pixels lie between the planes of (n, rows, width); rows follow each other without a gap."""
    return ctypes.c_size_t(planes.strides[0] // planes.itemsize)
