"""Which keys may stand where, found in the types themselves; for messages that say what was probably meant."""

from __future__ import annotations

import typing
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel

from focusrail.config.document import Key
from focusrail.config.schema import DeviceConfig, options_type
from focusrail_drivers.base import DriverError


def key_names(owner: Any) -> list[str]:
    """The keys of a section: a pydantic model or a dataclass. Anything else has none."""
    if isinstance(owner, type) and issubclass(owner, BaseModel):
        return list(owner.model_fields)
    return [field.name for field in fields(owner)] if isinstance(owner, type) and is_dataclass(owner) else []


def key_type(owner: Any, name: str, data: Any) -> Any:
    """The class of what stands at key `name` of `owner`, None for a plain value; `data` is what the file has there."""
    if name == "options" and _is_device(owner):
        try:
            return options_type(owner.kind, _driver(owner, data))
        except DriverError:
            return None
    if name not in key_names(owner):
        return None
    hint = typing.get_type_hints(owner)[name]
    parts = [part for part in typing.get_args(hint) if part is not type(None)] or [hint]
    return parts[0] if isinstance(parts[0], type) else None


def type_at(root: Any, key: Key, data: Any) -> Any:
    """The class that stands at a key path of `root`, None where there is none; `data` names the drivers."""
    here = root
    for part in key:
        if here is None:
            return None
        here = key_type(here, str(part), data)
        data = data.get(part) if isinstance(data, dict) else None
    return here


def driver_at(root: Any, key: Key, data: Any) -> str | None:
    """The driver whose options stand at a key path of `root`; None if it is no driver's options."""
    owner = type_at(root, key[:-1], data)
    if key[-1:] != ("options",) or not _is_device(owner):
        return None
    for part in key[:-1]:
        data = data.get(part) if isinstance(data, dict) else None
    return _driver(owner, data)


def _is_device(owner: Any) -> bool:
    return isinstance(owner, type) and issubclass(owner, DeviceConfig)


def _driver(owner: Any, data: Any) -> str:
    """The driver that a section names, or the usual one; `data` is what the file has there."""
    named = data.get("driver") if isinstance(data, dict) else None
    return named if isinstance(named, str) else str(owner.model_fields["driver"].default)
