"""The legend below a depth map in colours: colour bar with its numbers, swatch of the unknown, scale bar."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from focusrail.worker.lettering import (
    FAINT,
    GROUND,
    INK,
    Font,
    decimals,
    draw_text,
    drawable,
    length_text,
    round_number,
)
from focusrail.worker.pictures import Picture

# Viridis: its lightness rises evenly, it survives every kind of colour blindness and a grey print, and unlike cividis
# it passes through no grey, which is what unknown pixels wear.
COLOURS = cv2.COLORMAP_VIRIDIS
_UNKNOWN = (104, 124)  # two greys, hatched: told apart from any depth without seeing colour
_DARK = (GROUND,) * 3
_LIGHT = (INK,) * 3


@dataclass(frozen=True, slots=True)
class Scale:
    """What the colours mean."""

    low: float  # the ends of the colour bar; equal where there is one depth only, NaN where there is none
    high: float
    step: float  # a round number that divides high - low evenly
    below: bool  # there are values beyond that end
    above: bool
    unit: str  # mm or frames
    far_is_high: bool | None  # None: not known

    @property
    def words(self) -> tuple[str, str]:
        """What stands in the bar's low and high end."""
        return {None: ("", ""), True: ("near", "far"), False: ("far", "near")}[self.far_is_high]

    def text(self, number: int) -> str:
        """The label of the number-th step from the low end; the first and the last also say the unit."""
        value, last = self.low + number * self.step, round((self.high - self.low) / self.step)
        text = f"{value:.{decimals(self.step)}f}"
        if number == 0:
            text = ("≤ " if self.below else "") + text
            return f"frame {text}" if self.unit == "frames" else text
        if number == last:
            text = ("≥ " if self.above else "") + text
            return text if self.unit == "frames" else f"{text} {self.unit}"
        return text


def hatch(height: int, width: int, em: int) -> Picture:
    """What unknown pixels wear: grey stripes, (height, width, 3) uint8."""
    period = max(4, em // 2)
    stripe = (np.arange(height)[:, None] + np.arange(width)[None, :]) % (2 * period) < period
    grey = np.where(stripe, np.uint8(_UNKNOWN[0]), np.uint8(_UNKNOWN[1]))
    return np.repeat(grey[:, :, None], 3, axis=2)


def legend(width: int, em: int, scale: Scale, *, unknown: bool, um_per_px: float | None) -> Picture:
    """A strip of two rows: colour bar, swatch of the unknown, scale bar; beneath each its labels.

    `em` is the height of letters in px. Returns (height, width, 3) uint8 BGR.
    """
    font = ImageFont.load_default(em)
    bar_top, bar_height, tick = round(0.7 * em), round(1.1 * em), max(2, round(0.3 * em))
    text_top, margin, line = bar_top + bar_height + round(0.45 * em), em, max(1, round(em / 12))
    strip = Image.new("RGB", (width, round(4.0 * em)), _DARK)
    draw = ImageDraw.Draw(strip)
    right = width - margin
    if um_per_px:
        right = _scale_bar(draw, font, (right, bar_top, bar_height, text_top), um_per_px=um_per_px, wide_px=0.2 * width)
        right -= 2 * em
    if unknown:
        text = "unknown"
        left = right - max(2.0 * em, font.getlength(text))
        strip.paste(Image.fromarray(hatch(bar_height, round(right - left), em)), (round(left), bar_top))
        draw_text(draw, ((left + right) / 2, text_top), text, font, _LIGHT)
        right = round(left - 2 * em)
    if math.isfinite(scale.low) and right > margin + 2 * em:
        if scale.high > scale.low:
            strip.paste(_colour_bar(right - margin, bar_height, scale.words), (margin, bar_top))
            _labels(draw, font, (margin, right, bar_top + bar_height, text_top, tick, line), scale)
        else:
            middle = cv2.applyColorMap(np.full((bar_height, min(4 * em, right - margin)), 128, np.uint8), COLOURS)
            strip.paste(Image.fromarray(cv2.cvtColor(middle, cv2.COLOR_BGR2RGB)), (margin, bar_top))
            text = f"frame {scale.low:.0f}" if scale.unit == "frames" else f"{scale.low:.3f} {scale.unit}"
            draw.text((margin, text_top), text, font=font, fill=_LIGHT, anchor="la")
    return np.array(strip)[:, :, ::-1].copy()


def _scale_bar(
    draw: ImageDraw.ImageDraw, font: Font, place: tuple[int, int, int, int], *, um_per_px: float, wide_px: float
) -> int:
    """A bar of a round length of about `wide_px`, ending at the right; returns where it begins."""
    right, bar_top, bar_height, text_top = place
    length_um = round_number(wide_px * um_per_px)
    length, text = length_um / um_per_px, length_text(length_um)
    left = right - max(length, font.getlength(drawable(text)))
    middle, y = (left + right) / 2, bar_top + bar_height / 2
    cap, thick = bar_height / 2, max(1, bar_height // 10)
    for box in (
        (middle - length / 2, y - thick, middle + length / 2, y + thick),
        (middle - length / 2, y - cap, middle - length / 2 + 2 * thick, y + cap),
        (middle + length / 2 - 2 * thick, y - cap, middle + length / 2, y + cap),
    ):
        draw.rectangle(box, fill=_LIGHT)
    draw_text(draw, (middle, text_top), text, font, _LIGHT)
    return round(left)


def _colour_bar(width: int, height: int, words: tuple[str, str]) -> Image.Image:
    ramp = np.rint(np.linspace(0, 255, width))[None, :].astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(ramp, COLOURS), cv2.COLOR_BGR2RGB)
    bar = Image.fromarray(np.repeat(colours, height, axis=0))
    font = ImageFont.load_default(max(8, round(0.75 * height)))
    if width > 4 * height + sum(map(font.getlength, words)):
        draw, middle, room = ImageDraw.Draw(bar), height / 2, round(0.4 * height)
        draw.text((room, middle), words[0], font=font, fill=_LIGHT, anchor="lm")
        draw.text((width - room, middle), words[1], font=font, fill=_DARK, anchor="rm")
    return bar


def _labels(draw: ImageDraw.ImageDraw, font: Font, place: tuple[int, int, int, int, int, int], scale: Scale) -> None:
    """A tick at every step; labels at both ends and, evenly between them, at as many as stand clear of one another."""
    left, right, bar_bottom, text_top, tick, line = place
    steps = round((scale.high - scale.low) / scale.step)
    every = labelled(scale, steps=steps, wide_px=right - left, font=font)
    for number in range(steps + 1):
        x = left + number / steps * (right - line - left)
        named = number % every == 0
        box = (round(x), bar_bottom, round(x) + line - 1, bar_bottom + (tick if named else tick // 2))
        draw.rectangle(box, fill=_LIGHT if number in (0, steps) else (FAINT,) * 3)
        if named:
            text, ink = scale.text(number), _LIGHT if number in (0, steps) else (FAINT,) * 3
            half = font.getlength(drawable(text)) / 2
            draw_text(draw, (min(max(x, left + half), right - half), text_top), text, font, ink)


def labelled(scale: Scale, *, steps: int, wide_px: int, font: Font) -> int:
    """Every how many steps a label fits."""
    widths = [font.getlength(drawable(scale.text(number))) for number in range(steps + 1)]
    space = 1.2 * font.getlength("0")
    for every in range(1, steps):
        pitch = every * wide_px / steps
        inner = max(widths[every:-1:every], default=0.0)
        ends = max(widths[0], widths[-1]) + inner / 2
        if steps % every == 0 and pitch >= space + inner and pitch >= space + ends:
            return every
    return steps
