"""What the tests of whole processes share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peers.fpga_service_process import ServiceProcess


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., ServiceProcess]]:
    """Starts services that own an FPGA, one after the other, and ends them."""
    numbers, started = itertools.count(), []

    def start(**how: Any) -> ServiceProcess:
        folder = tmp_path / f"service{next(numbers)}"
        folder.mkdir()
        service = ServiceProcess(folder, **how)
        started.append(service)
        service.start()
        return service

    yield start
    for service in started:
        service.close()
