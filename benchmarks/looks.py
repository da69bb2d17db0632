"""Sheets to look at: the hardest places of a scene, as the truth, the bound and every stacker show them.

    python -m benchmarks.looks --scene hairs [--size 2] [--root .bench] [--out .bench/report]

Figures can be won by a picture that looks wrong: halos, torn hairs and speckle are for the eye.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks import score
from benchmarks.scenes import SCENES, Stack, stack_of
from benchmarks.score import JUMP_STEPS, NotTheScene, laid_on, read_result

SIDE_PX, PLACES, ACROSS = 200, 2, 2  # of a place at 2 MP; places a scene; tools a row
Image = npt.NDArray[np.uint8]
Place = tuple[slice, slice]


def places(stack: Stack) -> list[Place]:
    """Where in the crop depth jumps most, apart from each other."""
    x, y, width, height = stack.crop
    depth_mm = stack.depth_mm()[y : y + height, x : x + width]
    square = np.ones((3, 3), np.uint8)
    step_mm = stack.positions_mm[1] - stack.positions_mm[0]
    jumps = (cv2.dilate(depth_mm, square) - cv2.erode(depth_mm, square) > JUMP_STEPS * step_mm).astype(np.float32)
    side = round(SIDE_PX * (stack.megapixels / 2) ** 0.5)
    dense = np.asarray(cv2.boxFilter(jumps, -1, (side, side)))
    half = side // 2
    dense[:half] = dense[height - half :] = 0
    dense[:, :half] = dense[:, width - half :] = 0
    found: list[Place] = []
    for _ in range(PLACES):
        row, column = (int(at) for at in np.unravel_index(int(dense.argmax()), dense.shape))
        found.append((slice(row - half, row + half), slice(column - half, column + half)))
        dense[max(0, row - side) : row + side, max(0, column - side) : column + side] = 0
    return found


def sheet(stack: Stack, results: dict[str, score.Image]) -> Image:
    """All places of all results, each with its name; twice as large at 2 MP, as they are at 24."""
    x, y, width, height = stack.crop
    crop = np.s_[y : y + height, x : x + width]
    pictures = {"truth": stack.truth()[crop], "bound": stack.bound()[crop]}
    for name, result in results.items():
        try:
            seen, _, _ = laid_on(result, stack.truth(), stack.crop)
        except NotTheScene:
            continue
        pictures[name] = np.rint(seen).astype(np.uint8)
    where = places(stack)
    cells = [_named(name, np.hstack([picture[place] for place in where])) for name, picture in pictures.items()]
    while len(cells) % ACROSS:
        cells.append(np.zeros_like(cells[0]))
    rows = [np.hstack(cells[first : first + ACROSS]) for first in range(0, len(cells), ACROSS)]
    return np.vstack(rows)


def _named(name: str, strip: Image) -> Image:
    height = 2 * SIDE_PX
    large = cv2.resize(strip, (height * PLACES, height), interpolation=cv2.INTER_CUBIC)
    title = np.zeros((24, large.shape[1], 3), np.uint8)
    cv2.putText(title, name, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([title, np.asarray(large, np.uint8)])


def kept_results(root: Path, stack: Stack) -> dict[str, score.Image]:
    """The newest kept result of every tool for this stack."""
    found: dict[str, score.Image] = {}
    folders = (root / "runs" / f"{stack.megapixels:g}mp" / stack.scene).glob("*/record.json")
    for path in sorted(folders, key=lambda path: path.stat().st_mtime):
        picture = next(path.parent.glob("result.*"), None)
        if picture is not None:
            found[json.loads(path.read_text())["tool"]] = read_result(picture)
    return found


def main() -> None:
    """Draw one scene's sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", required=True, choices=sorted(SCENES))
    parser.add_argument("--size", type=float, default=2.0)
    parser.add_argument("--root", type=Path, default=Path(".bench"))
    parser.add_argument("--out", type=Path, default=Path(".bench/report"))
    options = parser.parse_args()
    stack = stack_of(SCENES[options.scene], options.size, options.root / "scenes")
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"looks_{options.scene}_{options.size:g}mp.png"
    cv2.imwrite(str(path), sheet(stack, kept_results(options.root, stack)))
    print(path)


if __name__ == "__main__":
    main()
