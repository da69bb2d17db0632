"""What is kept of each pixel's sharpness over position."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focusrail.stacking.focus_peak import PEAK_HALO_PX, Floor, FocusPeaks, decode, encode, energies, half_shape
from focusrail_drivers.accelerators.cpu import CpuAccelerator

CPU = CpuAccelerator()


def texture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width)).astype(np.uint8)


def test_codes_are_exact_to_a_fifth_of_a_percent_and_in_the_order_of_the_energies() -> None:
    energy = np.geomspace(1e-3, 1e6, 20001).astype(np.float32)
    codes = encode(energy)
    assert codes.dtype == np.uint16
    assert (np.diff(codes.astype(int)) >= 0).all()
    assert np.abs(decode(codes) / energy - 1).max() < 0.002


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), frames=st.integers(1, 9))
def test_the_best_frame_and_its_neighbours_are_those_of_all_frames_together(seed: int, frames: int) -> None:
    codes = np.random.default_rng(seed).integers(1, 6, (frames, 7, 11)).astype(np.uint16)
    peaks = FocusPeaks.empty(7, 11)
    for rank in range(frames):
        for rows in (slice(0, 3), slice(3, 7)):
            peaks.add(codes[rank][rows], rank, rows)
    padded = np.pad(codes, ((1, 1), (0, 0), (0, 0)))
    best = codes.argmax(axis=0)[None]
    assert (peaks.rank == best[0]).all()
    assert (peaks.best == codes.max(axis=0)).all()
    assert (peaks.before == np.take_along_axis(padded, best, 0)[0]).all()
    assert (peaks.after == np.take_along_axis(padded, best + 2, 0)[0]).all()


@pytest.mark.parametrize(("height", "width"), [(64, 96), (65, 97)])
def test_energies_are_of_half_the_size_and_louder_where_there_is_more_detail(height: int, width: int) -> None:
    grey = texture(height, width)
    grey[:, : width // 2] = 128 + (grey[:, : width // 2] >> 4)
    for energy in energies(grey, CPU, CPU.configure()):
        assert energy.shape == half_shape(height, width)
        assert energy.dtype == np.float32
        assert energy[:, -width // 8 :].min() > 3 * energy[:, : width // 8].max()


def test_tiles_make_the_energies_of_the_whole_picture() -> None:
    grey = texture(96, 80)
    whole = energies(grey, CPU, CPU.configure())
    top, bottom = 32, 64
    tile = energies(grey[top - PEAK_HALO_PX : bottom + PEAK_HALO_PX], CPU, CPU.configure())
    inner = slice(PEAK_HALO_PX // 2, (bottom - top + PEAK_HALO_PX) // 2)
    for part, all_of_it in zip(tile, whole, strict=True):
        np.testing.assert_allclose(part[inner], all_of_it[top // 2 : bottom // 2], rtol=1e-5)


def test_the_floor_is_what_a_quiet_part_of_the_picture_makes() -> None:
    random = np.random.default_rng(0)
    quiet, loud = random.uniform(0.5, 1.5, (40, 40)), random.uniform(400, 900, (40, 100))
    plane = np.hstack([quiet, loud]).astype(np.float32)
    floor = Floor.of(plane, plane * 4)
    assert 0.5 < floor.fine < 1.5
    assert floor.coarse == pytest.approx(4 * floor.fine)
    assert floor.noise == pytest.approx(4 * floor.fine)
    silent = Floor.of(np.zeros_like(plane), np.zeros_like(plane))
    assert silent.joint(np.zeros_like(plane), np.zeros_like(plane)).min() > 0
