"""A serial line that speaks in text lines: deadlines, lenient decoding, and errors that say what to do.

One thread reads: the device's owner. Any thread may write, so that a stop can overtake a wait: writes share a lock,
and a read never holds it.
"""

from __future__ import annotations

import contextlib
import errno
import termios
import threading
import time
from typing import NoReturn

import serial

from focusrail_drivers.base import ConnectionLost, DeviceInUse, DeviceNotFound, DeviceTimeout, DriverError
from focusrail_drivers.pulse import beat

_SLICE_S = 0.05  # the longest single wait: a reader looks up this often, to see that it was asked to stop
_LONGEST_LINE = 4096  # bytes; noise without line ends must not fill the memory
_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t"
_NOISE = bytes(set(range(256)) - set(_PRINTABLE))


class SerialLine:
    """Text lines over a serial port, 8N1, without flow control.

    Making one touches no hardware. `assert_dtr` is what becomes of the lines DTR and RTS once the port is open: an
    Arduino resets on DTR's edge, and some clones stand still in reset for as long as it is asserted.
    """

    def __init__(
        self, port: str, baud: int = 115200, *, write_timeout_s: float = 2.0, assert_dtr: bool = False
    ) -> None:
        self.port = port
        self._baud = baud
        self._write_timeout_s = write_timeout_s
        self._assert_dtr = assert_dtr
        self._serial: serial.Serial | None = None
        self._buffer = bytearray()
        self._writing = threading.Lock()

    def open(self) -> None:
        """Take the port for ourselves. Raises DeviceNotFound, DeviceInUse; opening again closes first."""
        self.close()
        port = serial.Serial()
        port.port = self.port
        port.baudrate = self._baud
        port.timeout = _SLICE_S
        port.write_timeout = self._write_timeout_s
        port.exclusive = True
        # Set before opening: afterwards it would be a pulse, and on a pseudo terminal an ENOTTY.
        port.dtr = port.rts = self._assert_dtr
        try:
            port.open()
            # Closing must not move DTR either, or the next program to open the port resets the controller.
            with contextlib.suppress(termios.error):
                attributes = termios.tcgetattr(port.fileno())
                attributes[2] &= ~termios.HUPCL
                termios.tcsetattr(port.fileno(), termios.TCSANOW, attributes)
        except (OSError, ValueError, OverflowError) as error:
            with contextlib.suppress(OSError):
                port.close()
            raise self._opening_failed(error) from error
        self._buffer.clear()
        self._serial = port

    def _opening_failed(self, error: Exception) -> DriverError:
        number = error.errno if isinstance(error, OSError) else None
        if number in (errno.EAGAIN, errno.EBUSY):
            return DeviceInUse(f"{self.port} is held by another program; close it (see: fuser -v {self.port})")
        if number in (errno.EACCES, errno.EPERM):
            return DeviceNotFound(f"no permission to open {self.port}; add this user to group dialout and log in again")
        if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO):
            return DeviceNotFound(
                f"{self.port} is not there; plug in the cable, switch the controller on, or correct the port "
                "(see: ls /dev/serial/by-id)"
            )
        return DeviceNotFound(f"{self.port} cannot be used as a serial port at {self._baud} baud: {error}")

    def close(self) -> None:
        """Let go of the port. Never raises; closing twice is fine."""
        with self._writing:
            port, self._serial = self._serial, None
            if port is not None:
                with contextlib.suppress(OSError, termios.error):
                    port.close()

    @property
    def is_open(self) -> bool:
        """Whether the port is held; it stays so after the cable was pulled, until `close`."""
        return self._serial is not None

    def write(self, data: bytes) -> None:
        """Send bytes as they are, from any thread. Raises ConnectionLost, DeviceTimeout (the device takes nothing)."""
        with self._writing:
            port = self._serial
            if port is None:
                raise ConnectionLost(f"{self.port} is not open")
            try:
                port.write(data)
            except serial.SerialTimeoutException as error:
                raise DeviceTimeout(
                    f"{self.port} took no data for {self._write_timeout_s:g} s; the device hangs: switch it off and on"
                ) from error
            except (OSError, TypeError, ValueError, termios.error) as error:
                self._lost(error)

    def write_line(self, text: str) -> None:
        """Send one line; `text` is ASCII and brings no line end."""
        self.write(text.encode("ascii") + b"\n")

    def read_line(self, timeout_s: float) -> str | None:
        """The next line, without its end, or None after `timeout_s` seconds. Only the owner thread reads.

        Half a line is kept until its rest arrives. Empty lines are left out, and so are bytes that are no printable
        ASCII: line noise in front of an answer must not hide it. Raises ConnectionLost.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            beat()
            line = self._take_line()
            if line is not None:
                return line
            if time.monotonic() >= deadline_s:
                # A last look: a reader that comes late, or asks with 0, still gets what has arrived already.
                self._receive(0)
                return self._take_line()
            self._receive(1)

    def _take_line(self) -> str | None:
        """A complete line from what has been received, None if there is none."""
        while True:
            ends = [end for end in (self._buffer.find(b"\n"), self._buffer.find(b"\r")) if end >= 0]
            if ends:
                end = min(ends)
            elif len(self._buffer) > _LONGEST_LINE:
                end = _LONGEST_LINE
            else:
                return None
            raw = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            text = raw.translate(None, _NOISE).decode("ascii").strip()
            if text:
                return text

    def _receive(self, at_least: int) -> None:
        """Fetch what has arrived; with `at_least` 1, wait one slice for it."""
        port = self._serial
        if port is None:
            raise ConnectionLost(f"{self.port} is not open")
        try:
            # in_waiting raises a bare OSError after an unplug, read a SerialException: both are OSError. A close()
            # by another thread shows as TypeError or ValueError inside pyserial.
            self._buffer += port.read(max(at_least, port.in_waiting))
        except (OSError, TypeError, ValueError, termios.error) as error:
            self._lost(error)

    def _lost(self, error: BaseException) -> NoReturn:
        raise ConnectionLost(
            f"the connection to {self.port} is lost ({error}); check cable and power, then connect again"
        ) from error
