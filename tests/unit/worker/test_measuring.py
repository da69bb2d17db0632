from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from focusrail.errors import AcceleratorFailed
from focusrail.model.acceleration import Acceleration
from focusrail.worker.measuring import Measuring
from focusrail_drivers import registry
from focusrail_drivers.accelerators.cpu import CpuAccelerator
from focusrail_drivers.accelerators.kv260.exact import Kv260Exact, score
from focusrail_drivers.base import AcceleratorLost, DeviceNotFound

TILES = [np.random.default_rng(seed).integers(0, 256, (40, 56), np.uint8) for seed in range(12)]
FAINT = np.random.default_rng(7).integers(126, 130, (40, 56), np.uint8)


class Breaks:
    """Gives the KV260's scores for as many tiles as it is told, and is lost then."""

    @dataclass(frozen=True)
    class Options:
        tiles: int = 1_000_000
        opens: bool = True
        doubles: bool = True

    def __init__(self, options: Options, clock: object) -> None:
        self._options, self._exact = options, Kv260Exact()
        self._lock, self._left, self.closed = threading.Lock(), options.tiles, False
        if options.doubles:
            self.double = lambda: self._exact

    def open(self) -> str:
        if not self._options.opens:
            raise DeviceNotFound("no board: switch it on")
        return "a board that breaks"

    def close(self) -> None:
        self.closed = True

    def probe(self, luma_tile: npt.NDArray[np.uint8]) -> str:
        return self._exact.probe(luma_tile)

    def configure(self) -> Any:
        return self._exact.configure()

    def measure(self, luma_tile: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
        with self._lock:
            self._left -= 1
        if self._left < 0:
            raise AcceleratorLost("the board failed 4 times in a row")
        return self._exact.measure(luma_tile)


@pytest.fixture(autouse=True)
def breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = registry.load
    monkeypatch.setattr(registry, "load", lambda kind, name: Breaks if name == "breaks" else usual(kind, name))


def measuring(told: list[tuple[str, str]], *, may_fall_back: bool = True, **options: Any) -> Measuring:
    wanted = Acceleration("breaks", options, may_fall_back=may_fall_back)
    return Measuring(wanted, tell=lambda by, lost: told.append((by, lost)))


def test_a_lost_accelerators_double_goes_on_with_the_same_scores() -> None:
    told: list[tuple[str, str]] = []
    accelerator = measuring(told, tiles=5)
    assert accelerator.probe(FAINT) == "bracket"
    scale = accelerator.configure()
    with ThreadPoolExecutor(4) as threads:
        scores = list(threads.map(accelerator.measure, TILES))
    for tile, found in zip(TILES, scores, strict=True):
        assert np.array_equal(found, score(tile, "bracket"))
    assert accelerator.configure() == scale
    assert told == [
        ("breaks: a board that breaks", ""),
        ("breaks, by its double on the processor, bracket", "the board failed 4 times in a row"),
    ], "it is told once, whichever thread sees it first"
    assert accelerator.lost == told[1][1]


def test_the_double_of_an_accelerator_that_does_not_open_still_fits_itself_to_the_picture() -> None:
    told: list[tuple[str, str]] = []
    accelerator = measuring(told, opens=False)
    assert [lost for _, lost in told] == ["no board: switch it on"]
    accelerator.probe(FAINT)
    accelerator.configure()
    assert np.array_equal(accelerator.measure(TILES[0]), score(TILES[0], "bracket"))


def test_without_a_double_the_processor_measures_from_the_start_but_never_in_the_middle() -> None:
    accelerator = measuring([], opens=False, doubles=False)
    assert accelerator.configure() == CpuAccelerator().configure()
    accelerator = measuring([], tiles=1, doubles=False)
    accelerator.configure()
    accelerator.measure(TILES[0])
    with pytest.raises(AcceleratorFailed, match=r"4 times in a row; .*stack the shoot again"):
        accelerator.measure(TILES[1])


@pytest.mark.parametrize("options", [{"opens": False}, {"tiles": 0}])
def test_without_a_fallback_a_loss_ends_the_stack_and_says_what_is_safe(options: dict[str, Any]) -> None:
    with pytest.raises(AcceleratorFailed, match="originals are safe"):
        measuring([], may_fall_back=False, **options).measure(TILES[0])


def test_the_processor_needs_nothing_and_says_so() -> None:
    told: list[tuple[str, str]] = []
    accelerator = Measuring(Acceleration(), tell=lambda by, lost: told.append((by, lost)))
    assert accelerator.probe(TILES[0]) == ""
    assert told == [("cpu", "")]
    assert np.array_equal(accelerator.measure(TILES[0]), CpuAccelerator().measure(TILES[0]))
    accelerator.close()
