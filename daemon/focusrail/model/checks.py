"""The checks that the frozen values share. Each raises InvalidValue naming the field."""

from __future__ import annotations

import math
from collections.abc import Iterable

from focusrail.errors import InvalidValue


def finite(field: str, value: float | None) -> None:
    """Refuse NaN and infinities; None passes."""
    if value is not None and not math.isfinite(value):
        raise InvalidValue(field, f"must be a finite number, not {value}")


def positive(field: str, value: float | None) -> None:
    """Refuse what is not above zero; None passes."""
    finite(field, value)
    if value is not None and value <= 0:
        raise InvalidValue(field, f"must be above 0, not {value:g}")


def not_negative(field: str, value: float | None) -> None:
    """Refuse what is below zero; None passes."""
    finite(field, value)
    if value is not None and value < 0:
        raise InvalidValue(field, f"must not be negative, not {value:g}")


def odd(field: str, value: int, *, most: int) -> None:
    """Refuse kernel sizes that are not odd or not in 1..most."""
    if value % 2 == 0 or not 1 <= value <= most:
        raise InvalidValue(field, f"must be an odd number from 1 to {most}, not {value}")


def one_of(field: str, value: str, choices: Iterable[str]) -> None:
    """Refuse what is not among the choices."""
    choices = tuple(choices)
    if value not in choices:
        raise InvalidValue(field, f"must be one of {', '.join(choices)}, not {value!r}")
