"""What the stacking process is told about a stack before the first frame comes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from focusrail.config.schema import Config
from focusrail.model.frame import FrameRecord
from focusrail.model.outputs import Outputs
from focusrail.model.shoot import Shoot
from focusrail.store.outbound import Destination
from focusrail.store.spool import LIVE, LIVE_DEPTH, THUMBNAILS
from focusrail.worker.messages import Begin


def usual_outputs(config: Config, shoot: Shoot | None = None) -> Outputs:
    """What is published besides the results if nothing else is said: what the recipe wants, or the configuration."""
    return config.outputs if shoot is None or shoot.recipe is None else shoot.recipe.outputs


def begin(
    shoot: Shoot,
    place: Destination,
    config: Config,
    folder: Path,
    *,
    in_mm: bool,
    unwanted: Sequence[FrameRecord] = (),
    outputs: Outputs | None = None,
    debug: bool = False,
) -> Begin:
    """The beginning of a stack; `folder` is the shoot's in the spool."""
    return Begin(
        shoot_id=shoot.shoot_id,
        name=shoot.name,
        specimen_id=shoot.specimen_id,
        source=shoot.source,
        created_at=shoot.created_at,
        version=place.version,
        method=shoot.method,
        scratch=place.scratch,
        depth_unit="mm" if in_mm else "frames",
        live=folder / LIVE if shoot.recipe is not None else None,
        live_depth=folder / LIVE_DEPTH if shoot.recipe is not None else None,
        live_every=config.stacking.preview_every,
        depth_ends=(min(shoot.positions_mm), max(shoot.positions_mm)) if in_mm and shoot.positions_mm else None,
        thumbnails=folder / THUMBNAILS,
        truth=folder / "truth",
        um_per_px=config.camera.um_per_px,
        threads=config.stacking.threads,
        debug=debug,
        recipe=shoot.recipe,
        unwanted=tuple(unwanted),
        frames=len(shoot.positions_mm),
        outputs=outputs if outputs is not None else usual_outputs(config, shoot),
        acceleration=config.accelerator.told(),
        order=shoot.order,
        far_is_high=config.rail.far_is == "high",
    )
