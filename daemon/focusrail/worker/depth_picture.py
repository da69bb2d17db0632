"""The depth map as a picture for people: colours, fine relief in light and shade, a legend. Arrays in, arrays out."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from focusrail.stacking.depth_map import HOLE, SURE
from focusrail.worker.depth_legend import COLOURS, Scale, hatch, legend
from focusrail.worker.lettering import GROUND, decimals, round_ends
from focusrail.worker.pictures import Picture

_LEAST_WIDTH_PX = 320  # a legend needs this much to be legible
_ENDS_PERCENT = (0.5, 99.5)  # of the sure pixels: a few wrong ones must not take the colours from all others
_PALEST = 0.35  # how much of its colour the least sure pixel keeps
_SHADE = 0.22  # how much lighter or darker the steepest fine relief is
_RELIEF = 0.04  # of the picture's longer side: what is larger is told by colour alone
_JUMP = 0.02  # of the whole range, per pixel: the edge of one thing before another is no relief
_BORDER_PX = 4  # the blur knows nothing beyond
_LEAST_SLOPE = 1 / 2000  # of the whole range, per pixel: less than this is not worth light or shade

Plane = NDArray[np.float32]


def depth_picture(
    depth: NDArray[np.floating[Any]],
    unit: str,
    lateral_um_per_px: float | None = None,
    *,
    sure: NDArray[np.floating[Any]] | None = None,
    far_is_high: bool | None = None,
    longest_px: int | None = None,
    ends: tuple[float, float] | None = None,
) -> Picture:
    """The depth map in colours, dark (lowest value) to bright (highest), with a legend below.

    depth: (height, width) float, NaN where unknown, in `unit`, "mm" or "frames". sure: its confidence, 0..1: what is
    less sure is paler. The legend spans the sure depths but for a few outliers, or reaches from one of `ends` to the
    other, in round numbers; it says where values lie beyond, which end is far when that is known, and has a scale bar
    when `lateral_um_per_px` is known.
    Light and shade show relief too fine for the colours. With `longest_px` the map is reduced first; it is enlarged or
    framed where it is too small for a legend.
    Returns (height', width', 3) uint8 BGR.
    """
    values, zoom = _fit(np.asarray(depth, dtype=np.float32), longest_px)
    trust = np.ones_like(values) if sure is None else _fit(np.asarray(sure, dtype=np.float32), longest_px)[0]
    um_per_px = lateral_um_per_px / zoom if lateral_um_per_px else None
    height, width = values.shape
    em = max(11, round(0.025 * min(max(width, _LEAST_WIDTH_PX), 1.6 * max(height, 200))))
    scale = _scale(values, trust, unit, far_is_high=far_is_high, ends=ends)
    known = np.isfinite(values)

    span = scale.high - scale.low
    levels = np.full(values.shape, 128, np.uint8)  # a constant depth: the middle of the map
    if span > 0:
        levels = np.rint(np.clip(np.nan_to_num((values - scale.low) / span), 0, 1) * 255).astype(np.uint8)
    picture = np.asarray(cv2.applyColorMap(levels, COLOURS), dtype=np.uint8)
    if span > 0:
        picture = _shaded(picture, _relief(values if far_is_high is False else -values, span=span))
    picture = _paled(picture, trust)
    if not known.all():
        picture[~known] = hatch(height, width, em)[~known]
    if width < _LEAST_WIDTH_PX:
        side = _LEAST_WIDTH_PX - width
        frame = ((0, 0), (side // 2, side - side // 2), (0, 0))
        picture = np.pad(picture, frame, constant_values=GROUND)
    strip = legend(picture.shape[1], em, scale, unknown=not bool(known.all()), um_per_px=um_per_px)
    return np.vstack([picture, strip])


def _scale(
    values: Plane, trust: Plane, unit: str, *, far_is_high: bool | None, ends: tuple[float, float] | None
) -> Scale:
    known = values[np.isfinite(values)]
    if known.size == 0:
        return Scale(math.nan, math.nan, 1.0, False, False, unit, far_is_high)
    relied = values[np.isfinite(values) & (trust > SURE)]
    if relied.size < 0.01 * known.size:
        relied = known
    lowest, highest = float(known.min()), float(known.max())
    low, high = ends or (float(end) for end in np.percentile(relied, _ENDS_PERCENT))
    if not high > low:  # nearly all is of one depth: then the others are what there is to see
        low, high = lowest, highest
    least = 1.0 if unit == "frames" else 0.0
    if not high > low or decimals(high - low) > 6:
        return Scale(low, low, 1.0, False, False, unit, far_is_high)
    low, high, step = round_ends(low, high, least_step=least)
    slack = 1e-3 * (high - low)
    return Scale(low, high, step, lowest < low - slack, highest > high + slack, unit, far_is_high)


def _relief(height: Plane, *, span: float) -> Plane:
    """-1..1: how steeply fine relief faces the light from the upper left; 0 where it is as steep as its surroundings.

    height: towards the camera, NaN where unknown. Only departures from the mean slope count, so that a whole slope
    keeps the colours of the legend.
    """
    smooth = cv2.GaussianBlur(height, (0, 0), 1.0)
    rise = cv2.Scharr(smooth, cv2.CV_32F, 1, 0, scale=1 / 32) + cv2.Scharr(smooth, cv2.CV_32F, 0, 1, scale=1 / 32)
    rise *= np.float32(1 / span)
    jump = cv2.dilate((np.abs(rise) > _JUMP).astype(np.uint8), np.ones((3, 3), np.uint8))
    known = np.isfinite(rise) & (jump == 0)
    for border in (known[:_BORDER_PX], known[-_BORDER_PX:], known[:, :_BORDER_PX], known[:, -_BORDER_PX:]):
        border[:] = False
    rise[~known] = 0
    weight = known.astype(np.float32)
    around = max(2.0, _RELIEF * max(height.shape) / 2)
    rise -= _blurred(rise, around) / np.maximum(_blurred(weight, around), np.float32(1e-3))
    rise *= weight
    usual = float(np.percentile(np.abs(rise[known]), 90)) if known.any() else 0.0
    return np.tanh(rise * np.float32(0.7 / max(usual, _LEAST_SLOPE)))


def _blurred(plane: Plane, sigma_px: float) -> Plane:
    """Like a Gaussian of that width, in time that does not grow with it."""
    small = (max(1, round(2 * plane.shape[1] / sigma_px)), max(1, round(2 * plane.shape[0] / sigma_px)))
    if min(small) < 3 or small[0] >= plane.shape[1]:
        return cv2.GaussianBlur(plane, (0, 0), sigma_px)
    coarse = cv2.GaussianBlur(cv2.resize(plane, small, interpolation=cv2.INTER_AREA), (0, 0), 2.0)
    return cv2.resize(coarse, (plane.shape[1], plane.shape[0]), interpolation=cv2.INTER_LINEAR)


def _shaded(picture: Picture, relief: Plane) -> Picture:
    """Lighter where the relief is above 0, darker where it is below."""
    share = np.abs(relief)[:, :, None] * np.float32(_SHADE)
    towards = np.where(relief > 0, np.float32(255), np.float32(0))[:, :, None]
    return np.rint(picture + (towards - picture) * share).astype(np.uint8)


def _paled(picture: Picture, trust: Plane) -> Picture:
    """With less colour where the depth is less sure, at the same lightness."""
    keep = np.clip((trust - HOLE) / (SURE - HOLE), 0, 1) * (1 - _PALEST) + _PALEST
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[:, :, None]
    return np.rint(grey + (picture.astype(np.float32) - grey) * keep[:, :, None]).astype(np.uint8)


def _fit(values: Plane, longest_px: int | None) -> tuple[Plane, float]:
    """The map reduced to `longest_px`, or enlarged in whole pixels towards a legible width; and by what factor."""
    height, width = values.shape
    if longest_px and max(height, width) > longest_px:
        zoom = longest_px / max(height, width)
        size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
        known = np.isfinite(values)
        # The mean of the known pixels only: a single NaN must not spread.
        weight = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        total = cv2.resize(np.where(known, values, 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        mean = np.where(weight >= 0.5, total / np.maximum(weight, 1e-6), np.nan)
        return mean.astype(np.float32), zoom
    times = max(1, min(_LEAST_WIDTH_PX // width, 640 // height))
    return np.repeat(np.repeat(values, times, axis=0), times, axis=1), float(times)
