from __future__ import annotations

import os
import select
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from focusrail_drivers.base import ConnectionLost, DeviceInUse, DeviceNotFound, DeviceTimeout
from focusrail_drivers.transport.serial_line import SerialLine


class Wire:
    """Both ends of a pseudo terminal; `far` is where the device sits."""

    def __init__(self) -> None:
        self.far, self._near = os.openpty()
        tty.setraw(self._near)
        self.port = os.ttyname(self._near)

    def deliver(self, data: bytes) -> None:
        """Send to the near end, and return when it has arrived there."""
        os.write(self.far, data)
        assert select.select([self._near], [], [], 2.0)[0]

    def unplug(self) -> None:
        for descriptor in (self.far, self._near):
            if descriptor >= 0:
                os.close(descriptor)
        self.far = self._near = -1


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.unplug()


@pytest.fixture
def line(wire: Wire) -> Iterator[SerialLine]:
    line = SerialLine(wire.port, write_timeout_s=0.1)
    line.open()
    yield line
    line.close()


def test_lines_come_whole_and_without_their_ends(wire: Wire, line: SerialLine) -> None:
    os.write(wire.far, b"first\r\n\r\nsecond\nthird\r")
    assert [line.read_line(0.5) for _ in range(3)] == ["first", "second", "third"]
    assert line.read_line(0) is None


def test_half_a_line_is_kept_until_its_rest_arrives(wire: Wire, line: SerialLine) -> None:
    os.write(wire.far, b"<Idle|MP")
    assert line.read_line(0.02) is None
    os.write(wire.far, b"os:1>\r\n")
    assert line.read_line(0.5) == "<Idle|MPos:1>"


def test_noise_neither_raises_nor_hides_the_answer(wire: Wire, line: SerialLine) -> None:
    os.write(wire.far, b"\xff\x00\x80ok\r\n")
    assert line.read_line(0.5) == "ok"


def test_noise_without_line_ends_does_not_fill_the_memory(wire: Wire, line: SerialLine) -> None:
    for _ in range(4):
        os.write(wire.far, b"U" * 2000)
        line.read_line(0.02)
    assert len(line._buffer) <= 4096


def test_what_arrived_before_is_read_with_no_time_left(wire: Wire, line: SerialLine) -> None:
    wire.deliver(b"ok\n")
    assert line.read_line(0) == "ok"


def test_a_line_is_sent_with_its_end(wire: Wire, line: SerialLine) -> None:
    line.write_line("$$")
    assert os.read(wire.far, 10) == b"$$\n"


def test_an_unplugged_cable_is_a_lost_connection(wire: Wire, line: SerialLine) -> None:
    wire.unplug()
    with pytest.raises(ConnectionLost, match="check cable and power"):
        line.read_line(0.5)
    with pytest.raises(ConnectionLost, match=wire.port):
        line.write(b"?")


def test_a_device_that_takes_no_data_is_a_timeout_not_a_hang(wire: Wire, line: SerialLine) -> None:
    with pytest.raises(DeviceTimeout, match="took no data"):
        line.write(b"x" * 1_000_000)


def test_a_missing_port_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DeviceNotFound, match="plug in the cable"):
        SerialLine(str(tmp_path / "ttyUSB0")).open()


@pytest.mark.parametrize("port", ["/dev/null", __file__])
def test_what_is_no_serial_port_is_not_the_device(port: str) -> None:
    with pytest.raises(DeviceNotFound, match="cannot be used as a serial port"):
        SerialLine(port).open()


def test_a_port_is_held_by_one_program_at_a_time(wire: Wire, line: SerialLine) -> None:
    with pytest.raises(DeviceInUse, match="held by another program"):
        SerialLine(wire.port).open()
    line.close()
    again = SerialLine(wire.port)
    again.open()
    again.close()


def test_a_replugged_port_can_be_opened_again(tmp_path: Path) -> None:
    link, before, after = tmp_path / "by-id", Wire(), Wire()
    link.symlink_to(before.port)
    line = SerialLine(str(link))
    line.open()
    before.unplug()
    link.unlink()
    link.symlink_to(after.port)
    line.open()
    line.write(b"?")
    assert os.read(after.far, 1) == b"?"
    line.close()
    after.unplug()


def test_closing_never_raises(wire: Wire, line: SerialLine) -> None:
    wire.unplug()
    line.close()
    line.close()
    with pytest.raises(ConnectionLost, match="not open"):
        line.read_line(0)
    with pytest.raises(ConnectionLost, match="not open"):
        line.write(b"?")
