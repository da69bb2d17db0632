"""Tiling promises: every pixel once, sizes that the overlay takes, and scores as of the whole picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from focusrail_drivers.accelerators.kv260 import reference
from focusrail_drivers.accelerators.kv260.tiles import TileSize, count, pack, size_for, tiles, unpack

extents = st.integers(1, 90)
limits = st.builds(TileSize, st.integers(24, 60), st.sampled_from([32, 40, 64]))


@given(extents, extents, limits, st.integers(0, 99))
def test_a_picture_in_tiles_scores_as_in_one_piece(height, width, limit, seed):
    luma = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    size = size_for(height, width, limit)
    score = np.full(luma.shape, 65535, np.uint16)
    for tile in tiles(height, width, size):
        cut = tile.cut(luma, size)
        assert cut.shape == size.shape
        tile.put(reference.tile_score(cut, 1), score)
    assert np.array_equal(score, reference.score(luma, 1))


@given(st.integers(1, 900), st.integers(1, 900), limits)
def test_the_one_size_is_within_the_limit_and_needs_no_more_tiles_than_it(height, width, limit):
    size = size_for(height, width, limit)
    assert size.height_px <= limit.height_px and size.width_px <= limit.width_px and size.width_px % 8 == 0
    assert len(list(tiles(height, width, size))) == count(height, width, size) == count(height, width, limit)


@pytest.mark.parametrize(("height", "width", "least"), [(3000, 4000, 9), (4000, 6000, 16), (1076, 1916, 1)])
def test_photographs_need_as_few_tiles_as_the_overlay_allows(height, width, least):
    assert len(list(tiles(height, width, size_for(height, width, TileSize(1080, 1920))))) == least


@pytest.mark.parametrize(("height", "width"), [(1080, 1924), (1080, 1928), (1080, 24), (8192, 1920), (20, 64)])
def test_a_size_that_would_stall_the_stream_is_refused(height, width):
    with pytest.raises(ValueError, match="a tile is"):
        TileSize(height, width)


def test_packing_writes_both_planes_and_leaves_the_tag_alone():
    tile = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)
    frame = np.full((24, 32, 3), 7, np.uint8)
    pack(tile, frame)
    negative, positive = unpack(frame)
    assert np.array_equal(negative, 255 - tile) and np.array_equal(positive, tile) and (frame[..., 2] == 7).all()
