from __future__ import annotations

import asyncio
import mimetypes
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from focusrail.capture.events import Published
from focusrail.desk import Desk
from focusrail.event_log import EventLog
from focusrail.service import Service
from peers.asgi import OURS, app_of, ask, operations

CASES = int(os.environ.get("FOCUSRAIL_PATHS", "3000"))
SECRET = b"the contents of a file that nobody asked for"
_DOTS = (
    "..",
    ".",
    "...",
    "%2e%2e",
    "%252e%252e",
    "..%00",
    "\uff0e\uff0e",
    "\u2025",
    "%c0%ae%c0%ae",
    "..;",
    " ..",
    "..%20",
)
_SEPARATORS = (
    "/", "%2f", "%252f", "\\", "%5c", "%255c", "\uff0f", "\u2044", "%c0%af", "%e2%88%95", "//", "/./",
    "%2f%2f", "%u2215", ":", "%0a",
)  # fmt: skip
_ENDS = (
    "etc/passwd", "secret.txt", "token", "journal.sqlite", "shoot.json", "frames", "000000.jpg", "", "%00", ".lock",
    "secret.txt%00.jpg", "proc/self/environ", "~root", "C:%5cWindows", "file:%2f%2f%2fetc%2fpasswd", "shoot.json%2f..",
)  # fmt: skip


def hostile(chance: random.Random, root: Path) -> str:
    """A path segment, or several, that would like to be elsewhere."""
    separator = chance.choice(_SEPARATORS)
    steps = separator.join(chance.choice(_DOTS) for _ in range(chance.randrange(0, 9)))
    end = chance.choice((*_ENDS, str(root / "secret.txt"), quote(str(root / "secret.txt"), safe="")))
    text = chance.choice((steps + separator + end, separator + end, end + separator + steps, steps, end))
    if chance.random() < 0.2:
        text = "".join(c if chance.random() < 0.7 else f"%{ord(c) & 255:02x}" for c in text)
    return quote(text, safe="%/\\.:;~") if chance.random() < 0.9 else text.replace(" ", "%20").replace("?", "")


class Opened:
    """Which files the interpreter opens or lists, as its audit events tell."""

    def __init__(self) -> None:
        self.watching = False
        self.paths: set[str] = set()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: Any) -> None:
        if self.watching and event in ("open", "os.listdir", "os.scandir", "os.remove", "os.rename", "os.mkdir"):
            self.paths.add(os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else str(arguments[0]))

    def outside(self, root: Path) -> set[str]:
        """Of these, what lies elsewhere; but for what Python itself reads."""
        found = {os.path.normpath(path) for path in self.paths if "/" in path}
        known = (str(root), sys.prefix, sys.base_prefix, "/dev/null", str(Path(__file__).parents[2]))
        return {path for path in found if not path.startswith(known)}


@pytest.fixture
def desk(shot: tuple[Service, Published]) -> Iterator[Desk]:
    made = Desk(shot[0].config, EventLog())
    yield made
    made.close()
    made.service.close()


def test_no_path_leads_to_a_file_that_is_not_named(desk: Desk, shot: tuple[Service, Published]) -> None:
    root, shoot_id = desk.service.config.store.root, shot[1].shoot_id
    (root / "secret.txt").write_bytes(SECRET)
    (root.parent / "secret.txt").write_bytes(SECRET)
    way_out = shot[1].folder / "way-out"
    way_out.symlink_to(root / "secret.txt")
    app, chance, opened = app_of(desk), random.Random(7), Opened()
    places = [
        (method, path)
        for method, path in operations(app)
        if "{" in path and not (method == "POST" and path.endswith(("/stack", "/resume")))  # which do what they say
    ]
    assert len(places) >= 8
    known = {"{shoot_id}": shoot_id, "{version}": "1", "{index}": "0"}
    recipe = b'{"yaml": "name: a\\nfrom_mm: 1\\nto_mm: 2\\nframes: 3"}'
    writes = {**OURS, "content-type": "application/json", "content-length": str(len(recipe))}

    async def tried() -> dict[int, int]:
        told: dict[int, int] = {}
        for _ in range(CASES):
            method, path = chance.choice(places)
            names = [part for part in path.split("/") if part.startswith("{")]
            target = chance.choice(names)
            for name in names:
                path = path.replace(name, hostile(chance, root) if name == target else known.get(name, "shoot.json"))
            answer = await ask(app, method, path, headers=writes if method == "PUT" else OURS, body=recipe)
            told[answer.status] = told.get(answer.status, 0) + 1
            assert SECRET not in answer.body and b"root:x:0:0" not in answer.body, path
            assert answer.status < 500, path
        answer = await ask(app, "GET", f"/api/shoots/{shoot_id}/versions/1/way-out")
        assert answer.status == 404, "a link in a result leads nowhere"
        return told

    before = {path for path in root.rglob("*") if "recipes" not in path.parts}
    mimetypes.init()  # which reads the system's list
    opened.watching = True
    told = asyncio.run(tried())
    opened.watching = False
    assert sum(told.values()) == CASES and set(told) <= {200, 204, 307, 400, 404, 405, 409, 422}
    assert told.get(200, 0) > 0, "some lead to what is there: it was no wall that was tried"
    assert not opened.outside(root)
    assert {path for path in root.rglob("*") if "recipes" not in path.parts} == before
    way_out.unlink()  # the shoot is other tests', too
    for kept in (root / "recipes").iterdir():
        assert kept.suffix == ".yaml" and not kept.is_symlink()
