"""The page: files that tell a stranger nothing, so they need no token."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, HTTPException
from starlette.responses import FileResponse

router = APIRouter(include_in_schema=False)
_FOLDER = Path(__file__).parent.parent / "web"
_FILES = {
    "index.html": "text/html",
    "app.js": "text/javascript",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
    "manifest.webmanifest": "application/manifest+json",
}


@router.get("/")
def index() -> FileResponse:
    """The page itself."""
    return _file("index.html")


@router.get("/web/{name}")
def part(name: str) -> FileResponse:
    """What the page consists of."""
    if name not in _FILES:
        raise HTTPException(404, f"the page has no part {name}")
    return _file(name)


def _file(name: str) -> FileResponse:
    # No-cache: after an upgrade nobody sees the old page; unchanged files are not sent again.
    return FileResponse(_FOLDER / name, media_type=_FILES[name], headers={"Cache-Control": "no-cache"})
