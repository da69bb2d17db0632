"""A whole shoot that is measured by the service of the FPGA, whatever happens to that."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from peers.fpga_service_process import needs_pynq
from peers.small_rig import Home, manifest, pixels, published


@pytest.mark.parametrize("emulated", [False, pytest.param(True, marks=needs_pynq)], ids=["exact", "emulated"])
def test_a_shoot_whose_service_is_killed_again_and_again_is_the_one_that_the_processor_would_measure(
    start, emulated, tmp_path
):
    service = start(emulated=emulated)
    service.keep()
    results = {}

    def kills(stop):
        for client in (1, 2):  # one picture that ends three of them is given up
            while service.said().count("connected: ") - service.said().count("disconnected: ") < client:
                if stop.wait(0.05):
                    return
            stop.wait(0.2)
            service.kill()

    for driver, options in (("kv260", {"socket": str(service.socket)}), ("kv260-exact", {})):
        folder = tmp_path / driver
        folder.mkdir()
        rig = Home(folder, accelerator={"driver": driver, "options": {"shift": "bracket", **options}})
        stop = threading.Event()
        killer = threading.Thread(target=kills, args=(stop,))
        killer.start()
        try:
            said = rig.run("shoot", rig.recipe())
        finally:
            stop.set()
            killer.join()
        assert said.code == 0, said.sentences
        (results[driver],) = published(rig.outbound)
        assert not said.event("accelerator.lost")
    assert service.starts > 1
    assert np.array_equal(pixels(results["kv260"]), pixels(results["kv260-exact"]))
    assert "by the service focusrail-fpga" in manifest(results["kv260"])["measured_by"]
    assert not [w for w in manifest(results["kv260"])["warnings"] if "accelerator" in w]
