"""The live composite: what the stack has become so far, for people to look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from focusrail.stacking.arrays import Image
from focusrail.store.image_io import encode_jpeg

LONGEST_PX = 1200


class LivePicture:
    """A JPEG that is renewed every so many frames; whoever reads it sees the old one or the new one, whole."""

    def __init__(self, path: Path | None, *, every: int) -> None:
        """Without a path, or with `every` 0, there is none."""
        self._path, self._every = path, every

    def renew(self, used: int, glance: Callable[[], Image | None]) -> Path | None:
        """After so many frames; return where it lies if it is new."""
        path = self._path
        if path is None or not self._every or used % self._every:
            return None
        image = glance()
        if image is None:
            return None
        scratch = path.with_name(f".{path.name}.partial")
        try:
            scratch.write_bytes(encode_jpeg(image, quality=85))
            scratch.replace(path)
        except OSError:  # no stack ends for it
            self._path = None
            return None
        return path
