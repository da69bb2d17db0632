"""What tests of several drivers share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest


@pytest.fixture
def loop_for_pynq() -> Iterator[asyncio.AbstractEventLoop]:
    """The thread's event loop, which pynq's own drivers take and nobody would close."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    asyncio.set_event_loop(None)
    loop.close()
