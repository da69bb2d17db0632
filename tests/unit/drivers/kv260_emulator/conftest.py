"""Emulated boards, driven in every way that this machine can."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from peers.kv260_rig import Direct, Rig, ThroughPynq, board

HAS_PYNQ = importlib.util.find_spec("pynq") is not None
needs_pynq = pytest.mark.skipif(not HAS_PYNQ, reason="pynq is not installed")


@pytest.fixture(params=["directly", pytest.param("through pynq", marks=needs_pynq)])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    """A board with the full bitstream."""
    emulated = board()
    if request.param == "directly":
        return Rig(emulated, Direct(emulated))
    return Rig(emulated, ThroughPynq(emulated, tmp_path, None))


@pytest.fixture
def rig(bare: Rig) -> Rig:
    """A board with the second filter in pr_0."""
    bare.load_filter()
    return bare
