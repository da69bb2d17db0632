"""What was published."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from focusrail.api.asked import AtDesk
from focusrail.api.schemas import PublicationTold

router = APIRouter(tags=["publications"])


@router.get("/publications")
def publications(desk: AtDesk, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> list[PublicationTold]:
    """The newest publications of all shoots and stacks, newest first."""
    return [
        PublicationTold(
            shoot_id=one.shoot_id, name=one.name, specimen_id=one.specimen_id, version=one.version,
            folder=str(one.folder), published_at=one.published_at, there=one.folder.is_dir(),
        )
        for one in desk.service.journal.published()[:limit]
    ]  # fmt: skip
