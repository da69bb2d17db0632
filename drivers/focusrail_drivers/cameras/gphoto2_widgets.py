"""libgphoto2's configuration widgets, as text. For the helper process `gphoto2_child` only."""

from __future__ import annotations

from typing import Any

import gphoto2 as gp


def choices(widget: Any) -> list[str]:
    """What a widget of choices offers; empty for any other kind."""
    if widget.get_type() not in (gp.GP_WIDGET_RADIO, gp.GP_WIDGET_MENU):
        return []
    return [widget.get_choice(i) for i in range(widget.count_choices())]


def typed(widget: Any, value: str) -> str | float | int:
    """`value` as the widget wants it. Raises ValueError."""
    kind = widget.get_type()
    if kind == gp.GP_WIDGET_RANGE:
        return float(value)
    return int(value) if kind in (gp.GP_WIDGET_TOGGLE, gp.GP_WIDGET_DATE) else value


def text(widget: Any) -> str:
    """The widget's value, as the configuration would write it; empty for none."""
    value = widget.get_value()
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def same(widget: Any, value: str) -> bool:
    """Whether the widget already has this value."""
    if widget.get_type() == gp.GP_WIDGET_RANGE:
        try:
            return abs(float(widget.get_value()) - float(value)) < 1e-4
        except ValueError:
            return False
    return text(widget) == value
