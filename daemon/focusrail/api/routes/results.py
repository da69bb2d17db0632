"""Files: originals, results, and the picture that grows. Only those that the journal names can be asked for."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException
from fastapi import Path as InPath
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse
from starlette.types import Message, Receive, Scope, Send

from focusrail.api.asked import AtDesk
from focusrail.api.problems import problem
from focusrail.desk import Desk

router = APIRouter(prefix="/shoots/{shoot_id}", tags=["files"])
_PART = r"\s*([0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})"  # of a Range header
_REPORT = "sandbox allow-popups; default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def _file_of(kind: str) -> dict[int | str, dict[str, Any]]:
    """What is answered with a file of that media type."""
    return {
        200: {"content": {kind: {}}},
        206: {"description": "a range", "content": {kind: {}}},
        304: {"description": "as If-None-Match has it"},
    }


@router.head("/frames/{index}/original", include_in_schema=False)
@router.get("/frames/{index}/original", response_class=FileResponse, responses=_file_of("image/*"))
def original(desk: AtDesk, shoot_id: str, index: Annotated[int, InPath(ge=0, le=65535)]) -> FileResponse:
    """A frame's original, byte for byte."""
    desk.service.journal.shoot(shoot_id)
    for record in desk.service.journal.frames(shoot_id):
        if record.index == index:
            path, size_bytes = Path(record.original.path), record.original.size_bytes
            # Photographs from a folder lie where others can write: what is no longer what was stacked is not for here.
            if path.is_symlink() or not path.is_file() or path.stat().st_size != size_bytes:
                raise HTTPException(404, f"frame {index} of shoot {shoot_id} is no longer where it was")
            return _file(path, record.original.media_type)
    raise HTTPException(404, f"shoot {shoot_id} has no frame {index}")


@router.head("/frames/{index}/thumbnail", include_in_schema=False)
@router.get("/frames/{index}/thumbnail", response_class=FileResponse, responses=_file_of("image/jpeg"))
def thumbnail(desk: AtDesk, shoot_id: str, index: Annotated[int, InPath(ge=0, le=65535)]) -> FileResponse:
    """A frame made small, as soon as it has been looked at for stacking."""
    desk.service.journal.shoot(shoot_id)
    return _file(desk.service.spool.thumbnail(shoot_id, index), "image/jpeg")


@router.get("/live", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
def live(desk: AtDesk, shoot_id: str) -> Response:
    """The newest live composite."""
    return _live(desk, shoot_id, depth=False)


@router.get("/live/depth", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
def live_depth(desk: AtDesk, shoot_id: str) -> Response:
    """The depth map so far, in colours."""
    return _live(desk, shoot_id, depth=True)


def _live(desk: Desk, shoot_id: str, *, depth: bool) -> Response:
    desk.service.journal.shoot(shoot_id)
    try:  # all at once: in the middle of it, the next one takes its place
        data = desk.service.spool.live_picture(shoot_id, depth=depth).read_bytes()
    except OSError as error:
        raise HTTPException(404, f"shoot {shoot_id} has no live picture") from error
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, no-cache"})


@router.head("/versions/{version}/{name}", include_in_schema=False)
@router.get("/versions/{version}/{name}", response_class=FileResponse, responses=_file_of("*/*"))
def result(desk: AtDesk, shoot_id: str, version: Annotated[int, InPath(ge=1, le=1 << 31)], name: str) -> FileResponse:
    """A file of a publication."""
    desk.service.journal.shoot(shoot_id)
    for number, folder in desk.service.journal.publications(shoot_id):
        if number == version:
            for path in _entries(folder):  # a name that is there, whatever was asked for
                if path.name == name and path.is_file() and not path.is_symlink():
                    return _file(path, None)
    raise HTTPException(404, f"shoot {shoot_id} has no file {name} in version {version}")


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # somebody has moved it away
        return []


class _Sent(FileResponse):
    """A file, those bytes of it that are asked for, or that it has not changed; what is no range asks for all of it
    (RFC 9110, 13.1.2 and 14.2).
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, a range beyond its end as every other error."""
        asked = Headers(scope=scope)
        known = {tag.strip().removeprefix("W/") for tag in asked.get("if-none-match", "").split(",")}
        if known & {self.headers["etag"], "*"}:
            await NotModifiedResponse(self.headers)(scope, receive, send)
            return
        if not _is_range(asked.get("range", "")):
            scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"range"]}
        refused = False

        async def sending(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] == 416:
                refused = True
                whole = Headers(raw=message["headers"])["content-range"]  # bytes */SIZE
                answer = problem(416, "Beyond its end", f"the file has {whole.rpartition('/')[2]} bytes")
                answer.headers["Content-Range"] = whole
                await answer(scope, receive, send)
            elif not refused:
                await send(message)

        await super().__call__(scope, receive, sending)


def _is_range(given: str) -> bool:
    if not re.fullmatch(r"bytes=" + _PART + r"(\s*,\s*" + _PART + r")*", given):
        return False
    parts = (part.strip().split("-") for part in given.partition("=")[2].split(","))
    return all(not first or not last or int(first) <= int(last) for first, last in parts)


def _file(path: Path, media_type: str | None) -> FileResponse:
    try:
        with path.open("rb") as file:  # gone, or not ours to read: to be told now, not in the middle
            facts = os.fstat(file.fileno())
    except OSError as error:
        raise HTTPException(404, "that file is not there") from error
    response = _Sent(path, media_type=media_type, stat_result=facts)
    response.headers["Cache-Control"] = "private, no-cache"
    if response.media_type in ("text/html", "image/svg+xml"):  # the report: nothing in it may run here
        response.headers["Content-Security-Policy"] = _REPORT
    return response
