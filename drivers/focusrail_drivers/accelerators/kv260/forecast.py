"""The prediction for a board and a configuration, as a table for people."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from focusrail_drivers.accelerators.kv260 import reference, tiles
from focusrail_drivers.accelerators.kv260.accelerator import Kv260Accelerator
from focusrail_drivers.accelerators.kv260.limits import Limits, Proven
from focusrail_drivers.accelerators.kv260.prediction import Assumptions, Prediction, predict
from focusrail_drivers.accelerators.kv260.transport import settle_transport

USUAL_SIZES = ((4000, 3000), (6000, 4000))  # (width, height) of 12 and 24 megapixels
_ASSUMED_MS = 25.0  # of the processor, for a tile of _FULL_PX
_FULL_PX = tiles.USUAL_MAX_HEIGHT_PX * tiles.MAX_WIDTH_PX
_USUAL_FRAMES_UNTIL_NEW = 2  # a tile's own and one old one


def _whole(rows: int, cols: int) -> Sequence[tuple[int, int]]:
    return [(rows, cols)]


def assumptions(
    pieces: Sequence[tuple[int, int]], options: Kv260Accelerator.Options, limits: Limits | None = None
) -> Assumptions:
    """What a frame costs by these options that is measured in pieces of (rows, cols) px; `limits` are a board's."""
    height_px = options.tile_height_px or (limits.whole_height_px if limits else 0) or tiles.USUAL_MAX_HEIGHT_PX
    size = _composed(pieces, tiles.TileSize(height_px, options.tile_width_px))
    ms, measured_px = _ASSUMED_MS, _FULL_PX
    if limits is not None and limits.ms_processor is not None and limits.timed_px is not None:
        ms, measured_px = limits.ms_processor, limits.timed_px[0] * limits.timed_px[1]
    passes = 1 if isinstance(options.shift, int) else 2  # auto takes one pass only where the first frame allows it
    return Assumptions(
        tile_px=size.shape,
        tiles=sum(tiles.count(*piece, size) for piece in pieces),
        halo_px=reference.HALO_PX,
        passes=passes,
        frames_per_pass=_frames_until_used(options, limits),
        processor_ms_per_tile=passes * ms * size.height_px * size.width_px / measured_px,
    )


def _composed(pieces: Sequence[tuple[int, int]], limit: tiles.TileSize) -> tiles.TileSize:
    """The tile size that the driver has settled on once it has measured these."""
    size: tiles.TileSize | None = None
    for piece in pieces:
        size = tiles.grown(*piece, limit, size)
    assert size is not None
    return size


def _frames_until_used(options: Kv260Accelerator.Options, limits: Limits | None) -> int:
    """Frames that pass for one that is used: old ones, the tile's own, and once more where it must come twice."""
    if settle_transport(options.transport, limits) == "one-frame":
        return 1 + options.confirmed
    until_new = limits.frames_until_new if limits is not None else None
    return (until_new or _USUAL_FRAMES_UNTIL_NEW) + options.confirmed


def forecast(
    sizes: Sequence[tuple[int, int]],
    options: Kv260Accelerator.Options,
    proven: Proven | None,
    why_not: str = "",
    *,
    cut: Callable[[int, int], Sequence[tuple[int, int]]] = _whole,
) -> str:
    """The table for frames of (width, height) px. `why_not` says why there is no self-test to stand on.

    `cut` says in which pieces of (rows, cols) px whoever uses the accelerator measures a frame of (rows, cols) px.
    """
    limits = proven.limits if proven is not None else None
    told = [assumptions(cut(height, width), options, limits) for width, height in sizes]
    predictions = [predict((height, width), each) for (width, height), each in zip(sizes, told, strict=True)]
    lines = ["A prediction by arithmetic, not a measurement: milliseconds for one frame on a KV260.", ""]
    lines.append(f"{'frame':<24}{'tiles':<17}{'logic':>7}{'memory':>8}{'processor':>11}{'total':>8}{'MP/s':>7}")
    lines += [_row(each, a) for each, a in zip(predictions, told, strict=True)]
    lines += ["", *_explained(predictions), "", *_basis(options, told[0], proven, why_not)]
    return "\n".join(textwrap.fill(line, 100, break_long_words=False, break_on_hyphens=False) for line in lines)


def _row(each: Prediction, given: Assumptions) -> str:
    rows, cols = each.frame_px
    frame = f"{cols} x {rows} ({rows * cols / 1e6:.0f} MP)"
    cut = f"{each.tiles} of {given.tile_px[1]} x {given.tile_px[0]}"
    terms = f"{each.logic_ms:>7.0f}{each.memory_ms:>8.0f}{each.processor_ms:>11.0f}{each.total_ms:>8.0f}"
    return f"{frame:<24}{cut:<17}{terms}{each.megapixels_per_s:>7.0f}"


def _explained(predictions: Sequence[Prediction]) -> list[str]:
    meaning = {
        "logic": "the filters, which take a pixel a clock, for every frame that passes",
        "memory": "reading and writing frames",
        "processor": "packing and unpacking tiles, which one of the processors does",
    }
    lines = []
    for name in dict.fromkeys(each.dominant for each in predictions):
        largest = [f"{each.frame_px[1]} x {each.frame_px[0]}" for each in predictions if each.dominant == name]
        where = "" if len(largest) == len(predictions) else f" for {', '.join(largest)}"
        lines.append(f"The {name} dominates{where}: {meaning[name]}.")
    lines.append("Logic and memory work side by side, and the processor after them: total = max(logic, memory) + it.")
    return lines


def _basis(options: Kv260Accelerator.Options, given: Assumptions, proven: Proven | None, why_not: str) -> list[str]:
    transport = settle_transport(options.transport, proven.limits if proven is not None else None)
    frames = given.passes * given.frames_per_pass
    shift = {"bracket": "the bracket, both shifts", "auto": "shift auto, at worst the bracket"}.get(
        str(options.shift), f"shift {options.shift}"
    )
    lines = [f"Configured: {shift}, transport {transport}, so that {frames} frames pass for a tile."]
    if proven is not None and proven.limits.ms_processor is not None and proven.limits.timed_px is not None:
        height, width = proven.limits.timed_px
        lines.append(
            f"Measured: {proven.limits.ms_processor:.1f} ms of the processor for a pass of a tile of {width} x "
            f"{height}, of {proven.limits.ms_per_tile:.1f} ms in all, by the self-test of {proven.tested_at[:10]}."
        )
    else:
        lines.append(
            f"Assumed: {_ASSUMED_MS:g} ms of the processor for a pass of a tile of 1920 x 1080. {_sentence(why_not)}"
        )
    return lines


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
