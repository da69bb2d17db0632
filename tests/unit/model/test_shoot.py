from __future__ import annotations

from datetime import datetime, timezone
from itertools import product

import pytest

from focusrail.errors import IllegalTransition
from focusrail.model.method import Method
from focusrail.model.shoot import ALLOWED, Shoot, State


def shoot(state: State) -> Shoot:
    return Shoot("s7", "beetle", datetime(2026, 5, 1, tzinfo=timezone.utc), Method(), state=state)


# Written out a second time on purpose: whoever changes the table has to mean it.
LEGAL = {
    ("idle", "preflight"), ("idle", "merging"), ("idle", "failed"), ("idle", "aborted"),
    ("preflight", "shooting"), ("preflight", "failed"), ("preflight", "aborted"),
    ("shooting", "shooting"), ("shooting", "paused"), ("shooting", "merging"), ("shooting", "failed"),
    ("shooting", "aborted"),
    ("paused", "shooting"), ("paused", "merging"), ("paused", "failed"), ("paused", "aborted"),
    ("merging", "merging"), ("merging", "shooting"), ("merging", "published"), ("merging", "failed"),
    ("merging", "aborted"),
    ("published", "shooting"), ("published", "merging"),
    ("failed", "shooting"), ("failed", "merging"),
    ("aborted", "shooting"), ("aborted", "merging"),
}  # fmt: skip
MOVES = list(product(State, State))


def test_every_state_has_a_line_in_the_table() -> None:
    assert set(ALLOWED) == set(State)


@pytest.mark.parametrize(("old", "new"), [m for m in MOVES if (m[0].value, m[1].value) in LEGAL])
def test_a_legal_move_is_made_and_tells_where_it_came_from(old: State, new: State) -> None:
    one = shoot(old)
    assert one.advance(new) is old
    assert one.state is new


@pytest.mark.parametrize(("old", "new"), [m for m in MOVES if (m[0].value, m[1].value) not in LEGAL])
def test_an_illegal_move_raises_and_changes_nothing(old: State, new: State) -> None:
    one = shoot(old)
    with pytest.raises(IllegalTransition, match=rf"s7 is {old.value} and cannot become {new.value}"):
        one.advance(new)
    assert one == shoot(old)


@pytest.mark.parametrize("state", State)
def test_from_every_state_a_result_can_still_be_published(state: State) -> None:
    reached, todo = {state}, [state]
    while todo:
        for following in ALLOWED[todo.pop()] - reached:
            reached.add(following)
            todo.append(following)
    assert State.PUBLISHED in reached


def test_a_new_shoot_is_idle() -> None:
    assert Shoot("s7", "beetle", datetime(2026, 5, 1, tzinfo=timezone.utc), Method()).state is State.IDLE
