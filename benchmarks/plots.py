"""Draws results.json: quality against processor time, a picture a size. Needs an interpreter with matplotlib."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt


def main() -> None:
    """One figure a size: a panel for each scene, a point for each tool, the bound as a line."""
    plt.switch_backend("Agg")
    path = Path(sys.argv[1])
    records = json.loads(path.read_text())["records"]
    for megapixels in sorted({record["megapixels"] for record in records}):
        here = [record for record in records if record["megapixels"] == megapixels and record.get("score")]
        names = list(dict.fromkeys(record["scene"] for record in here))
        figure, panels = plt.subplots(1, len(names), figsize=(5 * len(names), 4.5), squeeze=False)
        for panel, scene in zip(panels[0], names, strict=True):
            _panel(panel, [record for record in here if record["scene"] == scene])
            panel.set_title(f"{scene}, {megapixels:g} MP x 20")
        figure.tight_layout()
        figure.savefig(path.with_name(f"quality_{megapixels:g}mp.png"), dpi=110)
        plt.close(figure)


def _panel(panel: Any, records: list[dict[str, Any]]) -> None:
    for record in records:
        psnr_db = record["score"]["psnr_db"]
        if not record["runs"]:
            panel.axhline(psnr_db, color="0.6", linestyle="--")
            panel.annotate("bound", (0.01, psnr_db), xycoords=("axes fraction", "data"), fontsize=8, color="0.4")
            continue
        cpu_s = statistics.median(run["cpu_s"] for run in record["runs"])
        own = record["tool"].startswith("focusrail")
        panel.plot(cpu_s, psnr_db, "o", color="tab:red" if own else "tab:blue", markersize=8 if own else 6)
        panel.annotate(record["tool"], (cpu_s, psnr_db), xytext=(5, 4), textcoords="offset points", fontsize=8)
    panel.set_xscale("log")
    panel.set_xlabel("CPU s, whole process")
    panel.set_ylabel("PSNR against truth, dB")
    panel.grid(alpha=0.3)


if __name__ == "__main__":
    main()
