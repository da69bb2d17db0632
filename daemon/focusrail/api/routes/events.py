"""What happens, as Server-Sent Events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from focusrail.api.access import is_local
from focusrail.api.asked import AtDesk
from focusrail.api.problems import problem
from focusrail.event_log import Entry, EventLog

router = APIRouter(tags=["events"])
_MOST_VIEWERS = 32
_QUIET_S = 15.0  # after that long a comment is sent, so that both ends see whether the other is still there
_LARGEST = 1 << 62


class Stream(StreamingResponse):
    """One viewer's. Its place is taken when it begins, and given back whatever ends it, also before the first event."""

    def __init__(self, log: EventLog, after: int, viewers: set[Stream]) -> None:
        """`viewers`: all whose streams are going on."""
        super().__init__(self._lines(log, after), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._viewers = viewers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream, or refuse."""
        if len(self._viewers) >= _MOST_VIEWERS:
            refused = problem(429, "Too many viewers", f"{_MOST_VIEWERS} viewers watch already; close one of them")
            await refused(scope, receive, send)
            return
        self._viewers.add(self)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._viewers.discard(self)

    async def _lines(self, log: EventLog, after: int) -> AsyncIterator[str]:
        yield ": welcome\n\n"  # so that a viewer sees at once that it is let in
        async with aclosing(log.follow(after, quiet_s=_QUIET_S)) as entries:
            async for entry in entries:
                yield _line(entry)


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
    start = next((number for number in (last_event_id, after) if number is not None), desk.events.last)
    # Who comes by the Unix socket finds a place however many browsers watch.
    return Stream(desk.events, start, request.app.state.viewers[is_local(request.scope)])


def _line(entry: Entry | Literal["quiet"]) -> str:
    if entry == "quiet":
        return ": quiet\n\n"
    return f"id: {entry.number}\nevent: {entry.name}\ndata: {json.dumps(entry.data)}\n\n"
