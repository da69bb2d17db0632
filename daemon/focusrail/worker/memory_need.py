"""How much memory a stack needs, told from the size of its frames before the first of them is fused.

Bytes are counted by what is alive at the same time; what is left over, and what all stacks have in common, is measured
(benchmarks/memory_need.py). Peaks of resident memory are within 12 % of it from 2 to 24 megapixels, for every method.
"""

from __future__ import annotations

from dataclasses import dataclass

from focusrail.model.method import Method
from focusrail.model.outputs import Outputs

FRAMES_IN_FLIGHT = 2  # decoded and not yet fused, at most; a third wins no time on two cores

# Of a process that fuses, and of one that also has loaded all that writes the results.
_FUSING_BYTES, _WRITING_BYTES = 150 << 20, 215 << 20
_STRIPE_BYTES = 1500  # of a column of a stripe, with all that is computed from it; there is one a thread
# Bytes a pixel:
_PEAKS = 2.5  # focus peaks
_MAKING_16_BIT = 1.0  # frames more, while one is decoded
_DEPTH = 5.0  # the depth, and its confidence at half size
_SUM = 6.0  # a picture of 16 bit
_SMALLER = 4.0  # pyramid: the sizes of the frame in hand
_WHOLE = 40.0  # the notebook's arithmetic: what stripes take elsewhere, of whole frames
_SIFT = 187.0  # where it looks at frames that are not reduced first
_WRITING = 3.5  # the winners' numbers, and what encoders hold of all pictures that are written at once


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What a stack needs at its peaks (bytes)."""

    planes_bytes: int  # as large as a frame, and kept as long as frames come: they can lie in a file
    beside_planes_bytes: int  # while all of them are there
    writing_bytes: int  # when the results are written, and no plane is left

    @property
    def total_bytes(self) -> int:
        """The most at any time."""
        return max(self.planes_bytes + self.beside_planes_bytes, self.writing_bytes)

    @property
    def least_bytes(self) -> int:
        """The most at any time, with all planes in a file."""
        return max(self.beside_planes_bytes, self.writing_bytes)

    def room_for_planes_bytes(self, usable_bytes: int) -> int:
        """How much of the planes has room in so much memory."""
        return max(0, min(self.planes_bytes, usable_bytes - self.beside_planes_bytes))

    def in_file_bytes(self, usable_bytes: int) -> int:
        """How much of the planes has none."""
        return self.planes_bytes - self.room_for_planes_bytes(usable_bytes)


def planes_per_pixel(method: Method, sample_bytes: int) -> float:
    """Bytes a pixel of what a fusion method accumulates (see stacking/accumulators.py), without focus peaks."""
    if method.fusion == "lob":
        return 3 * sample_bytes + (2 if method.laplacian_px <= 5 else 4) + 2
    if method.fusion == "pyramid":
        return 6 + 10 * 4 / 3 + 2 * 3 * sample_bytes
    return _SUM if method.two_passes else 14  # of two passes, in the second


def memory_need(
    method: Method,
    outputs: Outputs,
    *,
    width_px: int,
    height_px: int,
    sample_bytes: int,
    file_bytes: int,
    threads: int,
) -> MemoryNeed:
    """The need of a stack of such frames, `sample_bytes` 1 or 2, each of `file_bytes` as it was photographed.

    The number of frames does not matter.
    """
    pixels = width_px * height_px
    frame = 3 * sample_bytes
    accumulated = planes_per_pixel(method, sample_bytes)
    in_flight = frames = (FRAMES_IN_FLIGHT + _MAKING_16_BIT * (sample_bytes - 1)) * frame
    if method.fusion == "pyramid":
        in_flight += _SMALLER
    if method.border == "black":
        in_flight += _WHOLE
    if method.registration.detector == "sift" and method.registration.work_mpx == 0 and not method.aligned:
        in_flight += _SIFT
    slabs = 0.0
    if outputs.slab_frames:
        slabs = planes_per_pixel(method, 2) * (2 if outputs.slab_overlap else 1)
        in_flight += _SUM  # one that is put aside
    accumulating = _PEAKS + slabs + accumulated
    if method.two_passes:  # the second takes more than the first
        in_flight = _DEPTH + frames
    stripes_bytes = _STRIPE_BYTES * width_px * threads
    writing = _DEPTH + _WRITING + frame + (_SUM if outputs.aligned else 0)
    return MemoryNeed(
        planes_bytes=round(accumulating * pixels),
        beside_planes_bytes=round(in_flight * pixels) + _FUSING_BYTES + stripes_bytes + file_bytes,
        writing_bytes=round(writing * pixels) + _WRITING_BYTES,
    )
