"""What a self-test found, as sentences for an owner of a board who has never seen the code."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from focusrail_drivers.accelerators.kv260.limits import Identity, Limits

_WIDTH = 100
_INDENT = " " * 8


@dataclass(frozen=True, slots=True)
class Trying:
    """What is being tried now; some of it takes its time."""

    what: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried. `right` is None where either outcome is fine. Texts may lack their full stop."""

    what: str
    right: bool | None
    found: str  # sentences
    to_do: str = ""  # sentences; empty if there is nothing to do

    def __str__(self) -> str:
        verdict = {True: "good", False: "BAD ", None: "note"}[self.right]
        lines = [f"  {verdict}  {self.what}", _indented(_sentence(self.found))]
        if self.to_do:
            lines.append(_indented(_sentence(f"What to do: {self.to_do}")))
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Report:
    """The whole self-test. `str` of it is what a person reads."""

    board: str
    findings: tuple[Finding, ...]
    limits: Limits
    identity: Identity | None = None  # None: the overlay could not even be loaded
    completed: bool = True  # if not, the limits lack what was not tried, and must not be stored

    @property
    def passed(self) -> bool:
        """Whether the accelerator can be used: nothing that must be right was wrong."""
        return all(each.right is not False for each in self.findings)

    @property
    def conclusion(self) -> str:
        """What it comes to, in a sentence or two."""
        if self.passed:
            verdict = "The accelerator can be used."
        else:
            where = next(each.what for each in self.findings if each.right is False)
            verdict = (
                f"The accelerator cannot be used as it is; to be mended first: {where}. "
                "Until then focusrail works without it (accelerator: cpu)."
            )
        if self.identity is not None and self.identity.emulated:
            verdict += " This was an emulated board: it says nothing of a real one, and the times are this computer's."
        return textwrap.fill(verdict, _WIDTH)

    def __str__(self) -> str:
        return "\n".join([f"Self-test of {self.board}", *map(str, self.findings), self.conclusion])


def _sentence(text: str) -> str:
    """With one full stop, whatever error's message it ends with."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _indented(sentences: str) -> str:
    # A path or a command is never broken: it must be possible to copy it.
    return textwrap.fill(
        sentences,
        _WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
