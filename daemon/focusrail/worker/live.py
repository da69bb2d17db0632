"""What the stack has become so far, for people to look at: the live composite, and the depth beside it."""

from __future__ import annotations

from pathlib import Path

from focusrail.stacking.pipeline import Stacker
from focusrail.store.image_io import encode_jpeg
from focusrail.worker.depth_picture import depth_picture
from focusrail.worker.messages import Begin
from focusrail.worker.pictures import Picture
from focusrail.worker.results import depth_to_show

_LONGEST_PX = 1200
_DEPTH_PX = 720  # it is shown small, and must not hold up the stack


class LivePictures:
    """JPEGs that are renewed every so many frames; whoever reads one sees the old one or the new one, whole."""

    def __init__(self, begin: Begin) -> None:
        """Without a path for the composite, or with `live_every` 0, there are none."""
        self._begin, self._path = begin, begin.live

    def renew(self, used: int, stacker: Stacker) -> Path | None:
        """After so many frames; return where the composite lies if it is new."""
        path, every = self._path, self._begin.live_every
        if path is None or not every or used % every:
            return None
        image = stacker.glance(longest_px=_LONGEST_PX)
        if image is None:
            return None
        try:
            if (depth_path := self._begin.live_depth) is not None and (depth := self._depth(stacker)) is not None:
                _put(depth_path, encode_jpeg(depth, quality=85))
            _put(path, encode_jpeg(image, quality=85))
        except OSError:  # no stack ends for it
            self._path = None
            return None
        return path

    def _depth(self, stacker: Stacker) -> Picture | None:
        """With the legend's ends where the plan has its own, so that no colour changes its meaning meanwhile."""
        begin = self._begin
        depth = stacker.glance_depth(longest_px=_DEPTH_PX)
        if depth is None:
            return None
        shown, sure, _ = depth_to_show(depth, _DEPTH_PX)
        return depth_picture(shown, begin.depth_unit, sure=sure, far_is_high=begin.far_is_high, ends=begin.depth_ends)


def _put(path: Path, data: bytes) -> None:
    scratch = path.with_name(f".{path.name}.partial")
    scratch.write_bytes(data)
    scratch.replace(path)
