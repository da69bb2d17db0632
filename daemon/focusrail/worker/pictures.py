"""Pictures for people: contact sheet, scale bars. Arrays in, arrays out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from focusrail.worker.lettering import FAINT, GROUND, INK, Font, draw_text, drawable, length_text, round_number

Picture = NDArray[np.uint8]  # (height, width, 3) BGR

_LEFT_OUT = (0, 159, 230)  # BGR orange


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
    box_width = min(width, max(length, math.ceil(font.getlength(drawable(text)))) + 2 * pad)
    box_height = min(height, round(1.25 * em) + thick + 2 * pad)

    dark = Image.new("L", (box_width, box_height), 0)
    light = Image.new("L", (box_width, box_height), 0)
    middle, bottom = box_width / 2, box_height - pad
    for mask, grow in ((dark, outline), (light, 0)):
        draw = ImageDraw.Draw(mask)
        x = round(middle - length / 2)
        draw.rectangle((x - grow, bottom - thick - grow, x + length - 1 + grow, bottom - 1 + grow), fill=255)
        place = (middle, bottom - thick - round(1.25 * em))
        draw_text(draw, place, text, font, 255, outline=grow)
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
    lines = [[drawable(line) for line in label.split("\n")] for label in labels]
    gap, leading = round(0.9 * em), round(1.25 * em)
    cell_height = picture_height + round(0.35 * em) + leading * max((len(text) for text in lines), default=1)
    pitch_x, pitch_y = cell_width + gap, cell_height + gap
    # A sheet is about 3:2, the shape of a screen.
    across = columns or max(1, min(count, round(math.sqrt(1.5 * count * pitch_y / pitch_x))))
    down = max(1, math.ceil(count / across))
    sheet = np.full((down * pitch_y + gap, across * pitch_x + gap, 3), GROUND, np.uint8)
    for number, (picture, text) in enumerate(zip(thumbnails, lines, strict=True)):
        top, left = gap + number // across * pitch_y, gap + number % across * pitch_x
        height, width = picture.shape[:2]
        y, x = top + (picture_height - height) // 2, left + (cell_width - width) // 2
        marked = bool(left_out) and left_out[number]
        sheet[y : y + height, x : x + width] = picture
        if marked:
            _cross_out(sheet[y : y + height, x : x + width], em)
        # Words are drawn cell by cell: a second sheet to draw them on would double the memory.
        words = Image.new("RGB", (cell_width, pitch_y - picture_height), (GROUND,) * 3)
        draw = ImageDraw.Draw(words)
        for row, line in enumerate(text):
            ink = _LEFT_OUT if marked else (INK,) * 3 if row == 0 else (FAINT,) * 3
            place = (cell_width / 2, round(0.35 * em) + row * leading)
            draw_text(draw, place, _shortened(line, font, cell_width), font, ink)
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


def _shortened(text: str, font: Font, width_px: int) -> str:
    """The text, with its middle left out where it is wider than `width_px`: names differ at their ends."""
    if font.getlength(text) <= width_px:
        return text
    for keep in range(min(len(text), 60) - 1, 0, -1):
        short = text[: keep // 2] + "…" + text[len(text) - (keep - keep // 2) :]
        if font.getlength(short) <= width_px:
            return short
    return "…"
