"""What is kept of each pixel's sharpness over position."""

from __future__ import annotations

import numpy as np
import pytest

from focusrail.stacking import kernels
from focusrail.stacking.canvas import stripes
from focusrail.stacking.focus_measure import ENERGY_HALO_PX, Scores
from focusrail.stacking.focus_peak import PeakTracker
from focusrail.stacking.kernels import decode
from focusrail_drivers.accelerators.cpu import CpuAccelerator
from peers.textures import texture

CPU = CpuAccelerator()


def track(frames: list[np.ndarray], *, rows: int = 64) -> PeakTracker:
    tracker = PeakTracker(frames[0], CPU)
    for position, frame in enumerate(frames):
        number = tracker.begin(float(position))
        for stripe in stripes(frame.shape[0], halo_px=ENERGY_HALO_PX, rows=rows):
            luma = kernels.luma(kernels.split(frame[stripe.halo_top : stripe.halo_bottom]))
            tracker.add(stripe, Scores.of(luma, CPU), number)
    return tracker


@pytest.mark.parametrize(("height", "width"), [(130, 96), (131, 97), (64, 2), (1, 5)])
def test_stripes_make_the_peaks_of_the_whole_picture(height: int, width: int) -> None:
    frames = [texture(height, width, seed=k) for k in range(4)]
    whole = track(frames, rows=2 * height)
    assert whole.peaks.best.shape == ((height + 1) // 2, (width + 1) // 2)
    assert np.array_equal(track(frames).peaks.state, whole.peaks.state)


def test_the_frame_with_detail_has_the_peak() -> None:
    flat, detailed = np.full((128, 128, 3), 120, np.uint8), texture(128, 128)
    left = flat.copy()
    left[:, :64] = detailed[:, :64]
    peaks = track([flat, left, detailed, flat]).peaks
    assert (peaks.rank[8:-8, 8:24] == 1).all(), "of equals the earlier"
    assert (peaks.rank[8:-8, 40:-8] == 2).all()
    assert np.array_equal(peaks.after[8:-8, 8:24], peaks.best[8:-8, 8:24])
    assert decode(peaks.best[8:-8, 8:-8]).min() > 20 * decode(peaks.before[8:-8, 40:-8]).max()


def test_noise_is_what_quiet_parts_make() -> None:
    random = np.random.default_rng(2)
    quiet = np.clip(np.rint(120 + 2 * random.standard_normal((200, 200, 3))), 0, 255).astype(np.uint8)
    loud = quiet.copy()
    loud[:80] = texture(80, 200)
    assert PeakTracker(loud, CPU).noise == pytest.approx(PeakTracker(quiet, CPU).noise, rel=0.3)
    assert PeakTracker(np.zeros_like(quiet), CPU).noise > 0
