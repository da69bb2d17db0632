"""The overlay's real metadata, where it is at hand; it belongs to its makers and is no part of this repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="session")
def real_metadata() -> Path:
    """The folder with cv_dfx_3_pr.hwh and its partial designs, as on a board or in the pipeline's own repository."""
    folder = Path(os.environ.get("FOCUSRAIL_KV260_OVERLAY", _ROOT.parent / "shared" / "kv260"))
    if not (folder / "cv_dfx_3_pr.hwh").exists():
        pytest.skip(f"no cv_dfx_3_pr.hwh in {folder}; FOCUSRAIL_KV260_OVERLAY may name another folder")
    return folder
