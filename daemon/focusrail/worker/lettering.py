"""Numbers and words in pictures: round numbers, lengths as people say them, and text in Pillow's own small font."""

from __future__ import annotations

import math
import unicodedata

from PIL import ImageDraw, ImageFont

_EVEN_COUNTS = (3, 4, 5, 6, 8, 9, 10, 12, 15, 16, 18, 20, 24, 25, 28, 30, 32, 35, 36, 40, 45, 48, 50, 60, 10**9)
GROUND, INK, FAINT = 20, 236, 150  # grey levels: what words stand on, and their own
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Ink = int | tuple[int, int, int]


def round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most about `most` round numbers (1, 2 or 5 times a power of ten apart) within low..high."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low] if math.isfinite(low) else []
    step = round_number(span / max(1, most - 1), upwards=True)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def round_ends(low: float, high: float, *, least_step: float = 0.0) -> tuple[float, float, float]:
    """Round numbers that enclose low..high (low < high) closely, and a round step that divides what is between them.

    The coarsest step that leaves at most a quarter of the span empty and whose count can be divided evenly, so that
    labels stand at even distances, the ends included; or `least_step`.
    """
    span = high - low
    step = max(round_number(span / 3), least_step)
    while True:
        first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
        wanted = next(count for count in _EVEN_COUNTS if count >= last - first)
        if wanted * step <= 1.25 * span or step <= max(least_step, span / 50):
            break
        step = max(round_number(step * 0.7), least_step)
    last = max(last, first + 1)
    if wanted * step <= 1.25 * span:
        more = wanted - (last - first)
        below = min(more, max(0, round((last + more - high / step - (low / step - first)) / 2)))
        first, last = first - below, last + more - below
    return first * step, last * step, step


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


def drawable(text: str) -> str:
    """The text in what the font that comes with Pillow has: little beyond ASCII."""
    alike = text.translate({ord("µ"): "u", ord("≤"): "<", ord("≥"): ">"})
    plain = "".join(c for c in unicodedata.normalize("NFD", alike) if not unicodedata.combining(c))
    return "".join(c if c in "·…±°" or c.isascii() else "?" for c in plain)


def draw_text(
    draw: ImageDraw.ImageDraw, top_middle: tuple[float, float], text: str, font: Font, ink: Ink, *, outline: int = 0
) -> None:
    """One line of text, centred. The font lacks µ, which becomes a u with a tail, and ≤ and ≥, < and > on a line."""
    shown = drawable(text)
    draw.text(top_middle, shown, font=font, fill=ink, anchor="ma", stroke_width=outline)
    if not isinstance(font, ImageFont.FreeTypeFont):
        return
    stem, baseline = max(1, round(0.085 * font.size)), round(top_middle[1] + font.getmetrics()[0])
    for place, sign in enumerate(unicodedata.normalize("NFC", text)):
        start = top_middle[0] - font.getlength(shown) / 2 + font.getlength(shown[:place])
        box: tuple[float, float, float, float]
        if sign == "µ":
            left, tail = round(start + font.getbbox("u")[0]), round(0.2 * font.size)
            box = (left, baseline - 2 * stem, left + stem - 1, baseline + tail)
        elif sign in "≤≥":
            from_left, _, to_right, bottom = font.getbbox(drawable(sign))
            top = round(top_middle[1] + bottom) + stem
            box = (round(start + from_left), top, round(start + to_right) - 1, top + stem - 1)
        else:
            continue
        draw.rectangle((box[0] - outline, box[1] - outline, box[2] + outline, box[3] + outline), fill=ink)
