"""A chain of filters that computes something else is told what."""

from __future__ import annotations

import numpy as np
import pytest

from focusrail_drivers.accelerators.kv260 import diagnosis, reference

RNG = np.random.default_rng(5)
SENT = np.clip(RNG.normal(128, 12, (40, 48)), 0, 255).astype(np.uint8)
BORROWED = np.array([[0, 1, 0], [1, -4, 0], [0, 1, 0]], np.int16)  # as pynq_composable's driver loads the Laplacian


def chain(*steps):
    plane = SENT
    for kernel, shift in steps:
        plane = reference.filter2d(plane, kernel, shift)
    return plane


LAPLACIAN, BINOMIAL = (reference.LAPLACIAN, 0), (reference.BINOMIAL, 1)


@pytest.mark.parametrize(
    ("received", "says"),
    [
        (chain(LAPLACIAN, BINOMIAL), "as the reference"),
        (SENT, "came back as it was sent"),
        (chain(LAPLACIAN), "only the first filter"),
        (chain(BINOMIAL), "only the second filter"),
        (chain(BINOMIAL, LAPLACIAN), "wrong order"),
        (chain((BORROWED, 0), BINOMIAL), "borrowed from its neighbour"),
        (chain(LAPLACIAN, (reference.BINOMIAL, 3)), "shifted by 3, not by 1"),
    ],
)
def test_a_known_mistake_is_named(received, says):
    assert says in diagnosis.explain(SENT, received, 1)


def test_a_wrong_border_and_a_single_wrong_pixel_are_told_apart():
    border, pixel = chain(LAPLACIAN, BINOMIAL), chain(LAPLACIAN, BINOMIAL)
    border[0] ^= 1
    pixel[20, 7] ^= 8
    assert diagnosis.explain(SENT, border, 1) == "48 pixels differ, all within 2 of the edge: the border is not zeros"
    assert "1 of 1920 pixels differ, by up to 8, the first in row 20, column 7" in diagnosis.explain(SENT, pixel, 1)


def test_bytes_that_changed_places_are_found():
    sent = RNG.integers(0, 256, (24, 32, 3), np.uint8)
    received = reference.graph(sent, 1)
    assert diagnosis.places(sent, received, 1) == (0, 1, 2)
    assert diagnosis.places(sent, received[..., [1, 0, 2]], 1) == (1, 0, 2)
    received[3, 3, 1] ^= 1
    assert diagnosis.places(sent, received, 1) == (0, None, 2)
