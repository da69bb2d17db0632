"""The camera, tried by hand."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

from fastapi import APIRouter
from starlette.responses import Response

from focusrail.api.asked import AtDesk
from focusrail.desk import Desk
from focusrail.store.media_types import suffix_of
from focusrail_drivers.base import Photograph

router = APIRouter(prefix="/camera", tags=["camera"])
_NOT_KEPT = {"Cache-Control": "no-store"}


@router.post("/shot", response_class=Response, responses={200: {"content": {"image/*": {}}}})
def shot(desk: AtDesk) -> Response:
    """Take a photograph; the answer is its file, as the camera delivers it. It is not kept."""
    photograph = _taken(desk)[0]
    return Response(photograph.data, media_type=photograph.media_type, headers=_NOT_KEPT)


@router.post("/shot.zip", response_class=Response, responses={200: {"content": {"application/zip": {}}}})
def all_of_a_shot(desk: AtDesk) -> Response:
    """Take a photograph; the answer holds all its files, where a camera delivers a raw file and a JPEG. Not kept."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for number, photograph in enumerate(_taken(desk)):
            archive.writestr(f"{number}.{suffix_of(photograph.media_type)}", photograph.data)
    return Response(packed.getvalue(), media_type="application/zip", headers=_NOT_KEPT)


def _taken(desk: Desk) -> Sequence[Photograph]:
    return desk.on_rig("photographing", lambda rig: rig.photograph(desk.service.config.camera.settings))
