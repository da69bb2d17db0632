"""From a contact that bounces to presses, by the times of its changes alone.

A change counts once the contact has rested for `debounce_s`, so that neither its bouncing nor a spike from a motor's
cable is a press. A long press is told while the button is still held: whoever holds it feels that it was understood.
"""

from __future__ import annotations

from enum import Enum

from focusrail_drivers.base import Contact


class Press(Enum):
    """What a person has done."""

    SHORT = "short"  # told when the button is let go of
    LONG = "long"  # told while it is held


class Presses:
    """Tells presses of one button. It begins as one that is not pressed."""

    def __init__(self, *, debounce_s: float, long_s: float) -> None:
        self._debounce_s, self._long_s = debounce_s, long_s
        self._closed = False  # the contact, as it was heard last
        self._since_s = 0.0
        self._pressed = False  # the button, its bouncing taken out
        self._pressed_s = 0.0
        self._told = False  # that this press is a long one

    def changed(self, contact: Contact) -> list[Press]:
        """What is certain by the time of a change of the contact, before that change."""
        told = self.passed(contact.at_s)
        if contact.pressed != self._closed:
            self._closed, self._since_s = contact.pressed, contact.at_s
        return told

    def passed(self, now_s: float) -> list[Press]:
        """What is certain by now, if the contact has not changed since."""
        told = []
        if self._closed != self._pressed and now_s >= self._since_s + self._debounce_s:
            self._pressed = self._closed
            if self._pressed:
                self._pressed_s, self._told = self._since_s, False
            elif not self._told:
                told.append(Press.SHORT)
        if self._held and now_s >= self._pressed_s + self._long_s:
            self._told = True
            told.append(Press.LONG)
        return told

    @property
    def due_s(self) -> float | None:
        """When `passed` will have more to tell, if the contact does not change; None: not before it does."""
        if self._closed != self._pressed:
            return self._since_s + self._debounce_s
        return self._pressed_s + self._long_s if self._held else None

    @property
    def _held(self) -> bool:
        return self._pressed and self._closed and not self._told
