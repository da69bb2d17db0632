"""What stands in for the part of pynq's camera driver that is no Python: a C library (pynq 3), or Linux's I2C (pynq 4).

pynq's own classes run as they are, and talk to the emulated sensor through these.
"""

from __future__ import annotations

import errno
import importlib
import itertools
import os
import threading
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from focusrail_drivers.accelerators.kv260_emulator import faults
from focusrail_drivers.accelerators.kv260_emulator.board import Board
from focusrail_drivers.accelerators.kv260_emulator.sensor import I2C_ADDRESS, NoAnswer, library_mode

_I2C_DEVICE = "/dev/i2c-"
_descriptors = itertools.count(1 << 20)  # no real one is so large, and no two boards have the same
_SYSTEM_CONTROL, _STREAMING = 0x3008, 0x02


def install(board: Board) -> None:
    """Let pynq's camera driver, whichever it has, find the emulated sensor."""
    with suppress(ImportError):  # pynq 3
        # Off the board pynq does not import it, and then its hierarchy is not recognised.
        pcam5c: Any = importlib.import_module("pynq.lib.video.pcam5c")
        pcam5c.cffi = SimpleNamespace(FFI=lambda: _Ffi(board))
    with suppress(ImportError):  # pynq 4
        for name in ("mipi_rx", "demosaic", "gamma_lut", "video_proc_ss", "mipi_camera"):
            importlib.import_module(f"pynq.lib.video.{name}")
        sensors: Any = importlib.import_module("pynq.lib.video.sensors.camera_sensor")
        bus = _I2c(board)
        sensors.os = SimpleNamespace(
            open=bus.open, close=bus.close, write=bus.write, read=bus.read, path=os.path, O_RDWR=os.O_RDWR
        )
        sensors.fcntl = SimpleNamespace(ioctl=bus.ioctl)
        ov5640: Any = importlib.import_module("pynq.lib.video.sensors.ov5640")
        sensors.time = ov5640.time = SimpleNamespace(sleep=board.pass_time)


def _setup(board: Board) -> faults.Fault | None:
    """What goes wrong with setting the sensor up; does not come back where that is what goes wrong."""
    fault = board.faults.take_camera_setup()
    if isinstance(fault, faults.CameraSetupHangs):
        threading.Event().wait()
    return fault


class _Ffi:
    """cffi's FFI, for one library."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def cdef(self, _declarations: str) -> None:
        """Nothing to learn."""

    def dlopen(self, name: str) -> _Library:
        if not name.endswith("libpcam5c.so"):
            raise OSError(f"cannot load library {name!r}")
        return _Library(self._board)


class _Library:
    """libpcam5c.so: its one function, by what its source (pcam_mipi.c) does."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def pcam_mipi(self, _bus: int, mode: int, gpio: int, matrix: int, gamma: int, demosaic: int) -> int:
        """Power cycle and set up the sensor in mode 0 (1280x720, 60 Hz) or 1 (1920x1080, 30 Hz); start everything."""
        board = self._board
        for value in (1, 0, 1):
            board.write(gpio, value)
        board.write(gpio + 0x08, 0)
        board.pass_time(0.1)
        board.write(gpio + 0x08, 1)
        board.pass_time(0.05)
        if mode not in {0, 1} or _setup(board) is not None:
            return -1
        try:
            if (board.sensor.read(0x300A), board.sensor.read(0x300B)) != (0x56, 0x40):
                return -1
            for register, value in library_mode(mode).items():
                board.sensor.write(register, value)
        except NoAnswer:
            return -1
        board.pass_time(1.2)  # a hundred and more writes, 10 ms after each
        rows, columns = board.sensor.size
        for block, width_at, height_at in ((matrix, 0x20, 0x28), (gamma, 0x10, 0x18), (demosaic, 0x10, 0x18)):
            board.write(block + width_at, columns)
            board.write(block + height_at, rows)
            board.write(block, 0x81)
        board.sensor.write(_SYSTEM_CONTROL, _STREAMING)
        return 3


class _I2c:
    """/dev/i2c-N as pynq 4 uses it: an address by ioctl, then writes of a register and reads of its value."""

    _SLAVE = 0x0703

    def __init__(self, board: Board) -> None:
        self._board = board
        self._addresses: dict[int, int] = {}
        self._register = 0

    def open(self, path: str, _flags: int) -> int:
        if not path.startswith(_I2C_DEVICE):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        descriptor = next(_descriptors)
        self._addresses[descriptor] = 0
        return descriptor

    def close(self, descriptor: int) -> None:
        self._addresses.pop(descriptor, None)

    def ioctl(self, descriptor: int, request: int, argument: int) -> None:
        if request == self._SLAVE:
            self._addresses[descriptor] = argument

    def write(self, descriptor: int, data: bytes) -> int:
        sensor = self._reached(descriptor)
        self._register = data[0] << 8 | data[1]
        if (self._register, data[2:]) == (_SYSTEM_CONTROL, b"\x82") and _setup(self._board) is not None:
            sensor.power(False)  # from here on it does not answer, until its power is cycled
        if data[2:]:
            sensor.write(self._register, data[2])
        return len(data)

    def read(self, descriptor: int, count: int) -> bytes:
        sensor = self._reached(descriptor)
        return bytes(sensor.read(self._register + place) for place in range(count))

    def _reached(self, descriptor: int) -> Any:
        if self._addresses.get(descriptor) != I2C_ADDRESS:
            raise NoAnswer(errno.EREMOTEIO, os.strerror(errno.EREMOTEIO))
        return self._board.sensor
