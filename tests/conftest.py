"""What tests of the whole product share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from focusrail.capture.events import Published
from focusrail.service import Service
from focusrail_drivers.cameras.simulated import SimulatedCamera
from focusrail_drivers.clock import VirtualClock
from focusrail_drivers.rails.simulated import SimulatedRail
from peers.small_rig import FRAMES, Home, recipe, small_rig


@pytest.fixture(scope="session")
def painted_scene(tmp_path_factory: pytest.TempPathFactory) -> SimulatedCamera:
    """The small rig's scene: painting it takes a moment, and it is kept as long as one camera looks at it."""
    config, clock = small_rig(tmp_path_factory.mktemp("scene")), VirtualClock()
    camera = SimulatedCamera(config.camera.options, clock, SimulatedRail(config.rail.options, clock))
    camera.truth()
    return camera


@pytest.fixture(scope="session")
def shot(
    tmp_path_factory: pytest.TempPathFactory, painted_scene: SimulatedCamera
) -> Iterator[tuple[Service, Published]]:
    """One shoot of the small rig and what it published. Only to be looked at."""
    config = small_rig(tmp_path_factory.mktemp("shot"), um_per_px=2.5)
    service = Service(config, clock=VirtualClock())
    yield service, service.shoot(recipe(name="beetle, dorsal", specimen_id="00123"))
    service.close()


@pytest.fixture(scope="session")
def photographs(shot: tuple[Service, Published]) -> Path:
    """A folder with the frames of one stack, 000000.jpg and so on. Only to be read."""
    service, done = shot
    folder = service.config.store.spool_folder / done.shoot_id / "frames"
    assert len(list(folder.iterdir())) == FRAMES
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Where a user runs focusrail, with a small rig."""
    return Home(tmp_path)
