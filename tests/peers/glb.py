"""A reader of binary glTF that believes nothing: it checks what the format demands before it hands out values."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import numpy.typing as npt


def parsed(data: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]], bytes]:
    """The document, each attribute's values and the image, after checking what the format demands."""
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    json_length, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    assert json_length % 4 == 0
    document = json.loads(data[20 : 20 + json_length])
    binary_at = 20 + json_length
    binary_length, kind = struct.unpack_from("<I4s", data, binary_at)
    assert kind == b"BIN\0"
    assert binary_length % 4 == 0
    binary = data[binary_at + 8 :]
    assert len(binary) == binary_length
    assert document["buffers"] == [{"byteLength": binary_length}]
    end = 0
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] >= end
        end = view["byteOffset"] + view["byteLength"]
        assert end <= binary_length
    values = {}
    primitive = document["meshes"][0]["primitives"][0]
    assert primitive.get("mode", 4) == 4
    for name, index in {**primitive["attributes"], "indices": primitive["indices"]}.items():
        accessor = document["accessors"][index]
        view = document["bufferViews"][accessor["bufferView"]]
        wide = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[accessor["type"]]
        dtype = {5126: "<f4", 5125: "<u4"}[accessor["componentType"]]
        assert view["byteLength"] == accessor["count"] * wide * 4
        assert view["target"] == (34963 if name == "indices" else 34962)
        read = np.frombuffer(binary, dtype, accessor["count"] * wide, view["byteOffset"]).reshape(-1, wide)
        if "min" in accessor:
            assert read.min(axis=0).tolist() == accessor["min"]
            assert read.max(axis=0).tolist() == accessor["max"]
        values[name] = read
    assert "min" in document["accessors"][primitive["attributes"]["POSITION"]]
    assert len(values["POSITION"]) == len(values["TEXCOORD_0"])
    assert values["indices"].max() < len(values["POSITION"])
    material = document["materials"][primitive["material"]]
    assert set(material["extensions"]) <= set(document["extensionsUsed"])
    texture = document["textures"][material["pbrMetallicRoughness"]["baseColorTexture"]["index"]]
    image = document["images"][texture["source"]]
    assert image["mimeType"] == "image/jpeg"
    view = document["bufferViews"][image["bufferView"]]
    return document, values, binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
