"""What the service tells systemd, over a real socket: ready, alive, ending. And what its unit promises."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from focusrail import serve
from focusrail.config.loader import load_config
from focusrail.errors import ConfigError, exit_code
from peers.running import free_port
from peers.serving_home import stored
from peers.small_rig import FRAMES, Home, published
from peers.systemd import WATCHDOG_S, started
from peers.systemd_unit import UNITS, Unit, needs_systemd


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
            unit.until_told("READY=1")
            unit.begin_shoot()
        began_s = time.monotonic()
        for unit, name in ((rail, "operator"), (camera, "camera")):
            unit.until_told(f"STATUS=hangs: {name}")
            unit.until_silent(WATCHDOG_S)
        long.until(lambda: time.monotonic() > began_s + 2 * WATCHDOG_S)
        assert long.times("STATUS=preflight: beetle, 0 of 8 frames stored") and not long.times("STATUS=hangs")
        assert max(later - earlier for earlier, later in pairwise(long.times("WATCHDOG=1"))) < WATCHDOG_S


def test_an_exposure_is_finished_and_stored_before_it_ends_and_the_shoot_is_gone_on_with(tmp_path):
    home = home_at(tmp_path, camera={"exposure_s": 0.5})
    with started(home) as unit:
        unit.until_told("READY=1")
        unit.begin_shoot()
        unit.until(lambda: stored(home) == 1)  # and the next exposure has begun
        assert unit.stop() == 0
        assert unit.times("STOPPING=1") and unit.times("EXTEND_TIMEOUT_USEC=")
        assert len(unit.logged("frame.stored")) >= 2
    home.config.write_text(home.config.read_text().replace("exposure_s: 0.5", "exposure_s: 0.001"))
    (home.folder / "notify").unlink()
    with started(home) as unit:
        unit.until(lambda: published(home.outbound))
        assert [line["frame_index"] for line in unit.logged("frame.stored")] == list(range(FRAMES)), (
            "each was made once"
        )


def test_a_network_that_comes_later_is_no_reason_not_to_start():
    with serve._tcp("192.0.2.1", free_port()) as listening:  # TEST-NET-1: nobody has it
        assert listening.getsockname()[0] == "192.0.2.1"


REPOSITORY = UNITS.parent
UNIT = Unit("focusrail.service")
LARGEST_EXPOSURE = 1.5


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    UNIT.verify(tmp_path)


@needs_systemd
def test_the_service_is_shut_in_as_far_as_the_rig_lets_it():
    assert UNIT.exposure() <= LARGEST_EXPOSURE


def test_a_wrong_configuration_is_not_tried_again():
    assert UNIT.setting("RestartPreventExitStatus") == str(exit_code(ConfigError()))


def test_the_installed_configuration_is_the_default_one_where_the_unit_has_its_places(tmp_path):
    script = [sys.executable, str(REPOSITORY / "systemd" / "configuration.py")]
    text = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    installed = tmp_path / "focusrail.yaml"
    installed.write_text(text)
    config = load_config(installed)
    assert config.store.root == Path("/var/lib") / UNIT.setting("StateDirectory")
    assert config.service_socket == Path("/run") / UNIT.setting("RuntimeDirectory") / "socket"
    given = yaml.safe_load((REPOSITORY / "config" / "focusrail.yaml").read_text())
    assert yaml.safe_load(text).keys() == given.keys()


@pytest.mark.parametrize("lock", ["board", "current", "kv260-image"])
def test_the_service_gets_all_that_it_needs_and_nothing_that_only_tests_do(lock):
    runtime = runpy.run_path(str(REPOSITORY / "requirements" / "runtime.py"))
    project = (REPOSITORY / "pyproject.toml").read_text()
    whole = REPOSITORY / "requirements" / f"{lock}.txt"
    roots = runtime["wanted"](project, whole.with_suffix(".in").read_text(), ["gphoto2", "raw"])
    names = set(re.findall(r"^([a-z0-9-]+)==", runtime["runtime"](whole.read_text(), roots), re.MULTILINE))
    assert {"fastapi", "starlette", "pydantic-core", "numpy", "gphoto2", "rawpy", "hatchling", "pathspec"} <= names
    assert not {"pytest", "playwright", "ruff", "mypy", "hypothesis", "pynq"} & names
