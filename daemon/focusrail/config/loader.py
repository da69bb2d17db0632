"""From YAML to checked values. Whatever is wrong is reported at once, one `file:line: key: what is wrong` a line."""

from __future__ import annotations

import difflib
import math
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from focusrail.config import document
from focusrail.config.document import Data, Document, Key
from focusrail.config.keys import driver_at, key_names, type_at
from focusrail.config.schema import Config
from focusrail.errors import ConfigError, InvalidValue
from focusrail.model.method import Method
from focusrail.model.outputs import Outputs
from focusrail.model.recipe import Recipe

_T = TypeVar("_T")
_INSTALLED_SOCKET = Path("/run/focusrail/socket")  # as systemd/configuration.py has it
_LONGEST_VALUE = 60  # characters of a wrong value that a message repeats

# What pydantic says of these is about Python, not about YAML.
_WORDING = {
    "missing": "is required",
    "model_type": "must be a section with keys and values",
    "dataclass_type": "must be a section with keys and values",
    "dict_type": "must be a section with keys and values",
    "mapping_type": "must be a section with keys and values",
    "string_type": "must be text",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "unexpected_keyword_argument": "extra inputs are not permitted",
    "extra_forbidden": "extra inputs are not permitted",
}


def load_config(path: Path) -> Config:
    """The configuration in the file at `path`; an empty file is the simulated rig. Raises ConfigError."""
    return _validated(Config, document.read(path), folder=path.parent)


def load_whereabouts(path: Path) -> Config:
    """Where data and service are, as far as the file tells that, whatever is wrong with it.

    Where it cannot be read at all: where an installed service has its socket, or the usual places. Raises ConfigError.
    """
    try:
        data = document.read(path).data
    except ConfigError:
        data = {"service": {"socket": str(_INSTALLED_SOCKET)}} if _INSTALLED_SOCKET.is_socket() else {}
    kept: dict[str, Data] = {}
    for section, key in (("store", "root"), ("service", "socket")):
        given = data.get(section) if isinstance(data, dict) else None
        if isinstance(given, dict) and isinstance(given.get(key), str):
            kept[section] = {key: given[key]}
    return _validated(Config, Document(str(path), kept, {}), folder=path.parent)


def check_config(text: str, *, shown: str) -> None:
    """A configuration's text is good. Raises ConfigError naming `shown`."""
    _validated(Config, document.parse(text, shown=shown), folder=Path("/"))


def load_recipe(path: Path, *, method: Method | None = None, outputs: Outputs | None = None) -> Recipe:
    """The recipe in a file; the rig's `method` and `outputs` hold where it has none. Raises ConfigError."""
    return _recipe(document.read(path), method, outputs)


def parse_recipe(text: str, *, shown: str, method: Method | None = None, outputs: Outputs | None = None) -> Recipe:
    """The same for a recipe's text. Raises ConfigError naming `shown`."""
    return _recipe(document.parse(text, shown=shown), method, outputs)


def _recipe(source: Document, method: Method | None, outputs: Outputs | None) -> Recipe:
    recipe = _validated(Recipe, source, folder=Path("/"))
    rigs = {"method": method, "outputs": outputs}
    return replace(recipe, **{key: value for key, value in rigs.items() if value and (key,) not in source.lines})  # type: ignore[arg-type]


def shipped_with(name: str) -> Path:
    """A file or folder of config/: that of the checkout which runs, or where a wheel has put it."""
    checkout = Path(__file__).parents[3] / "config" / name
    return checkout if checkout.exists() else Path(sys.prefix, "share/focusrail/config", name)


def default_config_path() -> Path | None:
    """The configuration to use when none is named; None: there is no file, use `Config()`.

    $FOCUSRAIL_CONFIG (also when the file is missing: that must be said, not passed over), the machine's, the user's,
    the one that was installed along.
    """
    named = os.environ.get("FOCUSRAIL_CONFIG")
    if named:
        return Path(named)
    candidates = (
        Path("/etc/focusrail/focusrail.yaml"),
        Path("~/.config/focusrail/focusrail.yaml"),
        shipped_with("focusrail.yaml"),
    )
    return next((path for path in map(_found, candidates) if path), None)


def _found(candidate: Path) -> Path | None:
    try:
        path = candidate.expanduser()
    except RuntimeError:  # a service's user without a home
        return None
    try:
        return path if path.is_file() else None
    except PermissionError:
        return path  # perhaps it is there and is not for us: loading says so


def dump(config: Config) -> str:
    """The configuration with all defaults filled in, as YAML that loads to the same."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _validated(kind: type[_T], source: Document, *, folder: Path) -> _T:
    """The document as a `kind`. Raises ConfigError with all problems in the order of their lines."""
    data = {} if source.data is None else source.data
    try:
        value = _validated_text(TypeAdapter(kind), source, data, {"folder": folder})
        problems = list(_not_finite(value, (), source))
    except ValidationError as error:
        problems = [_problem(kind, source, details) for details in error.errors(include_url=False)]
    if not problems:
        return value
    problems.sort(key=lambda problem: source.line(problem[0]))
    raise ConfigError("\n".join(source.problem(key, message) for key, message in problems))


def _validated_text(adapter: TypeAdapter[_T], source: Document, data: Data, context: dict[str, Path]) -> _T:
    """`data` as the adapter's type. Raises ValidationError.

    Of all types only a choice among numbers, Literal[8, 16], does not read text: what looks like a number there is
    tried as one.
    """
    try:
        return adapter.validate_python(data, context=context)
    except ValidationError as error:
        numbers = {
            details["loc"]: int(details["input"])
            for details in error.errors(include_url=False)
            if details["type"] == "literal_error"
            and details["loc"] in source.lines
            and re.fullmatch("-?[0-9]{1,18}", str(details["input"]))
        }
        if not numbers:
            raise
    given: Any = data
    for key, number in numbers.items():
        given = _replaced(given, key, number)
    return adapter.validate_python(given, context=context)


def _replaced(data: Any, key: Key, value: object) -> Any:
    """A copy of `data` with another value at `key`."""
    if not key:
        return value
    copy = data.copy()
    copy[key[0]] = _replaced(data[key[0]], key[1:], value)
    return copy


def _not_finite(value: object, key: Key, source: Document) -> Iterator[tuple[Key, str]]:
    """The NaN and infinities that the file asks for; one in a driver's defaults is the driver's business."""
    if isinstance(value, float) and not math.isfinite(value) and key in source.lines:
        yield key, f"must be a finite number, not {value}"
    for name in key_names(type(value)):
        yield from _not_finite(getattr(value, name), (*key, name), source)


def _problem(root: Any, source: Document, details: Any) -> tuple[Key, str]:
    """The key path and the sentence for one of pydantic's errors."""
    key: Key = tuple(part for part in details["loc"] if part != "[key]")
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, InvalidValue):
        return (*key, cause.field), cause.message
    if isinstance(cause, ValueError):
        # A driver's dataclass knows nothing of InvalidValue: its messages start with the field's name.
        named = re.match(r"(\w+)[:,]?\s+(.*)", str(cause), re.DOTALL)
        if named and named[1] in key_names(type_at(root, key, source.data)):
            return (*key, named[1]), named[2]
        return key, str(cause)
    kind = details["type"]
    wording = _WORDING.get(kind)
    if wording == "extra inputs are not permitted":
        known = key_names(type_at(root, key[:-1], source.data))
        if driver := driver_at(root, key[:-1], source.data):  # perhaps another one was meant
            wording += f" by the driver {driver}"
        near = difflib.get_close_matches(str(key[-1]), known, n=1)
        return key, f"{wording} (did you mean {near[0]}?)" if near else wording
    if kind == "missing":
        return key, _WORDING[kind]
    given = details["input"]
    if given is None:
        return key, "has no value; give it one, or remove the key"
    message = wording or details["msg"].replace("Input should", "must")
    return key, f"{message}, not {_shown(given)}"


def _shown(given: object) -> str:
    """A wrong value, short enough for a message."""
    if isinstance(given, dict):
        return "a section"
    if isinstance(given, list):
        return "a list"
    text = str(given)
    if len(text) > _LONGEST_VALUE:
        text = text[: _LONGEST_VALUE - 1] + "…"
    return repr(text) if not text or text != text.strip() or not text.isprintable() else text
