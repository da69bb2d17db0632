"""The report: one HTML page that explains a finished stack, whole in itself, readable from a disk without a server."""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from focusrail.model.outcome import FrameOutcome, Judgement, StackOutcome
from focusrail.worker.lettering import decimals, length_text, round_ticks
from focusrail.worker.manifest import plain, utc_text

# What stands beside the report, and what it is. Only files that exist are to be named to render_report.
FILES: dict[str, str] = {
    "result.jpg": "the finished picture, to look at and to share",
    "result.tif": "the finished picture at full depth, to work on",
    "depth.png": "the depth map in colours, with its legend",
    "depth.tif": "the depth map as numbers: one 32-bit float a pixel",
    "confidence.png": "how sure each depth is, from 0 (a guess) to 255 (8 bit)",
    "surface.glb": "the result as a mesh with the picture on it, for browsers, Blender and slicers",
    "index.png": "for every pixel, the place in the stack of the frame it came from, from 0 (16 bit)",
    "contact_sheet.jpg": "all frames on one sheet",
    "aligned/": "every frame as it was fused, on the pixels of result.tif (TIFF, 16 bit)",
    "slabs/": "depth intervals fused on their own, on the pixels of result.tif (16 bit); named by their frames",
    "shoot.json": "all facts of this page for programs, with the SHA-256 of every file",
}
_NONE = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
_TIMES = "\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}"
_COLOURED = 0.005  # gains of channels that differ by more are told apart


@dataclass(frozen=True, slots=True)
class ReportPictures:
    """The pictures embedded in the report, as encoded bytes: JPEG, PNG or WebP."""

    result: bytes  # a preview, with its scale bar where the scale is known; 1600 px are plenty
    depth: bytes | None = None  # as of depth_picture()
    contact_sheet: bytes | None = None


def render_report(outcome: StackOutcome, pictures: ReportPictures, *, files: Iterable[str] = tuple(FILES)) -> str:
    """The report as HTML text, to be written as UTF-8 beside `files`, the names it links to.

    The page holds no script and asks for nothing outside itself: its content security policy forbids it.
    """
    names = sorted(files, key=lambda name: list(FILES).index(name) if name in FILES else len(FILES))
    used = [frame for frame in outcome.frames if frame.used]
    left_out = [frame for frame in outcome.frames if not frame.used]
    stages = [took for name, took in outcome.timings_s.items() if name != "total" and math.isfinite(took)]
    reasons = Counter(frame.reason or "no reason given" for frame in left_out)
    aligned = bool(outcome.settings.get("aligned"))  # before they came here
    rows = [_row(frame, _centre(outcome), aligned=aligned) for frame in outcome.frames]
    page = _ENVIRONMENT.get_template("report.html.j2").render(
        outcome=outcome,
        created=utc_text(outcome.created_at)[:16].replace("T", " ") + " UTC",
        used=used,
        left_out=left_out,
        reasons=reasons.most_common(5),
        more_reasons=len(reasons) > 5,
        facts=_facts(outcome, used),
        result_uri=_data_uri(pictures.result),
        depth_uri=_data_uri(pictures.depth) if pictures.depth else None,
        contact_uri=_data_uri(pictures.contact_sheet) if pictures.contact_sheet else None,
        verdicts=_verdicts(outcome.judgement) if outcome.judgement else [],
        profile=profile(outcome.frames, unreached=outcome.unreached),
        rows=rows,
        any_colours=any(row["colours"] for row in rows),
        any_predicted=any(frame.predicted for frame in outcome.frames),
        most_won=max((frame.won for frame in used if math.isfinite(frame.won)), default=0.0),
        timings=[(_words(name), value) for name, value in outcome.timings_s.items()],
        most_time=max(stages, default=0.0),
        settings=[*_measuring(outcome), *flat(outcome.settings)],
        recipe=flat(outcome.recipe),
        recipe_json=json.dumps(plain(outcome.recipe), indent=2, ensure_ascii=False),
        files=[(name, "./" + quote(name.encode("utf-8", "surrogateescape")), FILES.get(name, "")) for name in names],
        link={name: "./" + name for name in names if name in FILES},
    )
    # File names that are no UTF-8 carry lone surrogates, which no file can be written with.
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def number(value: float | None, places: int = 2, *, sign: bool = False) -> str:
    """A number for people: a real minus sign, and a dash where there is none."""
    if value is None or not math.isfinite(value):
        return _NONE
    text = f"{value:+.{places}f}" if sign else f"{value:.{places}f}"
    if float(text) == 0:
        text = text.lstrip("+-")  # a zero has no sign
    return text.replace("-", _MINUS)


def decompose(transform: Sequence[float], centre: tuple[float, float]) -> tuple[float, float, float, float]:
    """Shift x and y (px), rotation (mdeg) and change of scale (%) that a 3x3 transform does at `centre` (px).

    At the centre of the picture rather than at its corner: about the corner, every change of scale looks like a shift.
    NaN where the transform sends the centre to infinity.
    """
    a, b, c, d, e, f, g, h, i = transform
    x, y = centre
    w = g * x + h * y + i
    if not math.isfinite(w) or abs(w) < 1e-12:
        return math.nan, math.nan, math.nan, math.nan
    to_x, to_y = (a * x + b * y + c) / w, (d * x + e * y + f) / w
    # The Jacobian at the centre: for a homography, what a small patch there goes through.
    xx, xy, yx, yy = (a - g * to_x) / w, (b - h * to_x) / w, (d - g * to_y) / w, (e - h * to_y) / w
    scale = math.sqrt(abs(xx * yy - xy * yx))
    return to_x - x, to_y - y, math.degrees(math.atan2(yx - xy, xx + yy)) * 1000, (scale - 1) * 100


def profile(frames: Sequence[FrameOutcome], *, unreached: Sequence[int] = ()) -> dict[str, object] | None:
    """The plot of sharpness over position in percent of its area, or None when there is nothing to plot.

    The ends at which the frames `unreached` stand are marked.
    """
    shown = [frame for frame in frames if math.isfinite(frame.sharpness)]
    if not any(frame.used for frame in shown):
        return None
    by_position = all(frame.position_mm is not None for frame in shown)
    at = {frame.index: float(frame.position_mm or 0.0) if by_position else float(frame.index) for frame in shown}
    low, high = min(at.values()), max(at.values())
    room = (high - low) * 0.02 or 0.5
    ticks_x = [tick for tick in round_ticks(low, high, 8) if by_position or tick == int(tick)]
    step_x = ticks_x[1] - ticks_x[0] if len(ticks_x) > 1 else 0.001
    top = max((frame.sharpness for frame in shown), default=0.0) * 1.06 or 1.0
    ticks_y = round_ticks(0.0, top, 5)
    places_y = decimals(ticks_y[1] - ticks_y[0]) if len(ticks_y) > 1 else 2

    def x(value: float) -> float:
        return round(100 * (value - low + room) / (high - low + 2 * room), 3)

    def y(value: float) -> float:
        return round(100 - 100 * max(0.0, value) / top, 3)

    places_x = decimals(step_x) if by_position else 0
    unit = "mm" if by_position else "frame"
    used = sorted((frame for frame in shown if frame.used), key=lambda frame: at[frame.index])
    points = [
        {
            "x": x(at[frame.index]),
            "y": y(frame.sharpness),
            "used": frame.used,
            "title": f"frame {frame.index}, {frame.file}: sharpness {number(frame.sharpness)}"
            + (f" at {number(frame.position_mm, 3)} mm" if by_position else "")
            + ("" if frame.used else f" (left out: {frame.reason})"),
        }
        for frame in shown
    ]
    line = [(x(at[frame.index]), y(frame.sharpness)) for frame in used]
    ends = [("low", used[0]), ("high", used[-1])]
    return {
        "unit": unit,
        "points": points,
        "segments": list(pairwise(line)),
        "ticks_x": [(x(tick), number(tick, places_x)) for tick in ticks_x],
        "ticks_y": [(y(tick), number(tick, places_y)) for tick in ticks_y],
        "unreached": [side for side, frame in ends if frame.index in unreached],
        "sharpest": max(used, key=lambda frame: frame.sharpness),
        "many": len(shown) > 120,
    }


def flat(values: Mapping[str, object]) -> list[tuple[str, str]]:
    """Nested settings as (words, text) pairs in their order: {"a": {"b_px": 5}} gives ("a: b px", "5")."""
    pairs: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            pairs += [(f"{_words(key)}: {inner}", text) for inner, text in flat(value)]
        else:
            pairs.append((_words(str(key)), _text(plain(value))))
    return pairs


def _text(value: object) -> str:
    if value in (None, "", [], {}):
        return _NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", _MINUS)
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _data_uri(encoded: bytes) -> str:
    kinds = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png", b"RIFF": "image/webp"}
    media_type = next((kind for start, kind in kinds.items() if encoded.startswith(start)), None)
    if media_type is None:
        raise ValueError(f"a picture for the report must be JPEG, PNG or WebP; this one starts with {encoded[:8]!r}")
    return f"data:{media_type};base64,{base64.b64encode(encoded).decode('ascii')}"


def _centre(outcome: StackOutcome) -> tuple[float, float]:
    """The centre of the result within the reference frame (px)."""
    left, top, width, height = outcome.crop or (0, 0, *outcome.size_px)
    return left + width / 2, top + height / 2


def _step_mm(used: Sequence[FrameOutcome]) -> float | None:
    places = sorted(frame.position_mm for frame in used if frame.position_mm is not None)
    return (places[-1] - places[0]) / (len(places) - 1) if len(places) > 1 and places[-1] > places[0] else None


def _facts(outcome: StackOutcome, used: Sequence[FrameOutcome]) -> list[tuple[str, str, str]]:
    """(name, value, remark) for the head of the page."""
    width, height = outcome.size_px
    count = len(outcome.frames)
    facts = [
        ("Frames", f"{len(used)} of {count}", "all used" if len(used) == count else f"{count - len(used)} left out"),
        ("Picture", f"{width}{_TIMES}{height} px", f"{outcome.bit_depth} bit, {width * height / 1e6:.1f} megapixels"),
    ]
    places = [frame.position_mm for frame in used if frame.position_mm is not None]
    if places:
        low, high = min(places), max(places)
        step = _step_mm(used)
        remark = f"{number(low, 3)} to {number(high, 3)} mm" + (f", every {number(step, 3)} mm" if step else "")
        facts.append(("Depth", f"{number(high - low, 3)} mm", remark))
    scale = outcome.lateral_um_per_px
    if scale:
        field = f"{width * scale / 1000:.3g}{_TIMES}{height * scale / 1000:.3g} mm"
        facts.append(("Field of view", field, f"{length_text(float(f'{scale:.3g}'))} a pixel"))
    if "total" in outcome.timings_s:
        facts.append(("Time", f"{number(outcome.timings_s['total'], 1)} s", "all stages together"))
    if outcome.peak_memory_bytes:
        foreseen = f"; {outcome.needed_memory_bytes / 1e9:.2f} GB were foreseen" if outcome.needed_memory_bytes else ""
        facts.append(
            ("Memory", f"{outcome.peak_memory_bytes / 1e9:.2f} GB", f"the most in use at once so far{foreseen}")
        )
    return facts


def _measuring(outcome: StackOutcome) -> list[tuple[str, str]]:
    """What measured focus, and on what."""
    if not outcome.measured_by:
        return []
    luma = [("measured on", "luma rounded to 8 bit; the picture has all 16")] if outcome.bit_depth == 16 else []
    return [("focus measured by", outcome.measured_by), *luma]


def _verdicts(judgement: Judgement) -> list[tuple[str, str, str]]:
    """(name, value, what it means) for the comparison with the simulated scene."""

    def grade(value: float, steps: Sequence[tuple[float, str]], worst: str) -> str:
        return next((words for least, words in steps if value >= least), worst)

    psnr = grade(
        judgement.psnr_db,
        ((40, "Hardly to be told from the truth."), (32, "Very close."), (26, "Close; fine detail differs.")),
        "Differences are plain to see.",
    )
    ssim = grade(
        judgement.ssim,
        ((0.95, "Structure is kept."), (0.88, "Some fine structure is lost.")),
        "Much structure is lost.",
    )
    median, most = judgement.registration_p50_px, judgement.registration_p95_px
    judged = f"the {number(judgement.depth_judged * 100, 0)} % of the picture where depth is sure and no edge is near"
    return [
        ("Likeness (PSNR)", f"{number(judgement.psnr_db, 1)} dB", f"{psnr} 6 dB more halve the error."),
        ("Structure (SSIM)", number(judgement.ssim, 3), f"{ssim} 1 would be identical."),
        ("Registration, median", f"{number(median, 2)} px", "Half of all points lie nearer to their true place."),
        ("Registration, 95 %", f"{number(most, 2)} px", "All but one point in twenty lie nearer than this."),
        (
            "Depth error (RMS)",
            f"{number(judgement.depth_rms_steps, 2)} steps",
            f"{number(judgement.depth_rms_mm * 1000, 1)} µm between found and true depth, on {judged}.",
        ),
        (
            "Depth, beyond a step",
            f"{number(judgement.depth_beyond_step * 100, 2)} %",
            "Of the same pixels, so many are off by more than the distance between two frames.",
        ),
    ]


def _row(frame: FrameOutcome, centre: tuple[float, float], *, aligned: bool = False) -> dict[str, object]:
    shift_x, shift_y, rotation_mdeg, scale_percent = decompose(frame.transform, centre)
    matrix = [frame.transform[at : at + 3] for at in (0, 3, 6)]
    return {
        "frame": frame,
        "aligned": aligned,
        "reference": frame.matches == 0 and tuple(frame.transform) == (1, 0, 0, 0, 1, 0, 0, 0, 1),
        "exposed": utc_text(frame.exposed_at),
        "shift_x": shift_x,
        "shift_y": shift_y,
        "rotation_mdeg": rotation_mdeg,
        "scale_percent": scale_percent,
        "colours": _colours(frame.gain_bgr),
        "matrix": "\n".join("  ".join(f"{value: .9g}".rjust(15) for value in row) for row in matrix),
    }


def _colours(gain_bgr: tuple[float, float, float]) -> list[tuple[str, str]]:
    """The gains of red, green and blue, each with its letter, where they differ by more than measuring them does."""
    apart = max(gain_bgr) - min(gain_bgr) > _COLOURED * max(gain_bgr)
    return [(name, number(gain, 3)) for name, gain in zip("BGR", gain_bgr, strict=True)][::-1] if apart else []


_ENVIRONMENT = Environment(
    loader=PackageLoader("focusrail.worker"),
    autoescape=True,  # names, files and reasons come from people and cameras
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["number"] = number
