"""Binary glTF, read back by a parser of its own that believes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from focusrail.store.gltf import to_glb
from peers.glb import parsed

JPEG = b"\xff\xd8\xff\xe0 as good as a picture \xff\xd9"


def square(**changed: Any) -> bytes:
    given: dict[str, Any] = {
        "positions": np.array([[0, 0, 0.1], [1, 0, 0], [0, 1, 0], [1 / 3, 1, -7e-9]], np.float32),
        "texture_at": np.array([[0, 1], [1, 1], [0, 0], [1, 0]], np.float32),
        "triangles": np.array([[0, 1, 2], [1, 3, 2]], np.uint32),
        "texture_jpeg": JPEG,
        "name": "Käfer",
        "extras": {"um_per_px": 4.5},
    }
    return to_glb(**{**given, **changed})


@pytest.mark.parametrize("more", [b"", b"1", b"22", b"333"])
def test_what_was_written_is_read_back_whatever_the_lengths(more: bytes) -> None:
    document, values, image = parsed(square(texture_jpeg=JPEG + more, name="Käfer" + more.decode()))
    assert values["POSITION"][3].tolist() == np.array([1 / 3, 1, -7e-9], np.float32).tolist()
    assert values["TEXCOORD_0"].tolist() == [[0, 1], [1, 1], [0, 0], [1, 0]]
    assert values["indices"].ravel().tolist() == [0, 1, 2, 1, 3, 2]
    assert image == JPEG + more
    assert document["asset"]["version"] == "2.0"
    assert document["asset"]["extras"] == document["nodes"][0]["extras"] == {"um_per_px": 4.5}
    assert document["nodes"][0]["name"] == "Käfer" + more.decode()


def test_arrays_of_any_layout_are_written_in_order() -> None:
    positions = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(4, 3))
    _, values, _ = parsed(square(positions=positions[::-1]))
    assert values["POSITION"].tolist() == positions[::-1].tolist()


def test_a_mesh_without_triangles_is_refused() -> None:
    with pytest.raises(ValueError, match="without triangles"):
        square(triangles=np.empty((0, 3), np.uint32))
