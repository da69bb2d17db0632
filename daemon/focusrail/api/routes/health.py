"""Whether all is well, at a glance and as numbers."""

from __future__ import annotations

from fastapi import APIRouter

import focusrail
from focusrail.api.asked import AtDesk
from focusrail.api.schemas import HealthTold, StatusTold

router = APIRouter(tags=["health"])


@router.get("/health")
def health(desk: AtDesk) -> HealthTold:
    """Whether the rig is open. Needs no token, and tells nothing else."""
    return HealthTold(healthy=not desk.status().trouble, version=focusrail.__version__)


@router.get("/status")
def status(desk: AtDesk) -> StatusTold:
    """What is going on, and how the rig is."""
    return StatusTold.model_validate(desk.status())
