"""Writing what lies in the outbound folder: pictures, depth, report and manifest, into the scratch folder."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
import tifffile

from focusrail.model.outcome import FrameOutcome, Judgement, StackOutcome
from focusrail.stacking.depth_map import confidence, depth_map
from focusrail.stacking.judgement import judge
from focusrail.stacking.pipeline import Result
from focusrail.store.durable import file_sha256
from focusrail.store.image_io import JPEG_QUALITY, Metadata, encode_jpeg, write_png, write_tiff
from focusrail.worker.manifest import FileFacts, manifest, to_json
from focusrail.worker.pictures import Picture, contact_sheet, depth_picture, with_scale_bar
from focusrail.worker.report import ReportPictures, render_report

_REPORT_PX = 1600  # the longer side of the pictures inside the report
_REPORT_QUALITY = 88
_MOST_CELLS = 400  # of a contact sheet: it must not grow for ever
_NEIGHBOURHOOD_PX = 16.0  # how far a depth is believed from where it was measured
_LEAST_SURE = 0.05  # mean confidence of a neighbourhood
_DEPTH_PICTURE_PX = 2400  # the longer side of depth.png; depth.tif has every pixel


@dataclass(frozen=True, slots=True)
class Depth:
    """The depth map of a finished stack and how sure each pixel is, cropped like the result."""

    depth: npt.NDArray[Any]  # (height, width) float32, in the unit of the positions
    sure: npt.NDArray[Any]  # (height, width) float32, 0..1

    def to_show(self) -> npt.NDArray[Any]:
        """The depth with NaN where nothing in the neighbourhood is sure: a guess must not look like a measurement."""
        height, width = self.depth.shape
        small = cv2.resize(self.sure, (max(1, width // 8), max(1, height // 8)), interpolation=cv2.INTER_AREA)
        near = cv2.resize(cv2.GaussianBlur(small, (0, 0), _NEIGHBOURHOOD_PX / 8), (width, height))
        return np.where(near < _LEAST_SURE, np.float32("nan"), self.depth)


def find_depth(result: Result) -> Depth:
    """The depth map of a finished stack."""
    sure = confidence(result.fused.measure, result.fused.noise)
    x, y, width, height = result.crop
    table = np.asarray(result.peak.positions, np.float32)
    whole = cv2.resize(table[result.peak.state[4]], None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    position = np.ascontiguousarray(whole[y : y + height, x : x + width])
    return Depth(depth_map(position, sure), sure)


def judge_by_truth(
    folder: Path, result: Result, depth: Depth, transforms: dict[int, npt.NDArray[Any]], reference: int
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
        depth.depth,
        depth.sure,
        crop=result.crop,
        true_image=true_image,
        true_depth=tifffile.imread(folder / "depth.tif"),
        true_transforms=true_transforms,
        transforms=transforms,
        reference=reference,
    )


def write_pictures(folder: Path, result: Result, depth: Depth, metadata: Metadata, outcome: StackOutcome) -> None:
    """result.jpg, result.tif, depth.tif, depth.png (reduced, for people), index.png."""
    title = " ".join(filter(None, (outcome.name, outcome.specimen_id)))
    image, unit, scale = result.fused.image, outcome.depth_unit, outcome.lateral_um_per_px

    def jpeg() -> None:
        (folder / "result.jpg").write_bytes(encode_jpeg(image, metadata, description=title))

    def tiff() -> None:
        write_tiff(folder / "result.tif", image, metadata, description=title, um_per_px=scale)

    def depth_tiff() -> None:
        about = f"{title}: depth in {unit}"
        write_tiff(folder / "depth.tif", depth.depth, metadata, description=about, um_per_px=scale)

    def depth_png() -> None:
        write_png(folder / "depth.png", depth_picture(depth.to_show(), unit, scale, longest_px=_DEPTH_PICTURE_PX))

    def index_png() -> None:
        write_png(folder / "index.png", result.fused.index)

    with ThreadPoolExecutor() as executor:  # encoders let other threads run
        for written in [executor.submit(write) for write in (index_png, depth_png, jpeg, tiff, depth_tiff)]:
            written.result()


def write_winners(folder: Path, result: Result) -> None:
    """debug/winner.png: which frame won, in colours that tell neighbours apart."""
    index = result.fused.index
    spread = (index * (255.0 / max(1, int(index.max())))).astype(np.uint8)
    write_png(folder / "debug" / "winner.png", cv2.applyColorMap(spread, cv2.COLORMAP_TURBO))


class _Thumbnails(Sequence[Picture]):
    """Pictures in files, read each time they are asked for: never more than one in memory."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, place: int) -> Picture: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Picture]: ...
    def __getitem__(self, place: int | slice) -> Picture | Sequence[Picture]:
        if isinstance(place, slice):
            return _Thumbnails(self._paths[place])
        picture = cv2.imread(str(self._paths[place]), cv2.IMREAD_COLOR)
        return np.zeros((1, 1, 3), np.uint8) if picture is None else np.asarray(picture, dtype=np.uint8)


def write_contact_sheet(folder: Path, outcome: StackOutcome) -> None:
    """contact_sheet.jpg from the thumbnails, which are in `thumbnails/` by frame index."""
    frames = shown([frame for frame in outcome.frames if _thumbnail(folder, frame.index).exists()])
    labels = [f.file if f.position_mm is None else f"{f.index}  {f.position_mm:.3f} mm" for f in frames]
    thumbnails = _Thumbnails([_thumbnail(folder, frame.index) for frame in frames])
    sheet = contact_sheet(thumbnails, labels, [not f.used for f in frames])
    # Not encode_jpeg, which takes three more copies: of a long stack the sheet is large.
    data = simplejpeg.encode_jpeg(sheet, quality=JPEG_QUALITY, colorspace="BGR", colorsubsampling="444")
    (folder / "contact_sheet.jpg").write_bytes(data)


def shown(frames: Sequence[FrameOutcome], most: int = _MOST_CELLS) -> list[FrameOutcome]:
    """The frames for a contact sheet: all, or of too many the ones left out and every n-th of the others."""
    if len(frames) <= most:
        return list(frames)
    left_out = [f for f in frames if not f.used][: most // 2]
    chosen = {f.index for f in left_out}
    others = [f for f in frames if f.index not in chosen]
    step = math.ceil(len(others) / (most - len(left_out)))
    return sorted([*left_out, *others[::step]], key=lambda f: f.index)


def _thumbnail(folder: Path, index: int) -> Path:
    return folder / "thumbnails" / f"{index:06d}.jpg"


def write_report(folder: Path, result: Result, depth: Depth, outcome: StackOutcome) -> None:
    """report.html, then shoot.json with the hash of every other file."""
    image, zoom = _reduced(result.fused.image)
    if outcome.lateral_um_per_px:
        image = with_scale_bar(image, outcome.lateral_um_per_px * zoom)
    coloured = depth_picture(depth.to_show(), outcome.depth_unit, outcome.lateral_um_per_px, longest_px=_REPORT_PX)
    nothing = Metadata()
    sheet = folder / "contact_sheet.jpg"
    pictures = ReportPictures(
        result=encode_jpeg(image, nothing, description=outcome.name, quality=_REPORT_QUALITY),
        depth=encode_jpeg(coloured, nothing, description="depth", quality=_REPORT_QUALITY),
        contact_sheet=sheet.read_bytes() if sheet.exists() else None,
    )
    names = [path.name for path in sorted(folder.iterdir()) if path.is_file()] + ["shoot.json"]
    (folder / "report.html").write_text(render_report(outcome, pictures, files=names), encoding="utf-8")
    files = {
        str(path.relative_to(folder)): FileFacts(file_sha256(path), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    (folder / "shoot.json").write_text(to_json(manifest(outcome, files)), encoding="utf-8")


def _reduced(image: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], float]:
    """The image at most _REPORT_PX long, and by how much it was divided."""
    zoom = max(1.0, max(image.shape[:2]) / _REPORT_PX)
    if zoom == 1.0:
        return image, 1.0
    size = (round(image.shape[1] / zoom), round(image.shape[0] / zoom))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), zoom
