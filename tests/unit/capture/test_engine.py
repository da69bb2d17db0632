"""The order of things at every frame: move, stand, settle, expose; and nothing moves while the shutter is open."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from focusrail.capture.carriage import Approach, Carriage
from focusrail.capture.engine import Engine
from focusrail.errors import DiskFull
from focusrail.model.frame import FrameRecord
from focusrail.model.method import Method
from focusrail.model.shoot import Shoot, State
from focusrail.store.journal import Journal
from focusrail.store.spool import Spool
from focusrail_drivers.base import CaptureFailed, Exposure, Photograph
from focusrail_drivers.cameras.simulated import SimulatedCamera
from focusrail_drivers.clock import VirtualClock
from focusrail_drivers.rails.simulated import SimulatedRail

SETTLE_S = 0.5
Log = list[tuple[str, float]]


class WatchedRail(SimulatedRail):
    """The simulated rail, with a log of when it moves."""

    log: Log

    def move_to(self, position_mm: float) -> float:
        self.log.append(("move begins", self._clock.monotonic_s()))
        try:
            return super().move_to(position_mm)
        finally:
            self.log.append(("move ends", self._clock.monotonic_s()))


class WatchedCamera(SimulatedCamera):
    """The simulated camera, with a log of when its shutter is open; deliveries named in `lost` fail once."""

    log: Log
    lost: set[int]

    def expose(self, frame_index: int) -> Exposure:
        self.log.append(("shutter opens", self._clock.monotonic_s()))
        try:
            return super().expose(frame_index)
        finally:
            self.log.append(("shutter closes", self._clock.monotonic_s()))

    def deliver(self, exposure: Exposure) -> tuple[Photograph, ...]:
        if exposure.frame_index in self.lost:
            self.lost.remove(exposure.frame_index)
            raise CaptureFailed(f"frame {exposure.frame_index} did not come")
        return super().deliver(exposure)


class Pile:
    """Where frames are handed over."""

    def __init__(self) -> None:
        self.records: list[FrameRecord] = []

    def submit(self, record: FrameRecord) -> None:
        self.records.append(record)


def shot(tmp_path: Path, *, lost: set[int] | None = None) -> tuple[Log, Pile]:
    """Five frames; the log of what moved and opened, and what was handed over."""
    clock, log = VirtualClock(), Log()
    rail = WatchedRail(SimulatedRail.Options(homed=True, start_mm=9.0), clock)
    camera = WatchedCamera(SimulatedCamera.Options(width_px=720, height_px=480), clock, rail)
    rail.log = camera.log = log
    camera.lost = lost or set()
    rail.open()
    camera.open()
    carriage = Carriage(rail, clock, approach=Approach(backlash_mm=0.1, settle_s=SETTLE_S))
    shoot = Shoot(
        "s1", "test", clock.utc(), Method(), positions_mm=(10.0, 11.0, 12.0, 13.0, 14.0), state=State.SHOOTING
    )
    pile: Any = Pile()
    with closing(Journal(tmp_path / "journal.sqlite")) as journal, ThreadPoolExecutor(1) as camera_thread:
        journal.add_shoot(shoot)
        Engine(carriage, camera, camera_thread, spool=Spool(tmp_path), journal=journal).run(shoot, pile)
    return log, pile


def assert_in_order(log: Log) -> None:
    moved_until = None
    moving = open_ = False
    for what, when in log:
        if what == "move begins":
            assert not open_, "moved while the shutter was open"
        elif what == "shutter opens":
            assert not moving
            assert moved_until is not None
            assert when - moved_until >= SETTLE_S - 1e-6, "exposed before it had settled"
        elif what == "move ends":
            moved_until = when
        moving = what == "move begins" or (moving and what != "move ends")
        open_ = what == "shutter opens" or (open_ and what != "shutter closes")


def test_every_exposure_waits_for_the_carriage_to_settle_and_no_move_for_an_open_shutter(tmp_path: Path) -> None:
    log, pile = shot(tmp_path)
    assert_in_order(log)
    assert [record.index for record in pile.records] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("lost", [0, 2, 4])
def test_a_frame_that_was_not_delivered_is_made_again_in_its_place_and_in_order(tmp_path: Path, lost: int) -> None:
    log, pile = shot(tmp_path, lost={lost})
    assert_in_order(log)
    assert [(r.index, r.position_mm) for r in pile.records] == [(k, 10.0 + k) for k in range(5)]
    assert len([what for what, _ in log if what == "shutter opens"]) == 6


def test_after_the_first_frame_the_rest_must_fit_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("focusrail.store.room.LEAST_FREE_BYTES", 1 << 60)
    with pytest.raises(DiskFull, match="4 more frames"):
        shot(tmp_path)
