"""Whether all is well, at a glance and as numbers."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import PlainTextResponse

import focusrail
from focusrail.api.asked import AtDesk
from focusrail.api.schemas import HealthTold, StatusTold
from focusrail.metrics import CONTENT_TYPE

router = APIRouter(tags=["health"])


@router.get("/health", openapi_extra={"security": []})
def health(desk: AtDesk) -> HealthTold:
    """Whether the rig is open, and the journal whole. Needs no token, and tells nothing else."""
    healthy = desk.service.holder.kept is not None and not desk.service.journal.damage
    return HealthTold(healthy=healthy, version=focusrail.__version__)


@router.get("/status")
def status(desk: AtDesk) -> StatusTold:
    """What is going on, and how the rig is."""
    return StatusTold.model_validate(desk.status())


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(desk: AtDesk) -> PlainTextResponse:
    """Figures for Prometheus, in its text format."""
    return PlainTextResponse(desk.metrics.text(desk.look()), headers={"Content-Type": CONTENT_TYPE})
