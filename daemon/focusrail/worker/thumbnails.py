"""Frames made small: for the published folder, and for whoever looks on while they are shot."""

from __future__ import annotations

from pathlib import Path

from focusrail.stacking.arrays import Image
from focusrail.store.image_io import encode_jpeg
from focusrail.worker.reduction import thumbnail

LONGEST_PX = 640  # of those that are looked at on a screen; the published ones are for a contact sheet
_QUALITY = 85


class Thumbnails:
    """Written as frames are examined, in several threads at once. Called `000012.jpg`, by the frame's index."""

    def __init__(self, published: Path, shown: Path | None) -> None:
        """`published` is made; those that are shown lie in `shown`, which may exist. None: none are."""
        self._published, self._shown = published, shown
        published.mkdir(exist_ok=True)
        if shown is not None:
            try:
                shown.mkdir(exist_ok=True)
            except OSError:  # no stack ends for it
                self._shown = None

    def save(self, index: int, image: Image) -> None:
        """Of one frame. Whoever reads the one that is shown sees it whole, or not yet. Raises OSError."""
        name = f"{index:06d}.jpg"
        (self._published / name).write_bytes(encode_jpeg(thumbnail(image), quality=_QUALITY))
        if self._shown is None:
            return
        partial = self._shown / f".{name}.partial"
        try:
            partial.write_bytes(encode_jpeg(thumbnail(image, LONGEST_PX), quality=_QUALITY))
            partial.replace(self._shown / name)
        except OSError:
            self._shown = None
