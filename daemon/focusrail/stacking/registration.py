"""Registration: the transform that lays a frame on the reference.

Neighbours in a stack look alike and its ends do not, so each frame is registered to the last one that could be, and the
transforms are composed. Two neighbours are aligned densely (`alignment`), started from where the last motion, no motion
or phase correlation lead; where that does not convince, from features (`features`); and where there is too little to
compare, the rail's own geometry predicts the transform (`geometry`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.errors import NotRegistered
from focusrail.model.method import Registration
from focusrail.stacking import kernels
from focusrail.stacking.alignment import Aligned, align, ranked
from focusrail.stacking.arrays import Image, Transform
from focusrail.stacking.band_pass import Level, pyramid, shift_between, textured
from focusrail.stacking.features import (
    ADVICE,
    LEAST_MATCHES,
    LEAST_SIDE_PX,
    Features,
    Found,
    Reduced,
    check_plausible,
    divisor_for,
    estimate,
    find_features,
    match,
)
from focusrail.stacking.focus_measure import luma8
from focusrail.stacking.geometry import Geometry
from focusrail.stacking.shake import directions, shaken

_LEAST_AGREEING = 0.15  # of what is textured in both frames; unrelated pictures reach a hundredth
_ALIKE = 1.5  # brightness ratio within which a frame without texture can still be of this stack


@dataclass(frozen=True, slots=True)
class Seen:
    """What registration needs of one frame. Depends on nothing else: frames can be seen in parallel."""

    frame: Reduced
    levels: tuple[Level, ...]  # for dense alignment; empty where the settings do not want it
    features: Features | None  # None where they are only looked for when dense alignment fails
    directions: npt.NDArray[np.float64] | None = None  # see `shake`; None: it is not asked


def reduce(frame: Image, settings: Registration) -> tuple[Image, Reduced]:
    """A frame, (height, width, 3) of 8 or 16 bits, as small as it is registered, in colour and its luma."""
    divisor = divisor_for(*frame.shape[:2], work_mpx=settings.work_mpx)
    small = kernels.shrink(frame, divisor)
    return small, Reduced(luma8(small), divisor)


def see(frame: Reduced, settings: Registration) -> Seen:
    """See what registration needs in a frame that is reduced already."""
    dense = settings.detector == "dense"
    levels = pyramid(frame.luma) if dense or settings.refine else ()
    features = None if dense else find_features(frame, settings)
    return Seen(frame, levels, features, directions(frame.luma) if levels else None)


class Registrar:
    """Registers frames in order: each to the last one registered (a chain) or to the first."""

    def __init__(self, settings: Registration) -> None:
        self._settings = settings
        self._target: Seen | None = None
        self._target_to_first: Transform = np.eye(3)
        self._motion: Transform = np.eye(3)  # of the last frame, in reduced pixels
        self._geometry = Geometry()

    def add(self, seen: Seen, position: float | None = None) -> Found:
        """The transform of a frame's full-size pixels to the first frame's. Raises NotRegistered; the chain goes on.

        `position` is the carriage's, mm or any unit that is even along the rail; without it nothing is predicted.
        """
        if self._target is None:
            found = self._first(seen)
            self._target = seen
        else:
            full = seen.frame.to_full()
            try:
                found = self._found(seen, self._target)
            except NotRegistered:
                predicted = self._predicted(seen, self._target, position)
                if predicted is None:
                    raise
                return predicted
            motion = found.transform
            transform = self._target_to_first @ full @ motion @ np.linalg.inv(full)
            transform /= transform[2, 2]
            found = replace(
                found,
                transform=transform,
                residual_px=found.residual_px * seen.frame.divisor,
                shaken=self._shaken(found, seen, self._target),
            )
            # The next frame is better laid on the one before a shaken one.
            if self._settings.chain and not found.shaken:
                self._target, self._target_to_first, self._motion = seen, transform, motion
        if position is not None:
            self._geometry.learn(position, found.transform, seen.frame.full_size())
        return found

    def _first(self, seen: Seen) -> Found:
        width, height = seen.frame.full_size()
        if min(width, height) < LEAST_SIDE_PX:
            raise NotRegistered(
                f"cannot be registered: it is {width} x {height} pixels, each side must be {LEAST_SIDE_PX} or more; "
                "if the frames lie on each other already, `--aligned` stacks them as they are"
            )
        needed = self._needed()
        shown = len(seen.features.points) if seen.features is not None else textured(seen.levels)
        if shown < needed and self._settings.detector == "dense":
            shown = len(find_features(seen.frame, self._settings).points)
        if shown < needed:  # black, say: nothing could ever be laid on it
            raise NotRegistered(f"cannot be the reference: it shows {shown} features, {needed} are needed; {ADVICE}")
        return Found(inliers=shown, matches=shown)

    def _needed(self) -> int:
        return max(LEAST_MATCHES[self._settings.model], self._settings.least_inliers)

    def _found(self, seen: Seen, target: Seen) -> Found:
        """The transform from a frame to its target in reduced pixels."""
        settings = self._settings
        size = (seen.frame.luma.shape[1], seen.frame.luma.shape[0])
        if settings.detector == "dense" and seen.levels and target.levels:
            starts = [self._motion, np.eye(3), shift_between(seen.levels, target.levels)]
            for start in ranked(seen.levels, target.levels, starts):
                aligned = align(seen.levels, target.levels, start, model=settings.model, levels=len(seen.levels))
                if self._convinces(aligned, size):
                    return _dense(aligned)
        frame_features, target_features = (one.features or find_features(one.frame, settings) for one in (seen, target))
        source, there = match(frame_features, target_features, settings)
        # The threshold is meant in full-size pixels, but on a reduced frame features are not placed that finely.
        threshold_px = max(settings.threshold_px / seen.frame.divisor, 1.0)
        found = estimate(source, there, settings, threshold_px=threshold_px)
        check_plausible(found.transform, size)
        if not settings.refine or not seen.levels or not target.levels:
            return found
        aligned = align(seen.levels, target.levels, found.transform, model=settings.model, levels=2)
        near = np.abs(aligned.transform - found.transform)[:2, 2].max() < 0.05 * max(size)
        if near and self._convinces(aligned, size):
            found = replace(_dense(aligned), matches=found.matches, inliers=found.inliers)
        return found

    def _convinces(self, aligned: Aligned, size: tuple[int, int]) -> bool:
        if aligned.agreeing < max(self._needed(), _LEAST_AGREEING * aligned.textured):
            return False
        try:
            check_plausible(aligned.transform, size)
        except NotRegistered:
            return False
        return True

    def _shaken(self, found: Found, seen: Seen, target: Seen) -> bool:
        if seen.directions is None or target.directions is None:
            return False
        # Where most has dissolved in defocus, its directions are no longer those of the same things.
        return found.inliers >= 0.5 * found.matches and shaken(target.directions, seen.directions)

    def _predicted(self, seen: Seen, target: Seen, position: float | None) -> Found | None:
        """What the rail's geometry expects of a frame without texture; None for one that contradicts."""
        if position is None or textured(seen.levels) >= self._needed():
            return None
        ours, theirs = (float(one.frame.luma.mean()) for one in (seen, target))
        if not theirs / _ALIKE < ours < theirs * _ALIKE:
            return None
        # What is out of focus is smoother than its neighbour; what is rougher is another picture.
        ours, theirs = (float(np.abs(cv2.Laplacian(one.frame.luma, cv2.CV_16S)).mean()) for one in (seen, target))
        if ours > theirs * _ALIKE:
            return None
        transform = self._geometry.predict(position, seen.frame.full_size())
        return None if transform is None else Found(transform, predicted=True)


def _dense(aligned: Aligned) -> Found:
    return Found(aligned.transform, aligned.textured, aligned.agreeing, aligned.residual_px)
