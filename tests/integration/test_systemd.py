"""What the service tells systemd, over a real socket: ready, alive, ending. And what its unit promises."""

from __future__ import annotations

import time
from itertools import pairwise

from peers.running import free_port
from peers.serving_home import stored
from peers.small_rig import FRAMES, Home, published
from peers.systemd import WATCHDOG_S, started


def home_at(folder, **given):
    folder.mkdir(exist_ok=True)
    return Home(folder, service={"listen": f"127.0.0.1:{free_port()}"}, **given)


def test_it_is_ready_when_the_devices_have_answered_and_lives_while_it_waits_for_them(tmp_path):
    camera = {"folder": str(tmp_path / "no such folder")}
    with started(home_at(tmp_path, camera_driver="replay", camera=camera), watchdog_s=1.0) as unit:
        unit.until(lambda: unit.times("STATUS=waiting for the rig: ") and len(unit.times("WATCHDOG=1")) > 4)
        assert unit.times("EXTEND_TIMEOUT_USEC=") and not unit.times("READY=1")
        assert unit.stop() == 0


def test_a_long_move_is_no_hung_device_but_a_hung_device_is_one(tmp_path):
    patient = home_at(tmp_path / "long", rail={"max_speed_mm_s": 1})  # it takes 8 s to find home
    hung = {
        "operator": home_at(tmp_path / "rail", rail={"stuck_at_move": 1}),
        "camera": home_at(tmp_path / "camera", camera={"stuck_at": [1]}),
    }
    with started(patient) as long, started(hung["operator"], abstract=True) as rail, started(hung["camera"]) as camera:
        for unit in (long, rail, camera):
            unit.until(lambda unit=unit: unit.times("READY=1"))
            unit.begin_shoot()
        began_s = time.monotonic()
        for unit, name in ((rail, "operator"), (camera, "camera")):
            unit.until(lambda unit=unit, name=name: unit.times(f"STATUS=hangs: {name}"))
            unit.until(lambda unit=unit: time.monotonic() - unit.times("WATCHDOG=1")[-1] > WATCHDOG_S)
        long.until(lambda: time.monotonic() > began_s + 2 * WATCHDOG_S)
        assert long.times("STATUS=preflight: beetle, 0 of 8 frames stored") and not long.times("STATUS=hangs")
        assert max(later - earlier for earlier, later in pairwise(long.times("WATCHDOG=1"))) < WATCHDOG_S


def test_an_exposure_is_finished_and_stored_before_it_ends_and_the_shoot_is_gone_on_with(tmp_path):
    home = home_at(tmp_path, camera={"exposure_s": 0.5})
    with started(home) as unit:
        unit.until(lambda: unit.times("READY=1"))
        unit.begin_shoot()
        unit.until(lambda: stored(home) == 1)
        assert unit.stop() == 0
        assert unit.times("STOPPING=1") and unit.times("EXTEND_TIMEOUT_USEC=")
    home.config.write_text(home.config.read_text().replace("exposure_s: 0.5", "exposure_s: 0.001"))
    (home.folder / "notify").unlink()
    with started(home) as unit:
        unit.until(lambda: unit.times(f"STATUS=shooting: beetle, 2 of {FRAMES} frames stored"))
        unit.until(lambda: published(home.outbound))
