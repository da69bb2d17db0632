from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable

from focusrail_drivers.simulation.kept import KeptWhileUsed


class Scene:
    """Takes seconds to paint."""


def until(holds: Callable[[], object]) -> None:
    ended_s = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ended_s
        time.sleep(0.01)


def test_it_is_kept_while_somebody_asks_and_made_anew_after_that() -> None:
    kept = KeptWhileUsed(Scene, for_s=1.0)
    first = weakref.ref(kept.get())
    time.sleep(0.6)
    asked_s = time.monotonic()
    kept.get()
    time.sleep(0.6)
    if time.monotonic() < asked_s + 0.9:  # else this machine was too busy to tell
        assert first() is not None
    until(lambda: first() is None)
    second = weakref.ref(kept.get())
    assert second() is not None
    kept.let_go()
    gc.collect()
    assert second() is None, "at once"
    assert isinstance(kept.get(), Scene)
