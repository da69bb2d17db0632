"""What routes ask of the application: the desk that it serves."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from focusrail.desk import Desk


async def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(_desk)]
