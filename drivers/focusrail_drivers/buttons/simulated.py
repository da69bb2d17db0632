"""A button that is pressed by writing a line into a FIFO: `echo >button` presses it, `echo 2 >button` holds it for 2 s.

Its contact bounces as a real one: on closing and on opening it opens and closes again some times within a few
milliseconds, each time otherwise.
"""

from __future__ import annotations

import logging
import os
import random
import select
import stat
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from focusrail_drivers.base import ConnectionLost, Contact, DeviceNotFound
from focusrail_drivers.clock import Clock

log = logging.getLogger(__name__)
_PRESS_S = 0.12  # of a finger that is in no hurry
_MOST_BOUNCES = 5
_LONGEST_S = 60.0
_LONGEST_LINE_BYTES = 100


class SimulatedButton:
    """A button of arithmetic. Implements `Button`."""

    @dataclass(frozen=True, slots=True)
    class Options:
        """Where it is pressed, and how it bounces."""

        path: Path  # the FIFO; it is made if it is not there, and the button is unplugged by removing it
        bounce_s: float = 0.004  # as long as the contact bounces at most
        seed: int = 0

    def __init__(self, options: SimulatedButton.Options, clock: Clock) -> None:
        self._options, self._clock = options, clock
        self._random = random.Random(options.seed)
        self._fifo: int | None = None
        self._read = b""
        self._coming: deque[Contact] = deque()

    def open(self) -> str:
        path = self._options.path
        try:
            if not path.exists():
                os.mkfifo(path, 0o660)
            if not stat.S_ISFIFO(path.stat().st_mode):
                raise DeviceNotFound(f"{path} is there, and is no FIFO: name another place in button.options.path")
            # For writing, too: with a writer of its own it does not end whenever another one has written.
            self._fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise DeviceNotFound(f"cannot make a button of {path}: {error.strerror}") from error
        return f"simulated button at {path}"

    def close(self) -> None:
        if self._fifo is not None:
            os.close(self._fifo)
        self._fifo, self._read = None, b""
        self._coming.clear()

    def wait(self, timeout_s: float) -> Contact | None:
        if self._fifo is None or not self._options.path.is_fifo():
            raise ConnectionLost(f"the simulated button at {self._options.path} is gone")
        if not self._coming:
            if select.select([self._fifo], [], [], timeout_s)[0]:
                self._take(self._fifo)
            return None
        away_s = self._coming[0].at_s - self._clock.monotonic_s()
        if away_s > timeout_s:
            self._clock.wait(timeout_s)
            return None
        self._clock.wait(away_s)
        return self._coming.popleft()

    def _take(self, fifo: int) -> None:
        """Read what was written, and foresee what the contact will do for it."""
        *lines, self._read = (self._read + os.read(fifo, 4096)).split(b"\n")
        self._read = self._read[:_LONGEST_LINE_BYTES]
        begins_s = self._clock.monotonic_s()
        for line in lines:
            try:
                held_s = float(line) if line.strip() else _PRESS_S
            except ValueError:
                held_s = -1.0
            if not 0 <= held_s <= _LONGEST_S:
                log.warning("the simulated button takes seconds, and was told %.40r", line)
                continue
            ends_s = begins_s + held_s
            self._coming += [*self._bounce(True, begins_s), *self._bounce(False, ends_s)]
            begins_s = ends_s + 2 * self._options.bounce_s + _PRESS_S

    def _bounce(self, pressed: bool, at_s: float) -> list[Contact]:
        """How the contact comes to rest."""
        times = [
            self._random.uniform(0, self._options.bounce_s) for _ in range(2 * self._random.randint(0, _MOST_BOUNCES))
        ]
        changes = enumerate([0.0, *sorted(times)])
        return [Contact(pressed == (n % 2 == 0), at_s + after_s) for n, after_s in changes]
