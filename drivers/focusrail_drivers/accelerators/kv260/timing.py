"""How long a tile takes, and what of it is the processor's own work."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.cpu import CpuAccelerator
from focusrail_drivers.accelerators.kv260 import reference, tiles
from focusrail_drivers.accelerators.kv260.pipeline import Pipeline
from focusrail_drivers.clock import Clock


@dataclass(frozen=True, slots=True)
class TileTime:
    """Medians over some tiles, in milliseconds."""

    pixels: int
    sending_ms: float  # pack, tag, flush
    waiting_ms: float  # until it has come back, twice where it must be confirmed
    scoring_ms: float  # unpack and subtract
    alone_ms: float  # what one processor takes to compute the same without the FPGA
    twice: bool
    differing: int  # frames that were not as the same frame before

    @property
    def total_ms(self) -> float:
        """All told."""
        return self.sending_ms + self.waiting_ms + self.scoring_ms

    @property
    def processor_ms(self) -> float:
        """What the processor works for it."""
        return self.sending_ms + self.scoring_ms

    def __str__(self) -> str:
        rate = self.pixels / 1e3 / self.total_ms
        verdict = (
            "The accelerator spares it the difference."
            if self.processor_ms < self.alone_ms
            else "That is less than packing and unpacking cost: here, the accelerator spares the processor nothing."
        )
        return (
            f"{self.total_ms:.1f} ms ({rate:.0f} MP/s): {self.sending_ms:.1f} to pack and copy it, "
            f"{self.waiting_ms:.1f} until it is back{' twice' * self.twice}, {self.scoring_ms:.1f} to unpack and score "
            f"it. One processor without the FPGA computes the same in {self.alone_ms:.1f} ms. {verdict}"
        )


def tile_time(
    pipeline: Pipeline, tile: npt.NDArray[np.uint8], clock: Clock, repeats: int, *, confirmed: bool
) -> TileTime:
    """Send a tile (height, width) of the composed size so many times. Raises DriverError."""
    sending, waiting, scoring, alone = [], [], [], []
    pipeline.planes(tile, reference.USUAL_SHIFT)
    processor = CpuAccelerator()
    processor.measure(tile)  # the first of each is slower
    for _ in range(repeats):
        began = clock.monotonic_s()
        pipeline.port.send(tile)
        sent = clock.monotonic_s()
        frame = pipeline.port.receive(reference.USUAL_SHIFT, confirmed=confirmed)
        came = clock.monotonic_s()
        reference.distance(*tiles.unpack(frame))
        scored = clock.monotonic_s()
        processor.measure(tile)
        sending.append(sent - began)
        waiting.append(came - sent)
        scoring.append(scored - came)
        alone.append(clock.monotonic_s() - scored)
    return TileTime(
        pixels=tile.size,
        sending_ms=1e3 * median(sending),
        waiting_ms=1e3 * median(waiting),
        scoring_ms=1e3 * median(scoring),
        alone_ms=1e3 * median(alone),
        twice=confirmed,
        differing=pipeline.differing,
    )
