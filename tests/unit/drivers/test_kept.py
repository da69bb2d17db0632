from __future__ import annotations

import time

from focusrail_drivers.simulation.kept import KeptWhileUsed


def test_it_is_kept_while_somebody_asks_and_made_anew_after_that() -> None:
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    kept = KeptWhileUsed(make, for_s=1.0)
    ended_s = time.monotonic() + 1.3
    while time.monotonic() < ended_s:
        assert kept.get() is kept.get()
        time.sleep(0.01)
    assert len(made) == 1
    ended_s = time.monotonic() + 5
    while kept._kept is not None:
        assert time.monotonic() < ended_s, "it is let go of"
        time.sleep(0.01)
    assert kept.get() is made[1]
