"""How far are frames laid from where they belong, and what does it cost?

    python benchmarks/registration.py [--megapixels 2] [--frames 20] [--detector dense --detector sift] [SCENE ...]

The simulated camera's stage renders each scene, through JPEG and back; its true transforms are the measure. Errors are
distances on a grid of 9 x 9 points, of all frames to the first; of the long chain, whose first frames are out of focus,
also of all to frame 20, the first that shows something sharp. Times are processor time of one thread. A rendered
scene takes seconds at 2 megapixels, the long one minutes, as do the others at 24.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cv2
import numpy as np
import numpy.typing as npt

from focusrail.errors import NotRegistered
from focusrail.model.method import Registration
from focusrail.stacking.judgement import registration_errors
from focusrail.stacking.registration import Registrar, reduce, see
from focusrail_drivers.simulation.moment import Moment
from focusrail_drivers.simulation.noise import Sensor
from focusrail_drivers.simulation.scene import SceneOptions
from focusrail_drivers.simulation.stage import Stage, StageOptions

_SETTLED = 20  # first frame of the long chain in which something is in focus
# What differs from the demonstration: depth of scene and background (mm), breathing a frame, sensor.
SCENES: dict[str, dict[str, Any]] = {
    "demo": {"seed": 1},
    "noisy": {"seed": 2, "electrons": 1500.0, "read_electrons": 12.0},
    "far background": {"seed": 3, "background_mm": 30.0},
    "1 % a frame": {"seed": 4, "breathing": 0.01},
    "2 % a frame": {"seed": 5, "far_mm": 12.0, "background_mm": 12.6, "breathing": 0.02, "frames": 10},
    "200 frames": {"seed": 7, "far_mm": 18.0, "background_mm": 18.6, "breathing": 0.001, "frames": 200},
    "parallax": {"seed": 8, "projection": "perspective"},
}


def rendered(megapixels: float, frames: int, scene: dict[str, Any]) -> Iterator[tuple[npt.NDArray[np.uint8], Any]]:
    """The frames and their true transforms from the view."""
    frames = scene.get("frames", frames)
    near, far = 10.0, scene.get("far_mm", 14.0)
    step = (far - near) / (frames - 1)
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    seed = scene["seed"]
    stage = Stage(
        StageOptions(
            scene=SceneOptions(seed, near, far, scene.get("background_mm", far + 0.6)),
            width_px=round(1.5 * height),
            height_px=height,
            field_mm=8.0,
            numerical_aperture=0.055,
            breathing_per_mm=scene["breathing"] / step if "breathing" in scene else 0.02,
            drift_um_per_mm=(6.0, -4.0),
            rotation_deg_per_mm=0.02,
            jitter_um=0.4,
            projection=scene.get("projection", "similarity"),
            working_distance_mm=40.0,
        )
    )
    sensor = Sensor(seed, scene.get("electrons", 20000.0), scene.get("read_electrons", 5.0), 0.02)
    for k in range(frames):
        moments = [Moment(near + k * step)]
        counts = sensor.counts(stage.frame(moments, k), k, bits=8)
        coded = cv2.imencode(".jpg", counts, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        frame = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        assert frame is not None
        yield np.asarray(frame, np.uint8), stage.transform(moments, k)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=", ".join(SCENES))
    parser.add_argument("--megapixels", type=float, default=2.0)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--detector", action="append", choices=["dense", "sift", "orb"])
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"OpenCV {cv2.__version__}, numpy {np.__version__}, {options.megapixels:g} megapixels, one thread")
    print("| scene | detector | median px | 95 % px | last frame px | left out | ms a frame |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    detectors = options.detector or ["dense"]
    for name in options.scenes or SCENES:
        registrars = {d: Registrar(Registration(detector=d)) for d in detectors}
        found: dict[str, dict[int, Any]] = {d: {} for d in detectors}
        took_s = dict.fromkeys(detectors, 0.0)
        true, size = {}, (0, 0)
        for k, (frame, transform) in enumerate(rendered(options.megapixels, options.frames, SCENES[name])):
            true[k], size = transform, (frame.shape[1], frame.shape[0])
            for detector, registrar in registrars.items():
                began_s = time.process_time()
                try:
                    settings = Registration(detector=detector)
                    found[detector][k] = registrar.add(see(reduce(frame, settings)[1], settings)).transform
                except NotRegistered as error:
                    print(f"{name}, frame {k}: {error}")
                took_s[detector] += time.process_time() - began_s
        for detector, transforms in found.items():
            left_out, each_ms = len(true) - len(transforms), 1000 * took_s[detector] / len(true)
            for first in (0, _SETTLED) if len(true) > 100 else (0,):
                back = np.linalg.inv(transforms[first])
                later = {k: back @ v for k, v in transforms.items() if k >= first}
                errors = registration_errors(true, later, first, size)
                median, most = np.percentile(errors, [50, 95])
                last = registration_errors(true, {max(later): later[max(later)]}, first, size).max()
                what = f"{name}, from frame {first}" if first else name
                print(f"| {what} | {detector} | {median:.3f} | {most:.3f} | {last:.3f} | {left_out} | {each_ms:.0f} |")


if __name__ == "__main__":
    main()
