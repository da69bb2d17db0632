"""How much memory a stack needs, told from the size of its frames before the first of them is fused.

Bytes are counted by what is alive at the same time; what is left over, and what all stacks have in common, is measured
(benchmarks/memory_need.py). Peaks of resident memory are within 8 % of it for every method of 8 bits, from 2 to 100
megapixels; of 16 bits they may be 16 % less, where frames are fused faster than they are decoded.
"""

from __future__ import annotations

from dataclasses import dataclass

from focusrail.model.method import Method
from focusrail.model.outputs import Outputs

FRAMES_IN_FLIGHT = 2  # decoded and not yet fused, at most; a third wins no time on two cores

USUAL_BASE_BYTES = 89 << 20  # of a process that has done nothing yet, with numpy 1 and OpenCV 4; 122 with 2 and 5
# Beside that: of a process that fuses, and of one that also has loaded all that writes the results.
_FUSING_BYTES, _WRITING_BYTES = 71 << 20, 141 << 20
_STRIPE_BYTES = 1500  # of a column of a stripe, with all that is computed from it; there is one a thread
# Bytes a pixel:
_PEAKS = 2.5  # focus peaks
_MAKING_16_BIT = 1.0  # frames more, while one is decoded
_DEPTH = 5.0  # the depth, and its confidence at half size
_SECOND_PASS = 1.5  # what is over from finding the depth; of 16 bit it finds room where the third frame was
_SUM = 6.0  # a picture of 16 bit
_LEVELS = 8  # pyramid, of frames that are not small
_SMALLER = 4.0  # pyramid: the sizes of the frame in hand
_WHOLE = 40.0  # the notebook's arithmetic: what stripes take elsewhere, of whole frames
_SIFT = 187.0  # where it looks at frames that are not reduced first
_WRITING = 3.5  # the winners' numbers, and what encoders hold of all pictures that are written at once


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What a stack needs at its peaks (bytes)."""

    planes: tuple[int, ...]  # each one's bytes, in the order in which they are taken: those kept as long as frames come
    beside_planes_bytes: int  # while all of them are there
    writing_bytes: int  # when the results are written, and no plane is left

    @property
    def planes_bytes(self) -> int:
        """As large as frames, all together: they can lie in a file."""
        return sum(self.planes)

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
        """How much of the planes has none: no plane lies half in a file (see worker/planes.py)."""
        left, in_file = self.room_for_planes_bytes(usable_bytes), 0
        for plane in self.planes:
            if plane <= left:
                left -= plane
            else:
                in_file += plane
        return in_file


def planes_per_pixel(method: Method, sample_bytes: int) -> tuple[float, ...]:
    """Bytes a pixel of the planes that a method accumulates in (see stacking/accumulators.py), without focus peaks."""
    if method.fusion == "lob":
        return 3 * sample_bytes, 2 if method.laplacian_px <= 5 else 4, 2
    if method.fusion == "pyramid":
        levels = [share / 4**level for level in range(_LEVELS) for share in (6, 2, 2)]
        return 6, *levels, 3 * sample_bytes, 3 * sample_bytes
    if method.two_passes:  # in the second
        return (_SUM,)
    return _SUM, 4, 2, 2


def memory_need(
    method: Method,
    outputs: Outputs,
    *,
    width_px: int,
    height_px: int,
    sample_bytes: int,
    file_bytes: int,
    threads: int,
    base_bytes: int = USUAL_BASE_BYTES,
) -> MemoryNeed:
    """The need of a stack of such frames, `sample_bytes` 1 or 2, each of `file_bytes` as it was photographed.

    `base_bytes` is what the process kept in memory before the first of them.

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
    slabs: tuple[float, ...] = ()
    if outputs.slab_frames:
        slabs = planes_per_pixel(method, 2) * (2 if outputs.slab_overlap else 1)
        in_flight += _SUM  # one that is put aside
    planes = (*accumulated, _PEAKS, *slabs)
    if method.two_passes:  # the second takes more than the first
        planes = (_PEAKS, *accumulated)
        in_flight = _DEPTH + frames + (_SECOND_PASS if sample_bytes == 1 else 0)
    stripes_bytes = _STRIPE_BYTES * width_px * threads
    writing = _DEPTH + _WRITING + frame + (_SUM if outputs.aligned else 0)
    return MemoryNeed(
        planes=tuple(round(plane * pixels) for plane in planes),
        beside_planes_bytes=round(in_flight * pixels) + base_bytes + _FUSING_BYTES + stripes_bytes + file_bytes,
        writing_bytes=round(writing * pixels) + base_bytes + _WRITING_BYTES,
    )
