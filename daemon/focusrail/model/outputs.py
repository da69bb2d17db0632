"""What is published beside what always is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Outputs:
    """What takes time that not everybody wants to spend: off unless asked for."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    mesh: bool = False  # surface.glb, the result as a textured mesh
