"""Writing what lies in the outbound folder: pictures, depth, report and manifest, into the scratch folder."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np
import numpy.typing as npt
import tifffile

from focusrail.model.outcome import FrameOutcome, Judgement, StackOutcome
from focusrail.stacking.depth_map import HOLE, SURE, DepthMap
from focusrail.stacking.judgement import judge
from focusrail.stacking.pipeline import Result
from focusrail.store.image_io import Metadata, encode_jpeg, write_index, write_png, write_tiff
from focusrail.worker.depth_picture import depth_picture
from focusrail.worker.manifest import manifest, to_json
from focusrail.worker.mesh import mesh_glb
from focusrail.worker.pictures import Picture, contact_sheet, with_scale_bar
from focusrail.worker.reduction import reduced
from focusrail.worker.report import ReportPictures, render_report
from focusrail.worker.scratch import Scratch

_REPORT_PX = 1600  # the longer side of the pictures inside the report, and of depth.png; depth.tif has every pixel
_REPORT_QUALITY = 88
_CELL_PX, _SMALL_CELL_PX, _MANY_CELLS = 128, 84, 100  # the pictures on it, smaller where there are many
_MOST_CELLS = 400  # of a contact sheet: it must not grow for ever


def depth_to_show(depth: DepthMap, longest_px: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], float]:
    """The depth reduced to `longest_px`, NaN where it is no measurement; its confidence; by what factor it was reduced.

    Single pixels of the depth, no means: between a near thing and what is behind it a mean would invent a third.
    """
    height, width = depth.depth.shape
    zoom = min(1.0, longest_px / max(height, width))
    size = max(1, round(width * zoom)), max(1, round(height * zoom))
    across, down = width / size[0], height / size[1]  # a shown pixel's size
    top, left = depth.corner
    places = np.array([[across, 0, 0.5 * across - 0.5], [0, down, 0.5 * down - 0.5]], np.float64)
    halved = np.array(
        [[0.5 * across, 0, 0.25 * across + 0.5 * left - 0.5], [0, 0.5 * down, 0.25 * down + 0.5 * top - 0.5]]
    )
    shown, sure = (
        cv2.warpAffine(plane, to, size, flags=how | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
        for plane, to, how in (
            (depth.depth, places, cv2.INTER_NEAREST),
            (depth.half_confidence, halved, cv2.INTER_LINEAR),
        )
    )
    return np.where(sure < HOLE, np.float32("nan"), shown), sure, zoom


def judge_by_truth(
    folder: Path, result: Result, depth: DepthMap, transforms: dict[int, npt.NDArray[Any]], reference: int
) -> Judgement | None:
    """Compare with the simulated scene's truth in `folder` (see the spool); None when there is none."""
    if not (folder / "all_in_focus.png").exists():
        return None
    true_transforms = {
        int(path.stem): np.array(json.loads(path.read_text()), np.float64) for path in folder.glob("[0-9]*.json")
    }
    if reference not in true_transforms:
        return None
    true_image = cv2.imread(str(folder / "all_in_focus.png"), cv2.IMREAD_COLOR)
    assert true_image is not None
    return judge(
        result.fused.image,
        depth,
        crop=result.crop,
        true_image=true_image,
        true_depth=tifffile.imread(folder / "depth.tif"),
        true_transforms=true_transforms,
        transforms=transforms,
        reference=reference,
    )


def save_image(scratch: Scratch, result: Result, metadata: Metadata, *, title: str, um_per_px: float | None) -> None:
    """result.jpg and result.tif: what the stack was made for, so they come before all else."""
    image = result.fused.image
    scratch.add("result.jpg", lambda path: path.write_bytes(encode_jpeg(image, metadata, description=title)))
    scratch.add("result.tif", lambda path: write_tiff(path, image, metadata, description=title, um_per_px=um_per_px))


def save_index(scratch: Scratch, result: Result) -> None:
    """index.png: what takes longest to write, and waits for nothing."""
    scratch.add("index.png", lambda path: write_index(path, result.fused.index))


def save_depth(scratch: Scratch, depth: DepthMap, *, title: str, unit: str, um_per_px: float | None) -> None:
    """depth.tif and confidence.png: every pixel."""
    about = f"{title}: depth in {unit}"
    scratch.add(
        "depth.tif",
        lambda path: write_tiff(path, depth.depth, Metadata(), description=about, um_per_px=um_per_px),
    )
    scratch.add("confidence.png", lambda path: write_index(path, depth.confidence_255()))


def save_mesh(
    scratch: Scratch,
    result: Result,
    depth: DepthMap,
    *,
    name: str,
    unit: str,
    um_per_px: float | None,
    far_is_high: bool,
) -> bool:
    """surface.glb; False where no surface is sure."""
    data = mesh_glb(
        result.fused.image, depth.depth, depth.confidence() > np.float32(SURE), step=depth.step, unit=unit,
        um_per_px=um_per_px, name=name, far_is_high=far_is_high,
    )  # fmt: skip
    if data is not None:
        scratch.add("surface.glb", lambda path: path.write_bytes(data))
    return data is not None


def write_winners(folder: Path, result: Result) -> None:
    """debug/winner.png: which frame won, in colours that tell neighbours apart."""
    index = result.fused.index
    spread = (index * (255.0 / max(1, int(index.max())))).astype(np.uint8)
    write_png(folder / "debug" / "winner.png", cv2.applyColorMap(spread, cv2.COLORMAP_TURBO))


class _Thumbnails(Sequence[Picture]):
    """Pictures in files, read each time they are asked for: never more than one in memory."""

    def __init__(self, paths: list[Path], *, longest_px: int) -> None:
        self._paths, self._longest_px = paths, longest_px

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, place: int) -> Picture: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Picture]: ...
    def __getitem__(self, place: int | slice) -> Picture | Sequence[Picture]:
        if isinstance(place, slice):
            return _Thumbnails(self._paths[place], longest_px=self._longest_px)
        picture = cv2.imread(str(self._paths[place]), cv2.IMREAD_COLOR)
        if picture is None:
            return np.zeros((1, 1, 3), np.uint8)
        return np.asarray(reduced(picture, self._longest_px)[0], dtype=np.uint8)


def save_contact_sheet(scratch: Scratch, outcomes: Sequence[FrameOutcome]) -> None:
    """contact_sheet.jpg from the thumbnails, which are in `thumbnails/` by frame index."""
    frames = shown([frame for frame in outcomes if _thumbnail(scratch.folder, frame.index).exists()])
    labels = [f.file if f.position_mm is None else f"{f.index}  {f.position_mm:.3f} mm" for f in frames]
    thumbnails = _Thumbnails(
        [_thumbnail(scratch.folder, frame.index) for frame in frames],
        longest_px=_CELL_PX if len(frames) <= _MANY_CELLS else _SMALL_CELL_PX,
    )

    def write(path: Path) -> None:
        path.write_bytes(encode_jpeg(contact_sheet(thumbnails, labels, [not f.used for f in frames])))

    scratch.add("contact_sheet.jpg", write)


def shown(frames: Sequence[FrameOutcome], most: int = _MOST_CELLS) -> list[FrameOutcome]:
    """The frames for a contact sheet: all, or of too many the ones left out and every n-th of the others."""
    if len(frames) <= most:
        return list(frames)
    left_out = [f for f in frames if not f.used][: most // 2]
    chosen = {f.index for f in left_out}
    others = [f for f in frames if f.index not in chosen]
    step = math.ceil(len(others) / (most - len(left_out)))
    return sorted([*left_out, *others[::step]], key=lambda f: f.place)


def _thumbnail(folder: Path, index: int) -> Path:
    return folder / "thumbnails" / f"{index:06d}.jpg"


def save_report(scratch: Scratch, result: Result, depth: DepthMap, outcome: StackOutcome) -> None:
    """depth.png (reduced, for people) and report.html, then shoot.json with the hash of every other file."""
    shown_depth, sure, zoom = depth_to_show(depth, _REPORT_PX)
    um_per_px = outcome.lateral_um_per_px
    coloured = depth_picture(
        shown_depth, outcome.depth_unit, um_per_px / zoom if um_per_px else None, sure=sure,
        far_is_high=outcome.far_is_high,
    )  # fmt: skip
    scratch.add("depth.png", lambda path: write_png(path, coloured))
    image, zoom = reduced(result.fused.image, _REPORT_PX)
    if um_per_px:
        image = with_scale_bar(image, um_per_px / zoom)
    scratch.durable_s("contact_sheet.jpg")
    pictures = ReportPictures(
        result=encode_jpeg(image, quality=_REPORT_QUALITY),
        depth=encode_jpeg(coloured, quality=_REPORT_QUALITY),
        contact_sheet=(scratch.folder / "contact_sheet.jpg").read_bytes(),
    )
    folders = {name if "/" not in name else name[: name.index("/") + 1] for name in scratch.names()}
    report = render_report(outcome, pictures, files=[*sorted(folders), "shoot.json"])
    scratch.add("report.html", lambda path: path.write_text(report, encoding="utf-8"))
    page = to_json(manifest(outcome, scratch.facts()))
    (scratch.folder / "shoot.json").write_text(page, encoding="utf-8")
