"""Writing a textured mesh as binary glTF 2.0: one file that browsers, Blender and slicers open.

The format: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html. Its lengths are metres, it is right-handed, +Y is
up, and what faces the viewer looks towards +Z.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_MAGIC, _VERSION, _JSON, _BINARY = b"glTF", 2, b"JSON", b"BIN\0"
_FLOAT, _UNSIGNED_INT = 5126, 5125
_VERTICES, _INDICES = 34962, 34963  # what a buffer view is for
_CLAMP_TO_EDGE, _LINEAR, _LINEAR_MIPMAP_LINEAR = 33071, 9729, 9987


def to_glb(
    *,
    positions: npt.NDArray[np.float32],
    texture_at: npt.NDArray[np.float32],
    triangles: npt.NDArray[np.uint32],
    texture_jpeg: bytes,
    name: str,
    extras: Mapping[str, Any],
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> bytes:
    """The file's bytes.

    positions: (n, 3), in metres after multiplication by `scale`; texture_at: (n, 2), from the texture's top left (0, 0)
    to its bottom right (1, 1); triangles: (m, 3) indices of vertices, counter-clockwise seen from the front. `extras`
    is free, JSON, and says what the numbers mean. Raises ValueError where there is no triangle, which glTF cannot say.
    """
    if len(triangles) == 0:
        raise ValueError("a mesh without triangles cannot be written as glTF")
    parts = [
        np.ascontiguousarray(positions, "<f4").tobytes(),
        np.ascontiguousarray(texture_at, "<f4").tobytes(),
        np.ascontiguousarray(triangles, "<u4").tobytes(),
        texture_jpeg,
    ]
    offsets = np.cumsum([0, *(_padded(len(part)) for part in parts)]).tolist()
    targets: list[dict[str, int]] = [{"target": _VERTICES}, {"target": _VERTICES}, {"target": _INDICES}, {}]
    low, high = positions.min(axis=0), positions.max(axis=0)
    document = {
        "asset": {"version": "2.0", "generator": "focusrail", "extras": dict(extras)},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0], "name": name}],
        "nodes": [{"mesh": 0, "name": name, "scale": list(scale), "extras": dict(extras)}],
        "meshes": [
            {
                "name": name,
                "primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "material": 0}],
            }
        ],
        "materials": [
            {
                # The photograph has its light and shadow already. Viewers that do not know `unlit` see it matt.
                "extensions": {"KHR_materials_unlit": {}},
                "pbrMetallicRoughness": {
                    "baseColorTexture": {"index": 0},
                    "metallicFactor": 0.0,
                    "roughnessFactor": 1.0,
                },
                "doubleSided": True,
            }
        ],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [
            {
                "magFilter": _LINEAR,
                "minFilter": _LINEAR_MIPMAP_LINEAR,
                "wrapS": _CLAMP_TO_EDGE,
                "wrapT": _CLAMP_TO_EDGE,
            }
        ],
        "images": [{"bufferView": 3, "mimeType": "image/jpeg"}],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": _FLOAT,
                "count": len(positions),
                "type": "VEC3",
                "min": [float(value) for value in low],
                "max": [float(value) for value in high],
            },
            {"bufferView": 1, "componentType": _FLOAT, "count": len(texture_at), "type": "VEC2"},
            {"bufferView": 2, "componentType": _UNSIGNED_INT, "count": int(triangles.size), "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": offset, "byteLength": len(part), **target}
            for offset, part, target in zip(offsets, parts, targets, strict=False)
        ],
        "buffers": [{"byteLength": offsets[-1]}],
    }
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (_padded(len(text)) - len(text))
    binary = b"".join(part + b"\0" * (_padded(len(part)) - len(part)) for part in parts)
    length = 12 + 8 + len(text) + 8 + len(binary)
    return b"".join(
        [
            struct.pack("<4sII", _MAGIC, _VERSION, length),
            struct.pack("<I4s", len(text), _JSON),
            text,
            struct.pack("<I4s", len(binary), _BINARY),
            binary,
        ]
    )


def _padded(length: int) -> int:
    """Chunks and buffer views begin at multiples of four bytes."""
    return (length + 3) // 4 * 4
