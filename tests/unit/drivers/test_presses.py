from __future__ import annotations

import random

import pytest

from focusrail_drivers.base import Contact
from focusrail_drivers.buttons.presses import Press, Presses

DEBOUNCE_S, LONG_S = 0.02, 1.5
SHORT, LONG = Press.SHORT, Press.LONG


def new() -> Presses:
    return Presses(debounce_s=DEBOUNCE_S, long_s=LONG_S)


def bounced(chance: random.Random, pressed: bool, at_s: float) -> list[Contact]:
    """A contact that closes or opens, and comes to rest sooner than the debounce time."""
    changes = [at_s, *sorted(at_s + chance.uniform(0, 0.9 * DEBOUNCE_S) for _ in range(2 * chance.randint(0, 8)))]
    return [Contact(pressed == (n % 2 == 0), when_s) for n, when_s in enumerate(changes)]


def spike(chance: random.Random, pressed: bool, at_s: float) -> list[Contact]:
    """Something that is no press, nor the end of one."""
    return [Contact(not pressed, at_s), Contact(pressed, at_s + chance.uniform(0, 0.9 * DEBOUNCE_S))]


def generated(chance: random.Random) -> tuple[list[Contact], list[Press]]:
    """What a contact does while somebody presses a few times, and what is meant by it."""
    contacts, meant, now_s = [], [], chance.uniform(0, 5)
    for _ in range(chance.randint(1, 6)):
        if chance.random() < 0.4:
            contacts += spike(chance, False, now_s)
            now_s += 2 * DEBOUNCE_S
        is_long = chance.random() < 0.4
        held_s = (
            chance.uniform(LONG_S + DEBOUNCE_S, 6) if is_long else chance.uniform(2 * DEBOUNCE_S, LONG_S - DEBOUNCE_S)
        )
        contacts += bounced(chance, True, now_s)
        if held_s > 10 * DEBOUNCE_S and chance.random() < 0.4:
            contacts += spike(chance, True, now_s + chance.uniform(2 * DEBOUNCE_S, held_s - 4 * DEBOUNCE_S))
        now_s += held_s
        contacts += bounced(chance, False, now_s)
        now_s += chance.uniform(2 * DEBOUNCE_S, 2)
        meant.append(LONG if is_long else SHORT)
    return contacts, meant


@pytest.mark.parametrize("reader", ["prompt", "late", "never looks at the clock"])
def test_presses_are_told_as_they_are_meant_however_the_contact_bounces(reader: str) -> None:
    for seed in range(200):
        chance = random.Random(seed)
        contacts, meant = generated(chance)
        presses, told = new(), []
        for contact, following in zip(contacts, [*contacts[1:], Contact(False, 1e6)], strict=True):
            told += presses.changed(contact)
            while reader == "prompt" and (due_s := presses.due_s) is not None and due_s < following.at_s:
                told += presses.passed(due_s)
            if reader == "late":
                told += presses.passed(chance.uniform(contact.at_s, following.at_s))
        told += presses.passed(1e6)
        assert told == meant, f"seed {seed}"


def test_a_long_press_is_told_while_it_is_held_and_once() -> None:
    presses = new()
    assert presses.changed(Contact(True, 10.0)) == []
    assert presses.due_s == 10.0 + DEBOUNCE_S
    assert presses.passed(presses.due_s) == []
    assert presses.due_s == 10.0 + LONG_S
    assert presses.passed(11.49) == []
    assert presses.passed(11.5) == [LONG]
    assert presses.due_s is None and presses.passed(100.0) == []
    assert presses.changed(Contact(False, 200.0)) == [] == presses.passed(201.0)
    assert presses.due_s is None


def test_a_button_that_was_held_when_it_was_opened_is_no_press() -> None:
    presses = new()
    assert presses.changed(Contact(False, 1.0)) == [] == presses.passed(9.0)


def test_a_change_that_was_not_heard_costs_no_more_than_its_press() -> None:
    presses = new()
    for contact in (Contact(True, 1.0), Contact(True, 1.3), Contact(False, 1.4)):
        assert presses.changed(contact) == []
    assert presses.passed(2.0) == [SHORT]
