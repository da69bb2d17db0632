"""What a self-test found, as sentences for the owner of the board and as limits for the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried. `right` is None where either outcome is fine."""

    what: str
    right: bool | None
    text: str

    def __str__(self) -> str:
        verdict = {True: "right", False: "WRONG", None: "found"}[self.right]
        return f"  {verdict}  {self.what}: {self.text}"


@dataclass(slots=True)
class Limits:
    """What this board really does, as far as it was reached."""

    transports: list[str] = field(default_factory=list)  # that gave exact scores
    exact_shifts: list[int] = field(default_factory=list)
    max_height_px: int = 0
    max_width_px: int = 0
    any_width: bool | None = None  # also widths that are no multiple of 8
    frames_until_new: int | None = None  # at most so many frames came after a tile was sent, the tile's own included
    ms_per_tile: float | None = None  # of the size that is configured, all told
    ms_processor: float | None = None  # of these, packing, copying and unpacking
    ms_without: float | None = None  # what one processor takes to compute the tile's |LoB| itself


@dataclass(frozen=True, slots=True)
class Report:
    """The whole self-test. `str` of it is what a person reads."""

    board: str
    findings: tuple[Finding, ...]
    limits: Limits

    @property
    def passed(self) -> bool:
        """Whether the accelerator can be used: nothing that must be right was wrong."""
        return all(each.right is not False for each in self.findings)

    def __str__(self) -> str:
        verdict = "The accelerator can be used." if self.passed else "The accelerator cannot be used as it is."
        return "\n".join([f"Self-test of {self.board}", *map(str, self.findings), verdict])
