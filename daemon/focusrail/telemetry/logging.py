"""Logging: readable lines on a terminal, JSON lines elsewhere, the libraries' warnings among them.

Nothing happens on import. Every process (the stacking worker too) calls `configure_logging` once, early. Events are
named `noun.past_tense_verb`; what holds for a stretch of work is bound once around it:

    with structlog.contextvars.bound_contextvars(shoot_id=shoot.shoot_id):
        log.info("rail.moved", target_mm=12.5, reached_mm=12.5, took_s=0.4)

A new thread starts without these bindings, unless it is run in a copy of the context.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger


class Stream(Protocol):
    """As much of a text file as logging needs."""

    def write(self, text: str, /) -> object:
        """Take the text."""

    def flush(self) -> object:
        """Let go of what is buffered."""

    def isatty(self) -> bool:
        """Whether a person looks at it."""


Level: TypeAlias = Literal["debug", "info", "warning", "error"]
Format: TypeAlias = Literal["auto", "console", "json"]

# One name for all events: they say themselves what they are about. Below it nothing is filtered a second time.
_LOGGER = "focusrail"


def configure_logging(
    level: Level = "info",
    format: Format = "auto",  # noqa: A002  # as the key of the configuration is called
    *,
    stream: Stream | None = None,
    write_line: Callable[[str], object] | None = None,
) -> None:
    """Send all logs of this process to one place; calling it again replaces what was set before.

    `stream` is where lines go; None: whatever `sys.stderr` is at that moment, so that one that is redirected later
    (by a live display) is followed. `write_line` instead takes each entry as text without its line end (an entry with
    a traceback has several lines), and may be called from any thread: a progress display passes a function that prints
    above itself. `auto` is for people on a terminal or through `write_line`, JSON lines elsewhere. The libraries' own
    logs appear from WARNING up, whatever `level`; Python warnings count as such.
    """
    readable = format == "console" or (format == "auto" and (write_line is not None or _is_terminal(stream)))
    colours = readable and write_line is None and _is_terminal(stream) and not os.environ.get("NO_COLOR")
    handler = _LineHandler(write_line or _writer(stream))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=_for_people(colours) if readable else _for_machines(),
            foreign_pre_chain=_facts(),  # the same facts on entries that come from the libraries
        )
    )
    number = int(getattr(logging, level.upper()))
    structlog.configure(
        processors=[*_facts(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_stdlib_logger,
        cache_logger_on_first_use=False,  # else a logger used before would keep the old configuration
    )
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _LineHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(number, logging.WARNING))
    logging.getLogger(_LOGGER).setLevel(number)
    logging.captureWarnings(True)


class _LineHandler(logging.Handler):
    """Gives each formatted entry to a function. The handler's lock keeps entries whole."""

    def __init__(self, write_line: Callable[[str], object]) -> None:
        super().__init__()
        self._write_line = write_line

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write_line(self.format(record))
        except Exception:  # noqa: BLE001  # the contract of logging: an entry that cannot be written harms nobody
            self.handleError(record)


def _stdlib_logger(*_: object) -> WrappedLogger:
    return logging.getLogger(_LOGGER)


def _writer(stream: Stream | None) -> Callable[[str], object]:
    def write(entry: str) -> None:
        target = sys.stderr if stream is None else stream
        if target is not None:  # pythonw and some daemons have no stderr
            target.write(entry + "\n")
            target.flush()

    return write


def _is_terminal(stream: Stream | None) -> bool:
    target = sys.stderr if stream is None else stream
    return target is not None and target.isatty()


def _facts() -> list[Processor]:
    """What every entry carries: the bound context, its level and its time in UTC."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _for_machines() -> list[Processor]:
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        _time_level_event_first,
        structlog.processors.JSONRenderer(default=str),
    ]


def _for_people(colours: bool) -> list[Processor]:
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        # The plain traceback: the pretty ones show local variables, pixels and all.
        structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback),
    ]


def _time_level_event_first(_logger: WrappedLogger, _name: str, entry: EventDict) -> EventDict:
    """So that a person who looks at JSON lines sees what happened before its details."""
    first = {key: entry[key] for key in ("timestamp", "level", "event") if key in entry}
    return {**first, **entry}
