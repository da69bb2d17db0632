from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focusrail.errors import InvalidValue, UnknownFrame, exit_code
from focusrail.model.outputs import Outputs
from focusrail.model.selection import check_known, frames_text, parse_frames


@pytest.mark.parametrize(
    ("text", "frames"),
    [("12", {12}), ("12,40-43", {12, 40, 41, 42, 43}), (" 3 - 4 , 0", {0, 3, 4}), ("5-5", {5}), ("2,1-3", {1, 2, 3})],
)
def test_frames_are_chosen_by_numbers_and_ranges_with_both_ends(text: str, frames: set[int]) -> None:
    assert parse_frames("--without", text) == frames


@pytest.mark.parametrize("text", ["", ",", "1,", "a", "-3", "1-", "1-2-3", "3-1", "1.5", "0-999999999", "65535", "٣"])
def test_what_is_no_choice_is_refused_and_named(text: str) -> None:
    with pytest.raises(InvalidValue, match="--without"):
        parse_frames("--without", text)


@given(st.frozensets(st.integers(0, 65534), min_size=1))
def test_what_is_written_down_reads_as_the_same_frames(frames: frozenset[int]) -> None:
    assert parse_frames("without", frames_text(frames)) == frames


def test_runs_are_written_short() -> None:
    assert frames_text([43, 12, 41, 40, 42, 12]) == "12,40-43"
    assert frames_text([]) == ""


def test_frames_that_are_not_there_are_named_with_those_that_are() -> None:
    check_known({1, 2}, range(3))
    with pytest.raises(UnknownFrame, match=r"no frames 3,7-8 to leave out: the stack has 0-2") as caught:
        check_known({1, 3, 7, 8}, range(3))
    assert exit_code(caught.value) == 27


def test_of_slabs_no_more_than_two_overlap() -> None:
    Outputs(slab_frames=12, slab_overlap=6)
    for frames, overlap in ((1, 0), (-2, 0), (12, 7), (12, -1), (0, 1)):
        with pytest.raises(InvalidValue):
            Outputs(slab_frames=frames, slab_overlap=overlap)
