"""Pictures for people: depth in colours, contact sheet, scale bars. Arrays in, arrays out."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]  # (height, width, 3) BGR

# Viridis: its lightness rises evenly, it survives every kind of colour blindness and a grey print, and unlike cividis
# it passes through no grey, which is what unknown pixels wear.
_COLOURS = cv2.COLORMAP_VIRIDIS
_GROUND, _INK, _FAINT = 20, 236, 150
_UNKNOWN = (104, 124)  # two greys, hatched: told apart from any depth without seeing colour
_LEFT_OUT = (0, 159, 230)  # BGR orange
_LEAST_WIDTH_PX = 320  # a legend needs this much to be legible
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_Ink = int | tuple[int, int, int]


def round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most about `most` round numbers (1, 2 or 5 times a power of ten apart) within low..high."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low] if math.isfinite(low) else []
    step = round_number(span / max(1, most - 1), upwards=True)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def round_number(value: float, *, upwards: bool = False) -> float:
    """The nearest 1, 2 or 5 times a power of ten at or below `value` > 0, or at or above it."""
    power = 10.0 ** math.floor(math.log10(value))
    steps = [factor * power for factor in (1.0, 2.0, 5.0, 10.0)]
    if upwards:
        return next(step for step in steps if step >= value * (1 - 1e-9))
    return next(step for step in reversed(steps) if step <= value * (1 + 1e-9))


def decimals(step: float) -> int:
    """How many decimals tell multiples of `step` apart."""
    return max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0


def length_text(length_um: float) -> str:
    """A length with the unit a person would use: 500 µm, 2 mm."""
    return f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um:g} µm"


def depth_picture(
    depth: NDArray[np.floating[Any]],
    unit: str,
    lateral_um_per_px: float | None = None,
    *,
    longest_px: int | None = None,
) -> Picture:
    """The depth map in colours, dark (lowest value) to bright (highest), with a legend below.

    depth: (height, width) float, NaN where unknown, in `unit`, "mm" or "frames". The legend runs from the lowest to the
    highest depth in the map and has a scale bar when `lateral_um_per_px` is known. With `longest_px` the map is
    reduced first; it is enlarged or framed where it is too small for a legend.
    Returns (height', width', 3) uint8 BGR.
    """
    values = np.asarray(depth, dtype=np.float32)
    values, zoom = _fit(values, longest_px)
    um_per_px = lateral_um_per_px / zoom if lateral_um_per_px else None
    known = np.isfinite(values)
    low, high = (float(values[known].min()), float(values[known].max())) if known.any() else (math.nan, math.nan)
    height, width = values.shape
    em = max(11, round(0.03 * min(max(width, _LEAST_WIDTH_PX), 1.6 * max(height, 200))))

    span = high - low
    levels = np.full(values.shape, 128, np.uint8)  # a constant depth: the middle of the map
    if span > 0:
        levels[known] = np.rint((values[known] - low) * (255.0 / span)).astype(np.uint8)
    picture = np.asarray(cv2.applyColorMap(levels, _COLOURS), dtype=np.uint8)
    if not known.all():
        picture[~known] = _hatch(height, width, em)[~known]
    if width < _LEAST_WIDTH_PX:
        side = _LEAST_WIDTH_PX - width
        frame = ((0, 0), (side // 2, side - side // 2), (0, 0))
        picture = np.pad(picture, frame, constant_values=_GROUND)
    legend = _legend(picture.shape[1], em, low, high, unit, unknown=not bool(known.all()), um_per_px=um_per_px)
    return np.vstack([picture, legend])


def _fit(values: NDArray[np.float32], longest_px: int | None) -> tuple[NDArray[np.float32], float]:
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


def _hatch(height: int, width: int, em: int) -> Picture:
    period = max(4, em // 2)
    stripe = (np.arange(height)[:, None] + np.arange(width)[None, :]) % (2 * period) < period
    grey = np.where(stripe, np.uint8(_UNKNOWN[0]), np.uint8(_UNKNOWN[1]))
    return np.repeat(grey[:, :, None], 3, axis=2)


def _legend(
    width: int, em: int, low: float, high: float, unit: str, *, unknown: bool, um_per_px: float | None
) -> Picture:
    """A strip of two rows: colour bar, swatch of the unknown, scale bar; beneath each its labels."""
    font = ImageFont.load_default(em)
    bar_top, bar_height, tick = round(0.8 * em), round(0.9 * em), max(2, round(0.3 * em))
    text_top, margin, line = bar_top + bar_height + round(0.45 * em), em, max(1, round(em / 12))
    strip = Image.new("RGB", (width, round(4.0 * em)), (_GROUND,) * 3)
    draw = ImageDraw.Draw(strip)
    right = width - margin
    if um_per_px:
        length_um = round_number(0.2 * width * um_per_px)
        length, text = length_um / um_per_px, length_text(length_um)
        left = right - max(length, font.getlength(_drawable(text)))
        middle, y = (left + right) / 2, bar_top + bar_height / 2
        cap, thick = bar_height / 2, max(1, round(em / 9))
        for box in (
            (middle - length / 2, y - thick, middle + length / 2, y + thick),
            (middle - length / 2, y - cap, middle - length / 2 + 2 * thick, y + cap),
            (middle + length / 2 - 2 * thick, y - cap, middle + length / 2, y + cap),
        ):
            draw.rectangle(box, fill=(_INK,) * 3)
        _draw_text(draw, (middle, text_top), text, font, (_INK,) * 3)
        right = round(left - 2 * em)
    if unknown:
        text = "unknown"
        left = right - max(2.0 * em, font.getlength(text))
        swatch = _hatch(bar_height, round(right - left), em)
        strip.paste(Image.fromarray(swatch), (round(left), bar_top))
        _draw_text(draw, ((left + right) / 2, text_top), text, font, (_INK,) * 3)
        right = round(left - 2 * em)
    bar: Picture | None = None
    if math.isfinite(low) and right > margin + 2 * em:
        bar_width = right - margin if high > low else min(4 * em, right - margin)
        ramp = np.linspace(0, 255, bar_width) if high > low else np.full(bar_width, 128)
        bar = np.asarray(cv2.applyColorMap(np.rint(ramp)[None, :].astype(np.uint8), _COLOURS), dtype=np.uint8)
        _bar_labels(
            draw, font, (margin, right, bar_top + bar_height, text_top, tick, line), low=low, high=high, unit=unit
        )
    picture = np.array(strip)[:, :, ::-1].copy()  # what was drawn so far is grey, so the order of channels is moot
    if bar is not None:
        picture[bar_top : bar_top + bar_height, margin : margin + bar.shape[1]] = bar
    return picture


def _drawable(text: str) -> str:
    """The text in what the font that comes with Pillow has: little beyond ASCII."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.replace("µ", "u")) if not unicodedata.combining(c))
    return "".join(c if c in "·…±°" or c.isascii() else "?" for c in plain)


def _draw_text(
    draw: ImageDraw.ImageDraw, top_middle: tuple[float, float], text: str, font: _Font, ink: _Ink, *, outline: int = 0
) -> None:
    """One line of text, centred. The font has no µ: it becomes a u with a tail."""
    shown = _drawable(text)
    draw.text(top_middle, shown, font=font, fill=ink, anchor="ma", stroke_width=outline)
    if "µ" in text and isinstance(font, ImageFont.FreeTypeFont):
        start = top_middle[0] - font.getlength(shown) / 2 + font.getlength(shown[: text.index("µ")])
        left, baseline = round(start + font.getbbox("u")[0]), round(top_middle[1] + font.getmetrics()[0])
        stem, tail = max(1, round(0.085 * font.size)), round(0.2 * font.size)
        box = (left - outline, baseline - 2 * stem - outline, left + stem - 1 + outline, baseline + tail + outline)
        draw.rectangle(box, fill=ink)


def _bar_labels(
    draw: ImageDraw.ImageDraw,
    font: _Font,
    place: tuple[int, int, int, int, int, int],
    *,
    low: float,
    high: float,
    unit: str,
) -> None:
    """The two ends with the unit, and as many round values between as there is room for."""
    left, right, bar_bottom, text_top, tick, line = place
    span = high - low

    def mark(x: float, ink: int) -> None:
        draw.rectangle((x, bar_bottom, x + line - 1, bar_bottom + tick), fill=(ink,) * 3)

    in_frames = unit == "frames"
    # More ticks than fit are asked for, coarser ones are tried until the labels stand clear of one another.
    places = 0 if in_frames else decimals(round_number(span / 50)) if span > 0 else 3

    low_text = f"frame {low:.0f}" if in_frames else f"{low:.{places}f}"
    high_text = f"{high:.0f}" if in_frames else f"{high:.{places}f} {unit}"
    if span <= 0:
        draw.text((left, text_top), low_text if in_frames else high_text, font=font, fill=(_INK,) * 3, anchor="la")
        return
    draw.text((left, text_top), low_text, font=font, fill=(_INK,) * 3, anchor="la")
    draw.text((right, text_top), high_text, font=font, fill=(_INK,) * 3, anchor="ra")
    mark(left, _INK)
    mark(right - line, _INK)
    space = font.getlength("0")
    first = left + font.getlength(low_text) + space
    last = right - font.getlength(high_text) - space
    for most in (12, 9, 7, 5, 4, 3):
        values = round_ticks(low, high, most)
        step = values[1] - values[0] if len(values) > 1 else span
        if in_frames and step < 1:
            continue
        texts = [f"{value:.{decimals(step)}f}" for value in values]
        at = [left + (value - low) / span * (right - 1 - left) for value in values]
        half = max((font.getlength(text) / 2 for text in texts), default=0.0)
        if len(at) > 1 and at[1] - at[0] < 2 * half + space:
            continue
        for x, text in zip(at, texts, strict=True):
            if first <= x - half and x + half <= last:
                mark(round(x - line / 2), _FAINT)
                draw.text((x, text_top), text, font=font, fill=(_FAINT,) * 3, anchor="ma")
        return


def with_scale_bar(image: NDArray[Any], um_per_px: float) -> NDArray[Any]:
    """A copy of the image with a scale bar of a round length at its lower right.

    image: (height, width) or (height, width, 3), uint8 or uint16. White with a dark outline: legible on any ground.
    """
    result = np.array(image, copy=True)
    height, width = result.shape[:2]
    if not (math.isfinite(um_per_px) and um_per_px > 0) or width < 16 or height < 16:
        return result
    length_um = round_number(0.22 * width * um_per_px)
    length, text = round(length_um / um_per_px), length_text(length_um)
    em = max(10, round(0.03 * min(width, 1.6 * height)))
    font = ImageFont.load_default(em)
    outline = max(1, round(0.08 * em))
    thick, pad = max(2, round(em / 4)), max(outline + 1, round(0.4 * em))
    box_width = min(width, max(length, math.ceil(font.getlength(_drawable(text)))) + 2 * pad)
    box_height = min(height, round(1.25 * em) + thick + 2 * pad)

    dark = Image.new("L", (box_width, box_height), 0)
    light = Image.new("L", (box_width, box_height), 0)
    middle, bottom = box_width / 2, box_height - pad
    for mask, grow in ((dark, outline), (light, 0)):
        draw = ImageDraw.Draw(mask)
        x = round(middle - length / 2)
        draw.rectangle((x - grow, bottom - thick - grow, x + length - 1 + grow, bottom - 1 + grow), fill=255)
        place = (middle, bottom - thick - round(1.25 * em))
        _draw_text(draw, place, text, font, 255, outline=grow)
    top, left = height - box_height - min(pad, height - box_height), width - box_width - min(pad, width - box_width)
    region = result[top : top + box_height, left : left + box_width]
    white = float(np.iinfo(result.dtype).max)
    shape = (box_height, box_width) + (1,) * (result.ndim - 2)
    shade, shine = (np.asarray(mask, dtype=np.float32).reshape(shape) / 255 for mask in (dark, light))
    region[...] = np.rint(region * (1 - shade) * (1 - shine) + white * shine).astype(result.dtype)
    return result


def contact_sheet(
    thumbnails: Sequence[Picture], labels: Sequence[str], left_out: Sequence[bool] = (), *, columns: int | None = None
) -> Picture:
    """All frames of a stack on one sheet, in rows, each with its label; left-out frames dimmed and crossed out.

    thumbnails: (h, w, 3) uint8 BGR, sizes may differ; gone through twice, one at a time. labels: as many, of one or
    more lines; what is too long is shortened in the middle. left_out: as many, or empty.
    Returns (height, width, 3) uint8 BGR.
    """
    if len(labels) != len(thumbnails) or (left_out and len(left_out) != len(thumbnails)):
        raise ValueError(f"{len(thumbnails)} thumbnails, {len(labels)} labels, {len(left_out)} marks")
    count = len(thumbnails)
    shapes = [picture.shape for picture in thumbnails]
    cell_width = max((shape[1] for shape in shapes), default=128)
    picture_height = max((shape[0] for shape in shapes), default=96)
    em = max(10, round(0.1 * max(cell_width, picture_height)))
    cell_width = max(cell_width, 6 * em)
    font = ImageFont.load_default(em)
    lines = [[_drawable(line) for line in label.split("\n")] for label in labels]
    gap, leading = round(0.9 * em), round(1.25 * em)
    cell_height = picture_height + round(0.35 * em) + leading * max((len(text) for text in lines), default=1)
    pitch_x, pitch_y = cell_width + gap, cell_height + gap
    # A sheet is about 3:2, the shape of a screen.
    across = columns or max(1, min(count, round(math.sqrt(1.5 * count * pitch_y / pitch_x))))
    down = max(1, math.ceil(count / across))
    sheet = np.full((down * pitch_y + gap, across * pitch_x + gap, 3), _GROUND, np.uint8)
    for number, (picture, text) in enumerate(zip(thumbnails, lines, strict=True)):
        top, left = gap + number // across * pitch_y, gap + number % across * pitch_x
        height, width = picture.shape[:2]
        y, x = top + (picture_height - height) // 2, left + (cell_width - width) // 2
        marked = bool(left_out) and left_out[number]
        sheet[y : y + height, x : x + width] = picture
        if marked:
            _cross_out(sheet[y : y + height, x : x + width], em)
        # Words are drawn cell by cell: a second sheet to draw them on would double the memory.
        words = Image.new("RGB", (cell_width, pitch_y - picture_height), (_GROUND,) * 3)
        draw = ImageDraw.Draw(words)
        for row, line in enumerate(text):
            ink = _LEFT_OUT if marked else (_INK,) * 3 if row == 0 else (_FAINT,) * 3
            place = (cell_width / 2, round(0.35 * em) + row * leading)
            _draw_text(draw, place, _shortened(line, font, cell_width), font, ink)
        sheet[top + picture_height : top + pitch_y, left : left + cell_width] = np.asarray(words)
    return sheet


def _cross_out(cell: Picture, em: int) -> None:
    height, width = cell.shape[:2]
    cell[...] = (cell * 0.35).astype(np.uint8)
    thick = max(1, round(em / 6))
    for start, end in (((0, 0), (width - 1, height - 1)), ((0, height - 1), (width - 1, 0))):
        line = np.ascontiguousarray(cell)
        cv2.line(line, start, end, _LEFT_OUT, thick, cv2.LINE_AA)
        cell[...] = line


def _shortened(text: str, font: _Font, width_px: int) -> str:
    """The text, with its middle left out where it is wider than `width_px`: names differ at their ends."""
    if font.getlength(text) <= width_px:
        return text
    for keep in range(min(len(text), 60) - 1, 0, -1):
        short = text[: keep // 2] + "…" + text[len(text) - (keep - keep // 2) :]
        if font.getlength(short) <= width_px:
            return short
    return "…"
