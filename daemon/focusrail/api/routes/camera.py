"""The camera by hand."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from focusrail.api.asked import AtDesk
from focusrail.capture.rig import Rig
from focusrail_drivers.base import Photograph

router = APIRouter(prefix="/camera", tags=["camera"])


@router.post("/shot", response_class=Response, responses={200: {"content": {"image/*": {}}}})
def shot(desk: AtDesk) -> Response:
    """Take a photograph; the answer is its file, as the camera delivers it. It is not kept."""
    settings = desk.service.config.camera.settings

    def work(rig: Rig) -> Photograph:
        if settings:
            rig.camera_thread.submit(rig.camera.configure, settings).result()
        exposure = rig.camera_thread.submit(rig.camera.expose, 0).result()
        return rig.camera_thread.submit(rig.camera.deliver, exposure).result()[0]

    photograph = desk.on_rig("photographing", work)
    return Response(photograph.data, media_type=photograph.media_type, headers={"Cache-Control": "no-store"})
