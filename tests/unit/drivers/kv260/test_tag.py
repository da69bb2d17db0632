"""A tag's answer is told from every other tag's, from another shift's, and from a torn frame's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from focusrail_drivers.accelerators.kv260 import reference, tag
from focusrail_drivers.accelerators.kv260.registers import packed

numbers = st.integers(0, tag.NUMBERS - 1)
shapes = st.sampled_from([(24, 32), (25, 40), (40, 64), (24, 200)])


def answer(number, shift, shape):
    frame = np.zeros((*shape, 3), np.uint8)
    tag.write(number, frame)
    return reference.graph(frame, shift)


@given(numbers, st.sampled_from(reference.SHIFTS), shapes)
def test_an_answer_is_recognised_at_every_shift(number, shift, shape):
    assert tag.is_answer(answer(number, shift, shape), number, shift)


@given(numbers, numbers, st.sampled_from(reference.SHIFTS), st.sampled_from(reference.SHIFTS), shapes)
def test_another_number_or_another_shift_is_never_taken_for_it(number, other, shift, other_shift, shape):
    same = (number, shift) == (other, other_shift)
    assert tag.is_answer(answer(number, shift, shape), other, other_shift) == same


@given(numbers, numbers, st.integers(1, 23))
def test_a_frame_that_is_half_an_older_one_is_not_taken(number, older, torn_at):
    frame = answer(number, 1, (24, 32))
    frame[torn_at:] = answer(older, 1, (24, 32))[torn_at:]
    torn = not np.array_equal(frame, answer(number, 1, (24, 32)))
    assert tag.is_answer(frame, number, 1) == (not torn)


@given(numbers, st.sampled_from([0, 7, 16, 23]), st.integers(0, 199))
def test_one_bit_too_many_or_too_few_in_the_first_or_last_rows_is_seen(number, row, column):
    frame = answer(number, 1, (24, 200))
    frame[row, column, 2] ^= 1
    assert not tag.is_answer(frame, number, 1)


@given(st.lists(st.integers(-32768, 32767), min_size=9, max_size=9))
def test_kernels_keep_their_negative_coefficients_in_the_registers(coefficients):
    words = packed(np.array(coefficients, np.int16).reshape(3, 3))
    halves = np.array(words, "<u4").view("<i2")
    assert len(words) == 5 and halves[:9].tolist() == coefficients and halves[9] == 0


@pytest.mark.parametrize("filtered_as", [[0, 1, 0, 1, -4, 0, 0, 1, 0], [0, -1, 0, -1, 4, -1, 0, -1, 0]])
def test_a_kernel_that_was_loaded_wrongly_shows_in_the_tag(filtered_as):
    frame = np.zeros((24, 32, 3), np.uint8)
    tag.write(12345, frame)
    first = reference.filter2d(frame, np.array(filtered_as, np.int16).reshape(3, 3), 0)
    assert not tag.is_answer(reference.filter2d(first, reference.BINOMIAL, 1), 12345, 1)
