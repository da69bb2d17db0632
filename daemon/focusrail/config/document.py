"""A YAML file as plain data that remembers its lines.

Every scalar stays the text that was written: the field it is meant for decides what it is. So specimen 00123 keeps its
zeros, `0.10` its last digit, and `iso: 100` is what the camera calls it, while `yes` is still true for a switch.
Nothing is constructed from tags, and aliases are refused, so that a hostile file costs no more than its own size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from focusrail.errors import ConfigError

Key: TypeAlias = tuple[str | int, ...]
Data: TypeAlias = "str | list[Data] | dict[str, Data] | None"

LARGEST_BYTES = 1 << 20  # of a configuration file; a hundred times what anybody writes
DEEPEST = 20  # levels of nesting; the schema has five

_TAG = "tag:yaml.org,2002:"
_SCALARS = frozenset(_TAG + kind for kind in ("str", "int", "float", "bool", "timestamp", "value", "merge"))


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, and on which line (from 1) each key stands."""

    shown: str  # the file's name as the user gave it
    data: Data
    lines: Mapping[Key, int]

    def line(self, key: Key) -> int:
        """The line of a key (from 1); for a key that is not there, that of its section."""
        return next((self.lines[key[:n]] for n in range(len(key), -1, -1) if key[:n] in self.lines), 1)

    def problem(self, key: Key, message: str) -> str:
        """One line for people: file, line, key, what is wrong."""
        return _problem_line(self.shown, self.line(key), key, message)


def dotted(key: Key) -> str:
    """A key path as people read it: `stacking.method.crop`, `a.list[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def read(path: Path) -> Document:
    """The YAML file at `path`. Raises ConfigError for all that can be wrong with it; an empty file has data None."""
    shown = str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(_printable(f"{shown}: there is no such file")) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(_printable(f"{shown}: cannot be read: {reason}")) from error
    if len(raw) > LARGEST_BYTES:
        raise ConfigError(_printable(f"{shown}: larger than {LARGEST_BYTES >> 20} MiB; this is no configuration file"))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(_printable(f"{shown}:{line}: not UTF-8 text (byte 0x{raw[error.start]:02x})")) from None
    return parse(text, shown=shown)


def parse(text: str, *, shown: str) -> Document:
    """The YAML document in `text`. Raises ConfigError naming `shown` and the line."""
    try:
        node = _compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        reason = error.problem or error.context or "not YAML"
        raise ConfigError(_printable(f"{shown}:{line}: {reason}")) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(_printable(f"{shown}:{line}: {error.reason}")) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # PyYAML lets the last two out for impossible escapes
        raise ConfigError(_printable(f"{shown}:1: not YAML: {error}")) from None
    if node is None:
        return Document(shown, None, {})
    reader = _Reader(shown)
    data = reader.convert(node, ())
    if reader.problems:
        raise ConfigError("\n".join(reader.problems))
    return Document(shown, data, reader.lines)


class _Loader(yaml.SafeLoader):
    """Composes nodes; it never constructs anything."""

    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it untyped
        mark: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not supported", problem_mark=mark)
        if self.depth >= DEEPEST:
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {DEEPEST} levels", problem_mark=mark)
        self.depth += 1
        try:
            node: Node | None = super().compose_node(parent, index)
        finally:
            self.depth -= 1
        return node


def _compose(text: str) -> Node | None:
    loader = _Loader(text)
    try:
        node: Node | None = loader.get_single_node()
        return node
    finally:
        loader.dispose()


class _Reader:
    """From nodes to data, collecting lines and problems on the way."""

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self.lines: dict[Key, int] = {}
        self.problems: list[str] = []

    def convert(self, node: Node, key: Key) -> Data:
        self.lines.setdefault(key, node.start_mark.line + 1)
        if isinstance(node, ScalarNode):
            if node.tag == _TAG + "null":
                return None
            self._expect(node, key, node.tag in _SCALARS)
            text = str(node.value)
            if any("\ud800" <= c <= "\udfff" for c in text):  # what "\ud800" makes; neither file nor journal takes it
                self._problem(node.start_mark.line + 1, key, "half of a surrogate pair is no character")
            return text
        if isinstance(node, SequenceNode):
            self._expect(node, key, node.tag == _TAG + "seq")
            return [self.convert(item, (*key, number)) for number, item in enumerate(node.value)]
        assert isinstance(node, MappingNode)
        self._expect(node, key, node.tag == _TAG + "map")
        return self._mapping(node, key)

    def _mapping(self, node: MappingNode, key: Key) -> Data:
        data: dict[str, Data] = {}
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            if not isinstance(name_node, ScalarNode):
                self._problem(line, key, "a key must be a single word")
                continue
            name = str(name_node.value)
            path = (*key, name)
            if name in data:
                self._problem(line, path, f"given twice, first on line {self.lines[path]}")
                continue
            self.lines[path] = line
            data[name] = self.convert(value_node, path)
        return data

    def _expect(self, node: Node, key: Key, plain: bool) -> None:
        if not plain:
            self._problem(node.start_mark.line + 1, key, f"the tag {node.tag.replace(_TAG, '!!')} is not supported")

    def _problem(self, line: int, key: Key, message: str) -> None:
        self.problems.append(_problem_line(self._shown, line, key, message))


def _problem_line(shown: str, line: int, key: Key, message: str) -> str:
    where = f"{dotted(key)}: " if key else ""
    return _printable(f"{shown}:{line}: {where}{message}")


def _printable(text: str) -> str:
    """One line that any terminal and log can take: control characters and lone surrogates are spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
