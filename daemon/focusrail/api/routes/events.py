"""What happens, as Server-Sent Events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Header, HTTPException, Query, Request
from starlette.responses import StreamingResponse

from focusrail.api.asked import AtDesk
from focusrail.event_log import Entry

router = APIRouter(tags=["events"])
_MOST_VIEWERS = 32
_QUIET_S = 15.0  # after that long a comment is sent, so that both ends see whether the other is still there
_LARGEST = 1 << 62


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def events(
    request: Request,
    desk: AtDesk,
    last_event_id: Annotated[int | None, Header(ge=0, le=_LARGEST)] = None,
    after: Annotated[int | None, Query(ge=0, le=_LARGEST)] = None,
) -> StreamingResponse:
    """All events after one (Last-Event-ID, or `after`), or from now on; `missed` where some are forgotten."""
    viewers = request.app.state.viewers = getattr(request.app.state, "viewers", 0) + 1
    if viewers > _MOST_VIEWERS:
        request.app.state.viewers -= 1
        raise HTTPException(429, f"{_MOST_VIEWERS} viewers watch already")
    start = next((number for number in (last_event_id, after) if number is not None), desk.events.last)

    async def lines() -> AsyncIterator[str]:
        try:
            async for entry in desk.events.follow(start, quiet_s=_QUIET_S):
                yield _line(entry, desk.events.last)
        finally:
            request.app.state.viewers -= 1

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _line(entry: Entry | Literal["missed", "quiet"], last: int) -> str:
    if entry == "quiet":
        return ": quiet\n\n"
    if entry == "missed":
        return f"id: {last}\nevent: missed\ndata: {{}}\n\n"
    return f"id: {entry.number}\nevent: {entry.name}\ndata: {json.dumps(entry.data)}\n\n"
