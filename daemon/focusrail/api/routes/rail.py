"""The rail by hand."""

from __future__ import annotations

from fastapi import APIRouter

from focusrail.api.asked import AtDesk
from focusrail.api.schemas import Distance, Position, RailTold
from focusrail.capture.rig import Rig
from focusrail_drivers.base import DeviceNotFound

router = APIRouter(prefix="/rail", tags=["rail"])


def _told(rig: Rig) -> RailTold:
    carriage = rig.carriage
    status, travel = carriage.status(), carriage.travel
    return RailTold(
        name=rig.rail_name, position_mm=status.position_mm, moving=status.moving, detail=status.detail,
        min_mm=travel.min_mm, max_mm=travel.max_mm, resolution_mm=carriage.resolution_mm,
    )  # fmt: skip


@router.get("")
def status(desk: AtDesk) -> RailTold:
    """Where it is, also while it moves."""
    rig = desk.service.holder.kept
    if rig is None:
        raise DeviceNotFound(desk.status().trouble or "the rig is not open")
    return _told(rig)


@router.post("/home")
def home(desk: AtDesk) -> RailTold:
    """Find the home switch. The carriage moves."""

    def work(rig: Rig) -> RailTold:
        rig.carriage.home()
        return _told(rig)

    return desk.on_rig("homing", work)


@router.post("/goto")
def goto(desk: AtDesk, to: Position) -> RailTold:
    """Go to a position; the answer comes when it stands there."""

    def work(rig: Rig) -> RailTold:
        rig.carriage.go_to(to.position_mm)
        return _told(rig)

    return desk.on_rig("moving", work)


@router.post("/jog")
def jog(desk: AtDesk, by: Distance) -> RailTold:
    """Move by a distance; the answer comes when it stands there."""

    def work(rig: Rig) -> RailTold:
        rig.carriage.go_to(rig.carriage.position_mm() + by.distance_mm)
        return _told(rig)

    return desk.on_rig("moving", work)
