"""What a filter chain that does not compute the reference may have computed instead, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260 import reference

Plane = npt.NDArray[np.uint8]


def places(sent: npt.NDArray[np.uint8], received: npt.NDArray[np.uint8], shift: int) -> tuple[int | None, ...]:
    """For each byte of a received pixel, which byte of the sent one it was filtered from; None if from none.

    Frames are (height, width, 3), and the sent planes must differ from each other.
    """
    filtered = reference.graph(sent, shift)
    return tuple(
        next((byte for byte in range(3) if np.array_equal(received[..., at], filtered[..., byte])), None)
        for at in range(3)
    )


def explain(sent: Plane, received: Plane, shift: int) -> str:
    """One sentence on how a received plane differs from what the reference makes of the sent one."""
    expected = reference.graph(sent, shift)
    wrong = expected != received
    if not wrong.any():
        return "as the reference"
    for words, computed in _guesses(sent, shift):
        if np.array_equal(received, computed()):
            return words
    inside = wrong[reference.HALO_PX : -reference.HALO_PX, reference.HALO_PX : -reference.HALO_PX]
    if not inside.any():
        return f"{wrong.sum()} pixels differ, all within {reference.HALO_PX} of the edge: the border is not zeros"
    off = np.abs(expected.astype(np.int16) - received).max()
    row, column = np.argwhere(wrong)[0]
    return (
        f"{wrong.sum()} of {wrong.size} pixels differ, by up to {off}, the first in row {row}, column {column}, "
        "and no known mistake explains it"
    )


def _guesses(sent: Plane, shift: int) -> Iterator[tuple[str, Callable[[], Plane]]]:
    laplacian, binomial = reference.LAPLACIAN, reference.BINOMIAL
    borrowed = laplacian.copy()
    borrowed[1, 2] -= 1  # the negative centre takes one from its neighbour in the same word

    def chain(*steps: tuple[npt.NDArray[np.int16], int]) -> Callable[[], Plane]:
        def computed() -> Plane:
            plane = sent
            for kernel, by in steps:
                plane = reference.filter2d(plane, kernel, by)
            return plane

        return computed

    first, second = (laplacian, 0), (binomial, shift)
    yield "the frame came back as it was sent: neither filter is in its way", lambda: sent
    yield "only the first filter worked", chain(first)
    yield "only the second filter worked", chain(second)
    yield "the filters are in the wrong order", chain(second, first)
    yield "both filters use the first one's kernel", chain(first, first)
    yield "the first kernel's negative coefficient borrowed from its neighbour", chain((borrowed, 0), second)
    for other in reference.SHIFTS:
        if other != shift:
            yield f"it was shifted by {other}, not by {shift}", chain(first, (binomial, other))
    yield "it was rounded, not cut off", lambda: _rounded(sent, shift)


def _rounded(sent: Plane, shift: int) -> Plane:
    first = reference.filter2d(sent, reference.LAPLACIAN, 0)
    sums = cv2.filter2D(first, cv2.CV_32F, reference.BINOMIAL.astype(np.float32), borderType=cv2.BORDER_CONSTANT)
    half = (1 << shift) >> 1
    return np.clip((sums.astype(np.int32) + half) >> shift, 0, reference.MAX_VALUE).astype(np.uint8)
