"""Records of the benchmark as Markdown tables, one a scene and size."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

Record = dict[str, Any]

_EXPLAINED = """\
PSNR (dB) and SSIM against the truth, after a similarity and one gain a channel; edges: PSNR within 6 px (at 2 MP) of a
jump of depth; texture: PSNR of textured surfaces away from edges; beyond: PSNR of what no frame has in focus; noise:
deviation of high-passed error in grey levels where the truth is flat (beyond focus, where nothing flat is in focus);
sharp: share of the truth's LoB in textures; align: where textures lie, px in the median / at the 95th percentile.
Bound: the best frame for every pixel, chosen knowing the truth. Wall and CPU seconds: medians; GB: the largest sum of
resident memory over the tree of processes.
"""


def markdown(done: Record) -> str:
    """The whole report as text."""
    machine = done["machine"]
    text = [
        "# focusrail and its peers on the same stacks",
        (
            f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gib']} GiB, {machine['system']}; "
            f"Python {machine['python']}, OpenCV {machine['opencv']}, numpy {machine['numpy']}; {done['made']}."
        ),
        _EXPLAINED,
    ]
    groups: dict[tuple[float, str], list[Record]] = {}
    for record in done["records"]:
        groups.setdefault((record["megapixels"], record["scene"]), []).append(record)
    for (megapixels, scene), records in groups.items():
        text += [f"## {scene}, {megapixels:g} MP x 20", _table(records)]
    tools = {record["tool"]: record for record in done["records"] if record.get("commands")}
    listed = [
        f"* {name} {record['version']}: `{'` then `'.join(record['commands'])}`" for name, record in tools.items()
    ]
    loads = [run["load"] for record in done["records"] for run in record["runs"]]
    if loads:
        listed.append(f"* load of the machine when a run began: {min(loads):.1f} to {max(loads):.1f}")
    return "\n\n".join([*text, "## Commands", "\n".join(listed)]) + "\n"


def best_first(records: list[Record]) -> list[Record]:
    """By PSNR, the failed last."""
    return sorted(records, key=lambda record: -(record["score"]["psnr_db"] if record.get("score") else -1))


def _table(records: list[Record]) -> str:
    columns: list[tuple[str, Callable[[Record], str]]] = [
        ("PSNR / SSIM", lambda r: f"{r['score']['psnr_db']:.2f} / {r['score']['ssim']:.4f}"),
        ("edges", lambda r: _shown(r["score"]["edge_psnr_db"], 2)),
        ("texture", lambda r: _shown(r["score"]["texture_psnr_db"], 2)),
        ("beyond", lambda r: _shown(r["score"]["beyond_psnr_db"], 2)),
        ("noise", _noise),
        ("sharp", lambda r: _shown(r["score"]["sharpness"], 3)),
        ("align px", lambda r: f"{_shown(r['score']['align_p50_px'], 2)} / {_shown(r['score']['align_p95_px'], 2)}"),
        ("wall / CPU s", lambda r: f"{_median(r, 'wall_s', 1)} / {_median(r, 'cpu_s', 1)}"),
        ("GB", lambda r: _median(r, "peak_bytes", 2, unit=1e9)),
    ]
    lines = [
        "| tool | " + " | ".join(name for name, _ in columns) + " |",
        "| --- " * (len(columns) + 1) + "|",
    ]
    for record in best_first(records):
        score = record.get("score")
        if score is None:
            lines.append(f"| {record['tool']} | {record.get('error', 'no result')[:100]} |")
            continue
        part = "" if score["covered"] > 0.999 else f" ({score['covered']:.1%} of the crop)"
        lines.append(f"| {record['tool']}{part} | " + " | ".join(show(record) for _, show in columns) + " |")
    return "\n".join(lines)


def _noise(record: Record) -> str:
    flat, beyond = record["score"]["flat_noise"], record["score"]["beyond_noise"]
    return _shown(flat, 2) if flat is not None else _shown(beyond, 2)


def _shown(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _median(record: Record, name: str, digits: int, *, unit: float = 1.0) -> str:
    runs = [run[name] / unit for run in record["runs"]]
    return f"{statistics.median(runs):.{digits}f}" if runs else ""
