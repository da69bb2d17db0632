"""What came of a stack: the facts that the report and the manifest show."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class FrameOutcome:
    """What became of one frame."""

    index: int
    file: str  # the original's name
    position_mm: float | None
    exposed_at: datetime
    used: bool
    reason: str = ""  # why it was left out
    unwanted: bool = False  # left out because it was asked for, which is no fault
    transform: tuple[float, ...] = (1, 0, 0, 0, 1, 0, 0, 0, 1)  # row-major 3x3, frame pixels to reference pixels
    matches: int = 0
    inliers: int = 0
    residual_px: float = 0.0  # root mean square over the inliers
    predicted: bool = False  # too little could be matched: the transform is what the rail's geometry expects
    gain: float = 1.0  # by which the brightness of grey was multiplied against flicker
    gain_bgr: tuple[float, float, float] = (1.0, 1.0, 1.0)  # by which blue, green and red were
    sharpness: float = (
        0.0  # mean focus measure of the registered frame (grey levels); over position: the stack's profile
    )
    won: float = 0.0  # share of the result's pixels for which this frame is the sharpest, 0..1
    took_s: float = 0.0  # decode to fused
    suspect: str = ""  # what about it stands out from the rest of the stack, though it was used
    placed: int | None = None  # see `place`

    @property
    def place(self) -> int:
        """Its place in the stack, 0-based: its index, but where a shoot was extended at its beginning."""
        return self.index if self.placed is None else self.placed


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result against a simulated scene's truth."""

    psnr_db: float
    ssim: float
    registration_p50_px: float  # median and 95th percentile of the distance between true and found positions
    registration_p95_px: float
    depth_rms_mm: float  # root mean square error of the depth where it is sure, away from jumps of the true depth
    depth_rms_steps: float  # the same in steps between frames
    depth_beyond_step: float  # share of these pixels that are off by more than a step, 0..1
    depth_judged: float  # share of the picture's pixels that were judged so, 0..1


@dataclass(frozen=True, slots=True)
class StackOutcome:
    """What came of the whole stack."""

    shoot_id: str
    name: str
    specimen_id: str | None
    version: int  # 1 for the first publication, then 2, 3, ...
    source: str  # the rig, or the folder
    created_at: datetime
    size_px: tuple[int, int]  # (width, height) of the result
    bit_depth: int  # 8 or 16
    depth_unit: str  # mm, or frames where no positions are known
    frames: tuple[FrameOutcome, ...]  # in the order of the stack
    settings: dict[str, object]  # the method, flattened for people
    timings_s: dict[str, float]
    versions: dict[str, str]  # software
    warnings: tuple[str, ...] = ()
    unreached: tuple[int, ...] = ()  # indices of first or last frames beyond which something is still getting sharper
    lateral_um_per_px: float | None = None
    far_is_high: bool | None = None  # whether larger depths are farther from the camera; None: not known
    crop: tuple[int, int, int, int] | None = None  # x, y, width, height within the reference frame
    judgement: Judgement | None = None
    recipe: dict[str, object] = field(default_factory=dict)
    needed_memory_bytes: int = 0  # as it was foreseen
    peak_memory_bytes: int = 0
    measured_by: str = ""  # the accelerator, its setting and its device
