"""Makes the pictures of README.md and algorithms.md from the simulated rig: `make pictures`.

    python docs/make_pictures.py DATA

DATA is the data folder of a demonstration (`make demo` leaves it in demo/); its newest shoot is shown.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.model.method import Method
from focusrail.stacking.canvas import Stripe
from focusrail.stacking.features import Reduced, find_features, match
from focusrail.stacking.focus_measure import Scores, energy, luma8
from focusrail.stacking.pipeline import Result, Stacker
from focusrail.worker.depth_picture import depth_picture
from focusrail.worker.lettering import GROUND
from focusrail.worker.results import depth_to_show
from focusrail_drivers.accelerators.cpu import CpuAccelerator

Image = npt.NDArray[Any]
_PICTURES = Path(__file__).parent / "pictures"
_GAP_PX = 8


def side_by_side(*images: Image, width: int = 1500) -> Image:
    """Images of one height in a row, reduced to a total width."""
    gap = np.full((images[0].shape[0], _GAP_PX, 3), 255, np.uint8)
    row = np.hstack([piece for image in images for piece in (gap, image)][1:])
    return cv2.resize(row, (width, round(row.shape[0] * width / row.shape[1])), interpolation=cv2.INTER_AREA)


def save(name: str, image: Image) -> None:
    """Write a picture of the documentation."""
    cv2.imwrite(str(_PICTURES / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 85])


def fused(frames: list[Image], method: Method) -> tuple[Result, dict[tuple[str, int], Image]]:
    """A stack, and the aligned frames and measures on its way."""
    stages: dict[tuple[str, int], Image] = {}

    def watch(stage: str, index: int, stripe: Stripe, plane: Image) -> None:
        key = (stage, index)
        if key not in stages:
            stages[key] = np.zeros((frames[0].shape[0], *plane.shape[1:]), plane.dtype)
        stages[key][stripe.rows] = plane

    with ThreadPoolExecutor(1) as executor:
        stacker = Stacker(method, accelerator=CpuAccelerator(), executor=executor, spectator=watch)
        for index, frame in enumerate(frames):
            stacker.fuse(stacker.register(stacker.examine(frame), index, float(index)))
        return stacker.finish(), stages


def grey(plane: Image) -> Image:
    """A plane as a picture, black to white between its extremes."""
    scaled = cv2.normalize(plane.astype(np.float32), None, 0, 255, cv2.NORM_MINMAX)
    return cv2.cvtColor(scaled.astype(np.uint8), cv2.COLOR_GRAY2BGR)


def depth_in_three(result: Result) -> tuple[Image, Image, Image]:
    """The sharpest frame of every pixel, how sure the depth is, and the depth."""
    shown, sure, _ = depth_to_show(result.depth(), 700)
    raw = cv2.resize(result.fused.index, shown.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(np.float32)
    depth = depth_picture(shown, "frames", sure=sure, far_is_high=True)
    below = np.full((len(depth) - len(sure), depth.shape[1], 3), GROUND, np.uint8)
    white = cv2.cvtColor(cv2.convertScaleAbs(sure, alpha=255), cv2.COLOR_GRAY2BGR)
    return depth_picture(raw, "frames", far_is_high=True), np.vstack([white, below]), depth


def main() -> None:
    """Make all pictures."""
    shoots = [path for path in Path(sys.argv[1], "spool").iterdir() if (path / "truth").exists()]
    shoot = max(shoots, key=lambda path: path.name)
    frames = [cv2.imread(str(path), cv2.IMREAD_COLOR) for path in sorted((shoot / "frames").iterdir())]
    frames = [frame for frame in frames if frame is not None]
    first, middle, last = frames[1], frames[len(frames) // 2], frames[-2]
    _PICTURES.mkdir(exist_ok=True)

    bands, stages = fused(frames, Method())
    lob, _ = fused(frames, Method(fusion="lob"))
    x, y, w, h = bands.crop
    result = bands.fused.image

    half = w // 2
    split = np.hstack([middle[y : y + h, x : x + half], np.full((h, 4, 3), 255, np.uint8), result[:, half:]])
    save("demo", cv2.resize(split, (1300, round(h * 1300 / split.shape[1])), interpolation=cv2.INTER_AREA))
    save("frames", side_by_side(first, middle, last))

    settings = Method().registration
    one, other = (
        find_features(Reduced.of(luma8(frame), work_mpx=settings.work_mpx), settings)
        for frame in (middle, frames[len(frames) // 2 + 3])
    )
    source, target = match(one, other, settings)
    drawn = [cv2.cvtColor(view.frame.luma, cv2.COLOR_GRAY2BGR) for view in (one, other)]
    for (xa, ya), (xb, yb) in zip(source, target, strict=True):
        for picture, point in zip(drawn, ((xa, ya), (xb, yb)), strict=True):
            cv2.circle(picture, (round(float(point[0])), round(float(point[1]))), 6, (0, 220, 255), 2, cv2.LINE_AA)
    save("matches", side_by_side(*drawn))
    before = cv2.absdiff(luma8(frames[0]), luma8(frames[6]))
    after = cv2.absdiff(luma8(stages["aligned", 0]), luma8(stages["aligned", 6]))
    brighter = [cv2.cvtColor(cv2.convertScaleAbs(d, alpha=2), cv2.COLOR_GRAY2BGR) for d in (before, after)]
    save("aligned", side_by_side(*brighter))

    accelerator = CpuAccelerator()
    scale = accelerator.configure()
    measures = [energy(Scores.of(luma8(frame), accelerator).fine, scale) for frame in (first, middle, last)]
    save("focus_measure", side_by_side(*(grey(np.minimum(m, np.percentile(m, 99)) ** 0.5) for m in measures)))
    winners = (bands.fused.index * (255 / len(frames))).astype(np.uint8)
    save("winners", side_by_side(cv2.applyColorMap(winners, cv2.COLORMAP_TURBO), width=1000))

    true_first = np.array(json.loads((shoot / "truth" / "000000.json").read_text()))
    truth = cv2.imread(str(shoot / "truth" / "all_in_focus.png"), cv2.IMREAD_COLOR)
    assert truth is not None
    to_crop = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]]) @ true_first
    truth = cv2.warpPerspective(truth, to_crop, (w, h), flags=cv2.INTER_CUBIC)
    part = (slice(h // 2 - 130, h // 2 + 170), slice(w // 2 - 150, w // 2 + 150))
    save("fusion", side_by_side(*(i[part] for i in (middle[y : y + h, x : x + w], lob.fused.image, result, truth))))

    save("depth", side_by_side(*depth_in_three(bands)))


if __name__ == "__main__":
    main()
