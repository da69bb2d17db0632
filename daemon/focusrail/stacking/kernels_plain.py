"""The arithmetic of native/ in numpy, operation by operation, for where there was no C compiler.

Same results to the last bit, in many times the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from focusrail.stacking.arrays import Image, Luma, Plane, Tile

_ONE = 4294967296.0  # coordinates have 32 fractional bits
_TAPS = range(6)  # samples at -2..3
_F = np.float32


def warp(frame: Image, inverse: npt.NDArray[np.float64], *, gain: Plane, top: int, rows: int) -> Tile:
    """See kernels.warp."""
    height, width = frame.shape[:2]
    m = inverse.ravel()
    u_step, v_step = _fixed(m[0] - m[1] * m[3] / m[4]), _fixed(m[3])
    u_per_row, u_base = m[1] / m[4], m[2] - m[1] * m[5] / m[4]
    x = np.arange(width, dtype=np.int64)
    v = _fixed(m[4] * (top + np.arange(rows)) + m[5])[:, None] + x * v_step
    first = int(np.clip((v >> 32).min() - 2, 0, height - 1))
    last = int(np.clip((v >> 32).max() + 3, 0, height - 1))
    u = _fixed(u_per_row * np.arange(first, last + 1, dtype=np.float64) + u_base)[:, None] + x * u_step
    weights = _keys(u)
    taken = frame[first : last + 1]
    row = np.arange(len(taken))[:, None]
    samples = [taken[row, np.clip((u >> 32) - 2 + k, 0, width - 1)].astype(_F) for k in _TAPS]
    between = _weighted(samples, weights)
    weights = _keys(v)
    samples = [between[np.clip((v >> 32) - 2 + k, first, last) - first, x] for k in _TAPS]
    canvas = _weighted(samples, weights)
    return np.ascontiguousarray(np.moveaxis(_quantised(canvas, gain), 2, 0))


def _fixed(value: Any) -> Any:
    return np.rint(np.asarray(value, np.float64) * _ONE).astype(np.int64)


def _keys(place: npt.NDArray[np.int64]) -> list[npt.NDArray[np.float32]]:
    t = ((place & 0xFFFFFFFF) >> 8).astype(_F) * _F(2.0**-24)
    s = _F(1) - t
    twelfth, outer, middle, inner = _F(1) / _F(12), _F(-2) / _F(3), _F(5) / _F(4), _F(-7) / _F(12)
    near, nearest = _F(-7) / _F(3), _F(4) / _F(3)
    return [
        (twelfth * t * s) * s,
        t * (outer + t * (middle + t * inner)),
        _F(1) + t * t * (near + t * nearest),
        _F(1) + s * s * (near + s * nearest),
        s * (outer + s * (middle + s * inner)),
        (twelfth * s * t) * t,
    ]


def _weighted(samples: list[Any], weights: list[Any]) -> Any:
    total = weights[0][..., None] * samples[0]
    for weight, sample in zip(weights[1:], samples[1:], strict=True):
        total += weight[..., None] * sample
    return total


def split(image: Image, gain: Plane) -> Tile:
    """See kernels.split."""
    return np.ascontiguousarray(np.moveaxis(_quantised(image.astype(_F), gain), 2, 0))


def _quantised(pixels: Any, gain: Plane) -> Any:
    return np.clip(pixels * gain + _F(0.5), _F(0), _F(65535)).astype(np.int32).astype(np.uint16)


def shrink(image: Image, side: int) -> Image:
    """See kernels.shrink."""
    height, width = image.shape[0] // side, image.shape[1] // side
    squares = image[: height * side, : width * side].reshape(height, side, width, side, 3)
    sums = squares.sum(axis=(1, 3), dtype=np.uint32).astype(_F)
    means: Image = (sums * (_F(1) / (_F(side) * _F(side))) + _F(0.5)).astype(image.dtype)
    return means


def luma(tile: Tile) -> Luma:
    """See kernels.luma."""
    b, g, r = (plane.astype(np.uint32) for plane in tile)
    return ((b * 3735 + g * 19235 + r * 9798 + 257 * 16384) // (257 * 32768)).astype(np.uint8)


def join(tile: Tile, dtype: np.dtype[Any]) -> Image:
    """See kernels.join."""
    pixels = np.moveaxis(tile, 0, 2)
    if dtype == np.uint8:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def choose(measure: Plane, tile: Tile, *, largest: Plane, best: Plane, winner: Plane, frame: int) -> None:
    """See kernels.choose."""
    won = measure >= largest
    largest[won] = measure[won]
    winner[won] = frame
    pixels = tile if best.dtype == np.uint16 else ((tile.astype(np.uint32) + 128) // 257).astype(np.uint8)
    for kept, plane in zip(best, pixels, strict=True):
        kept[won] = plane[won]


def energy(
    score: Plane, more: Plane | None, *, scale: np.float32, kernel: npt.NDArray[np.float32], halved: bool
) -> Plane:
    """See kernels.energy."""
    squares: Plane = np.square(score.astype(_F) * scale)
    if more is not None:
        squares += np.square(more.astype(_F) * scale)
    return smooth(_halved(squares) if halved else squares, kernel)


def _halved(plane: Plane) -> Plane:
    height, width = plane.shape
    above = plane[::2]
    below = plane[np.minimum(np.arange(1, height + 1, 2), height - 1)]
    pairs = (
        (above[:, : width // 2 * 2 : 2] + above[:, 1::2]) + (below[:, : width // 2 * 2 : 2] + below[:, 1::2])
    ) * _F(0.25)
    return np.hstack([pairs, (above[:, -1:] + below[:, -1:]) * _F(0.5)]) if width % 2 else pairs


def smooth(plane: Plane, kernel: npt.NDArray[np.float32]) -> Plane:
    """See kernels.smooth."""
    return _smooth_across(_smooth_across(plane.T, kernel).T, kernel)


def _smooth_across(plane: Plane, k: npt.NDArray[np.float32]) -> Plane:
    around = [plane[_mirrored(len(plane), offset)] for offset in range(-3, 4)]
    total = k[0] * around[3] + k[1] * (around[2] + around[4])
    total = total + k[2] * (around[1] + around[5])
    return np.ascontiguousarray(total + k[3] * (around[0] + around[6]))


def _mirrored(size: int, offset: int) -> npt.NDArray[np.int64]:
    if size == 1:
        return np.zeros(1, np.int64)
    at = np.abs(np.arange(size) + offset) % (2 * size - 2)
    return np.where(at < size, at, 2 * size - 2 - at)


def encode(number: Plane) -> Plane:
    """The upper half of the bits of positive float32, without the sign: uint16 in the order of the numbers."""
    return ((number.view(np.uint32) + np.uint32(0x4000)) >> 15).astype(np.uint16)


def decode(code: Plane) -> Plane:
    """float32 of such codes; 0 of 0."""
    bits: Plane = code.astype(np.uint32)
    return np.left_shift(bits, np.uint32(15), out=bits).view(np.float32)


def track(fine: Plane, coarse: Plane, *, floors: tuple[np.float32, np.float32], state: Plane, now: int) -> None:
    """See kernels.track."""
    energy = np.sqrt((fine + floors[0]) * (coarse + floors[1]))
    code = encode(energy)
    best, before, after, previous, rank = state
    won, following = code > best, rank == np.uint16((now - 1) & 0xFFFF)
    after[...] = np.where(won, 0, np.where(following, code, after))
    before[won] = previous[won]
    rank[won] = now
    best[won] = code[won]
    previous[...] = code


def blend(
    focus: Plane, tile: Tile, *, base: Plane | None, level: int, top: int, mean: Plane, largest: Plane, weight: Plane,
    winner: Plane, frame: int, power: int,
) -> None:  # fmt: skip
    """See kernels.blend."""
    code = encode(focus)
    won = code > largest
    kept = np.where(won, code, largest)
    unit = _F(1) / decode(kept)
    old, now = decode(largest) * unit, focus * unit
    w, v = (now * now * now, old * old * old) if power == 3 else (now * now, old * old)
    total = weight * v + w
    share = w / total
    weight[...] = total
    largest[...] = kept
    winner[won] = frame
    rows, width = focus.shape
    for channel, (kept, pixels) in enumerate(zip(mean, tile, strict=True)):
        before, now = kept.astype(_F), pixels.astype(_F)
        if base is not None:
            now = (now - _enlarged(base[channel], level, np.arange(top, top + rows), width)) * _F(0.5) + _F(32768)
        after = np.clip(before + share * (now - before) + _F(0.5), _F(0), _F(65535))
        kept[...] = after.astype(np.int32).astype(np.uint16)


def compose(mean: Plane, *, base: Plane, level: int, gain: np.float32, top: int, step: int, rows: int) -> Tile:
    """See kernels.compose."""
    out, at = np.empty((3, rows, mean.shape[2]), np.uint16), top + step * np.arange(rows)
    for channel, detail in enumerate(mean):
        whole = (detail[at].astype(_F) - _F(32768)) * (_F(2) * gain) + _enlarged(
            base[channel], level, at, mean.shape[2]
        )
        out[channel] = np.clip(whole + _F(0.5), _F(0), _F(65535)).astype(np.int32).astype(np.uint16)
    return out


def _enlarged(plane: Plane, level: int, rows: npt.NDArray[np.int64], width: int) -> Plane:
    """Rows of a plane enlarged 2^level times by a cubic B-spline, cut at `width`."""
    size = 1 << level
    (height, _), columns = plane.shape, np.arange(width)
    y, x = -(-rows // size) - 1, -(-columns // size) - 1
    w = _spline(((rows - 1 - y * size).astype(_F) + _F(0.5)) / _F(size))
    four = [plane[np.clip(y - 1 + k, 0, height - 1)] for k in range(4)]
    line = w[0][:, None] * four[0] + w[1][:, None] * four[1] + w[2][:, None] * four[2] + w[3][:, None] * four[3]
    w = _spline(((columns - 1 - x * size).astype(_F) + _F(0.5)) / _F(size))
    four = [line[:, np.clip(x - 1 + k, 0, plane.shape[1] - 1)] for k in range(4)]
    return w[0] * four[0] + w[1] * four[1] + w[2] * four[2] + w[3] * four[3]


def _spline(t: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    s, sixth, two_thirds = _F(1) - t, _F(1) / _F(6), _F(2) / _F(3)
    return [
        s * s * s * sixth,
        two_thirds - t * t * (_F(1) - t * _F(0.5)),
        two_thirds - s * s * (_F(1) - s * _F(0.5)),
        t * t * t * sixth,
    ]


def chroma(tile: Tile) -> tuple[Luma, Luma]:
    """See kernels.chroma."""
    _, rows, width = tile.shape
    y, x = np.arange(0, rows, 2), np.arange(0, width, 2)
    below, right = np.minimum(y + 1, rows - 1), np.minimum(x + 1, width - 1)
    wide = tile.astype(np.int32)
    b, g, r = (
        (plane[y][:, x] + plane[y][:, right] + plane[below][:, x] + plane[below][:, right]).astype(_F) for plane in wide
    )
    share = _F(1) / _F(1028)
    red = (r * _F(0.5) - g * _F(0.4187) - b * _F(0.0813)) * share + _F(128.5)
    blue = (b * _F(0.5) - g * _F(0.3313) - r * _F(0.1687)) * share + _F(128.5)
    first, second = (np.clip(plane, _F(0), _F(255)).astype(np.int32).astype(np.uint8) for plane in (red, blue))
    return first, second


def focus(
    fine: Plane, colour: Plane, *, shares: tuple[np.float32, np.float32], floor: np.float32, top: int, rows: int
) -> Plane:
    """See kernels.focus."""
    height, width = fine.shape
    inner = np.arange(top, top + rows)
    least = _least([fine[np.clip(inner - 2 + k, 0, height - 1)] for k in range(5)])
    least = _least([least[:, np.clip(np.arange(width) - 2 + k, 0, width - 1)] for k in range(5)])
    lines = _widened(colour, inner)
    wide = np.ascontiguousarray(_widened(np.ascontiguousarray(lines.T), np.arange(width)).T)
    a = fine[inner] * shares[0] + floor
    return (a * a) * ((least * shares[0] + floor) * (wide * shares[1] + floor))


def _least(planes: list[Plane]) -> Plane:
    least = planes[0]
    for plane in planes[1:]:
        least = np.minimum(least, plane)
    return least


def _widened(plane: Plane, rows: npt.NDArray[np.int64]) -> Plane:
    """Rows of a half-size plane at full size: three quarters of the nearer row and a quarter of the next."""
    near = rows // 2
    far = np.clip(near + np.where(rows % 2 == 1, 1, -1), 0, len(plane) - 1)
    return plane[near] * _F(0.75) + plane[far] * _F(0.25)
