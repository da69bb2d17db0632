"""The camera by hand, and what it sees."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

from fastapi import APIRouter, HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from focusrail.api.asked import AtDesk
from focusrail.api.schemas import CameraSettings
from focusrail.capture.live_view import Picture, Viewer
from focusrail.store.media_types import suffix_of
from focusrail_drivers.base import DriverError, Photograph

router = APIRouter(prefix="/camera", tags=["camera"])
_MOST_VIEWERS = 8
_BOUNDARY = "picture"
_FRESH = {"Cache-Control": "no-store"}
_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}
_MJPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"multipart/x-mixed-replace": {}}}}


@router.post("/shot", response_class=Response, responses={200: {"content": {"image/*": {}}}})
def shot(desk: AtDesk) -> Response:
    """Take a photograph; the answer is its file, as the camera delivers it. It is not kept."""
    return _answer(desk.camera.test_shot()[0])


@router.post("/shot.zip", response_class=Response, responses={200: {"content": {"application/zip": {}}}})
def all_of_a_shot(desk: AtDesk) -> Response:
    """Take a photograph; the answer holds all its files, where a camera delivers a raw file and a JPEG. Not kept."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for number, photograph in enumerate(desk.camera.test_shot()):
            archive.writestr(f"{number}.{suffix_of(photograph.media_type)}", photograph.data)
    return Response(packed.getvalue(), media_type="application/zip", headers=_FRESH)


@router.get("/settings")
def settings(desk: AtDesk) -> CameraSettings:
    """How the next picture is made, by the camera's own names, as read from it."""
    return CameraSettings(settings=dict(desk.camera.settings()))


@router.put("/settings")
def change(desk: AtDesk, wish: CameraSettings) -> CameraSettings:
    """Write settings; the answer is what is read back. They hold for shoots, too, unless their recipe says otherwise.

    They are forgotten when the service ends: what is to last belongs into a recipe or the configuration.
    """
    return CameraSettings(settings=dict(desk.camera.settings(wish.settings)))


@router.get("/preview", response_class=Response, responses=_JPEG)
async def preview(desk: AtDesk) -> Response:
    """What the camera sees now, as a JPEG."""
    with desk.live.watching() as viewer:
        picture = await viewer.next()
    if picture is None:
        raise HTTPException(409, "the camera is needed for a shoot")
    return _answer(picture.photograph)


@router.get("/live", response_class=StreamingResponse, responses=_MJPEG)
async def live(desk: AtDesk) -> StreamingResponse:
    """What the camera sees, as MJPEG: the newest picture whenever there is one, until a shoot begins.

    Every part has its Content-Length, and X-Number, which grows by one from picture to picture.
    """
    if desk.live.viewers >= _MOST_VIEWERS:
        raise HTTPException(429, f"{_MOST_VIEWERS} viewers watch already")
    with ExitStack() as stack:
        viewer = stack.enter_context(desk.live.watching())
        first = await viewer.next()  # what is wrong with the camera can be told only now
        return _Stream(_parts(first, viewer), stack.pop_all())


class _Stream(StreamingResponse):
    """MJPEG; however it ends, its viewer is gone."""

    def __init__(self, parts: AsyncIterator[bytes], ending: ExitStack) -> None:
        super().__init__(parts, media_type=f"multipart/x-mixed-replace; boundary={_BOUNDARY}", headers=_FRESH)
        self._ending = ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._ending:
            await super().__call__(scope, receive, send)


async def _parts(picture: Picture | None, viewer: Viewer) -> AsyncIterator[bytes]:
    # A picture ends with the boundary after it: browsers show it only then.
    yield f"--{_BOUNDARY}\r\n".encode()
    try:
        while picture is not None:
            data = picture.photograph.data
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\nX-Number: {picture.number}\r\n\r\n"
            yield head.encode() + data + f"\r\n--{_BOUNDARY}".encode()
            picture = await viewer.next()
            if picture is not None:
                yield b"\r\n"
    except DriverError:
        pass  # whoever asks again is told
    yield b"--\r\n"


def _answer(photograph: Photograph) -> Response:
    return Response(photograph.data, media_type=photograph.media_type, headers=_FRESH)
