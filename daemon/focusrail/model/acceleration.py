"""Which accelerator measures focus, as the stacking process is told."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Acceleration:
    """An accelerator's driver, its options in JSON's own types, and whether the processor may take over from it."""

    driver: str = "cpu"
    options: dict[str, object] = field(default_factory=dict)
    may_fall_back: bool = True
