"""The configuration, to be read and checked. It is changed in its file, and in force after a restart."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from focusrail.api.asked import AtDesk
from focusrail.api.schemas import Checked, Text
from focusrail.config.loader import check_config, dump
from focusrail.errors import ConfigError

router = APIRouter(prefix="/configuration", tags=["configuration"])

_SHOWN = "focusrail.yaml"


@router.get(
    "",
    response_class=Response,
    responses={200: {"content": {"application/yaml": {}}}},
)
def configuration(desk: AtDesk) -> Response:
    """The configuration in force, defaults included, as YAML."""
    return Response(dump(desk.service.config), media_type="application/yaml")


@router.post("/check")
def check(text: Text) -> Checked:
    """What is wrong with a configuration's text."""
    try:
        check_config(text.yaml, shown=_SHOWN)
    except ConfigError as error:
        return Checked(good=False, problems=[line.removeprefix(f"{_SHOWN}:") for line in str(error).splitlines()])
    return Checked(good=True, problems=[])
