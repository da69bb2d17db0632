"""Files: originals, results, and the picture that grows. Only those that the journal names can be asked for."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path
from starlette.responses import FileResponse

from focusrail.api.asked import AtDesk

router = APIRouter(prefix="/shoots/{shoot_id}", tags=["files"])
_REPORT = "sandbox allow-popups; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}},
    206: {"description": "a range"},
}


@router.get("/frames/{index}/original", response_class=FileResponse, responses=_FILE)
def original(desk: AtDesk, shoot_id: str, index: Annotated[int, Path(ge=0, le=65535)]) -> FileResponse:
    """A frame's original, byte for byte."""
    desk.service.journal.shoot(shoot_id)
    for record in desk.service.journal.frames(shoot_id):
        if record.index == index:
            return _file(str(record.original.path), record.original.media_type)
    raise HTTPException(404, f"shoot {shoot_id} has no frame {index}")


@router.get("/frames/{index}/thumbnail", response_class=FileResponse, responses=_FILE)
def thumbnail(desk: AtDesk, shoot_id: str, index: Annotated[int, Path(ge=0, le=65535)]) -> FileResponse:
    """A frame made small, as soon as it has been looked at for stacking."""
    desk.service.journal.shoot(shoot_id)
    return _file(str(desk.service.thumbnail(shoot_id, index)), "image/jpeg")


@router.get("/live", response_class=FileResponse, responses=_FILE)
def live(desk: AtDesk, shoot_id: str) -> FileResponse:
    """The newest live composite."""
    desk.service.journal.shoot(shoot_id)
    return _file(str(desk.service.live_picture(shoot_id)), "image/jpeg")


@router.get("/versions/{version}/{name}", response_class=FileResponse, responses=_FILE)
def result(desk: AtDesk, shoot_id: str, version: Annotated[int, Path(ge=1, le=1 << 31)], name: str) -> FileResponse:
    """A file of a publication."""
    desk.service.journal.shoot(shoot_id)
    for number, folder in desk.service.journal.publications(shoot_id):
        if number == version and folder.is_dir():
            for path in folder.iterdir():  # a name that is there, whatever was asked for
                if path.name == name and path.is_file() and not path.is_symlink():
                    return _file(str(path), None)
    raise HTTPException(404, f"shoot {shoot_id} has no file {name} in version {version}")


def _file(path: str, media_type: str | None) -> FileResponse:
    try:
        with open(path, "rb"):  # noqa: PTH123 - gone, or not ours to read: to be told now, not in the middle
            pass
    except OSError as error:
        raise HTTPException(404, "that file is not there") from error
    response = FileResponse(path, media_type=media_type)
    response.headers["Cache-Control"] = "private, no-cache"
    if response.media_type in ("text/html", "image/svg+xml"):  # the report: nothing in it may run here
        response.headers["Content-Security-Policy"] = _REPORT
    return response
