from __future__ import annotations

import os
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from focusrail_drivers import registry
from focusrail_drivers.base import ConnectionLost, Contact, DeviceNotFound, DriverError
from focusrail_drivers.buttons import input_device
from focusrail_drivers.buttons.evdev import EvdevButton, KeyContact
from focusrail_drivers.buttons.input_device import InputDevice
from focusrail_drivers.buttons.key_names import CODES, key_name
from focusrail_drivers.buttons.presses import Press, Presses
from focusrail_drivers.buttons.simulated import SimulatedButton
from focusrail_drivers.clock import SystemClock, VirtualClock

WIRE = struct.Struct("@llHHi")  # struct input_event
EV_SYN, EV_KEY, EV_MSC, SYN_REPORT, SYN_DROPPED, KEY_A, KEY_B = 0, 1, 4, 0, 3, 30, 48


@pytest.fixture
def button(tmp_path: Path) -> Iterator[SimulatedButton]:
    made = SimulatedButton(SimulatedButton.Options(tmp_path / "button", bounce_s=0.01, seed=3), VirtualClock())
    assert made.open() == f"simulated button at {tmp_path / 'button'}"
    yield made
    made.close()


def contacts(button: SimulatedButton) -> list[Contact]:
    """All that comes."""
    found = []
    button.wait(0)
    while (contact := button.wait(100.0)) is not None:
        found.append(contact)
        if len(found) > 1 and not button._coming:
            break
    return found


def test_a_simulated_button_is_pressed_by_a_line_and_bounces(button: SimulatedButton, tmp_path: Path) -> None:
    (tmp_path / "button").write_text("\n2.5\n")
    found = contacts(button)
    assert len(found) > 4, "it bounces"
    times = [contact.at_s for contact in found]
    assert times == sorted(times)
    assert [contact.pressed for contact in found] == [n % 2 == 0 for n in range(len(found))]
    presses, told = Presses(debounce_s=0.02, long_s=1.5), []
    for contact in found:
        told += presses.changed(contact)
    assert [*told, *presses.passed(times[-1] + 1)] == [Press.SHORT, Press.LONG]


def test_what_is_no_number_of_seconds_presses_nothing(
    button: SimulatedButton, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "button").write_bytes(b"long\n-1\nnan\n1e9\n\xff\n" + b"x" * 3000)
    assert button.wait(0) is None and button.wait(0) is None
    assert len(caplog.records) == 5


def test_a_simulated_button_is_unplugged_by_removing_it_and_made_anew(button: SimulatedButton, tmp_path: Path) -> None:
    (tmp_path / "button").unlink()
    with pytest.raises(ConnectionLost, match="is gone"):
        button.wait(0)
    button.close()
    button.open()
    (tmp_path / "button").write_text("\n")
    assert contacts(button)


def test_a_simulated_button_takes_nothing_elses_place(tmp_path: Path) -> None:
    (tmp_path / "button").write_text("a letter")
    for path, why in ((tmp_path / "button", "no FIFO"), (tmp_path / "none" / "button", "No such file")):
        with pytest.raises(DeviceNotFound, match=why):
            SimulatedButton(SimulatedButton.Options(path), VirtualClock()).open()
    assert (tmp_path / "button").read_text() == "a letter"


def heard(contact: KeyContact, *events: tuple[float, int, int, int]) -> list[Contact]:
    """What is made of events that come as the kernel writes them."""
    data = b"".join(
        WIRE.pack(int(at_s), round(at_s % 1 * 1e6), kind, code, value) for at_s, kind, code, value in events
    )
    found = [contact.heard(event) for event in input_device.events(data)]
    return [one for one in found if one is not None]


def test_a_key_that_is_held_is_one_press_however_often_it_repeats() -> None:
    contact = KeyContact(frozenset({KEY_B}), list)
    assert heard(
        contact,
        (5.0, EV_MSC, 4, 458757), (5.0, EV_KEY, KEY_B, 1), (5.0, EV_SYN, SYN_REPORT, 0),
        (5.25, EV_KEY, KEY_B, 2), (5.25, EV_SYN, SYN_REPORT, 1), (5.3, EV_KEY, KEY_A, 1), (5.3, EV_SYN, SYN_REPORT, 0),
        (7.5, EV_KEY, KEY_B, 0), (7.5, EV_SYN, SYN_REPORT, 0),
    ) == [Contact(True, 5.0), Contact(False, 7.5)]  # fmt: skip


def test_any_of_several_keys_closes_the_contact() -> None:
    contact = KeyContact(frozenset({KEY_A, KEY_B}), list)
    assert heard(
        contact, (1, EV_KEY, KEY_A, 1), (2, EV_KEY, KEY_B, 1), (3, EV_KEY, KEY_A, 0), (4, EV_KEY, KEY_B, 0)
    ) == [Contact(True, 1.0), Contact(False, 4.0)]


@pytest.mark.parametrize("is_down", [True, False])
def test_where_the_kernel_has_dropped_events_the_device_is_asked(is_down: bool) -> None:
    contact = KeyContact(frozenset({KEY_B}), lambda: [KEY_A, KEY_B] if is_down else [KEY_A])
    events = [
        (1.0, EV_KEY, KEY_B, 1), (2.0, EV_SYN, SYN_DROPPED, 0), (2.0, EV_KEY, KEY_B, 0), (2.0, EV_KEY, KEY_B, 1),
        (2.5, EV_SYN, SYN_REPORT, 0), (3.0, EV_KEY, KEY_B, 0),
    ]  # fmt: skip
    assert heard(contact, *events) == [Contact(True, 1.0), Contact(False, 3.0 if is_down else 2.5)]


def test_a_device_is_read_through_its_file(tmp_path: Path) -> None:
    """All but what a kernel answers about a real one: see test_button_devices."""
    device, button = object.__new__(InputDevice), EvdevButton(EvdevButton.Options(tmp_path / "pedal"), SystemClock())
    device.fd, write = os.pipe()
    os.set_blocking(device.fd, False)
    button._device, button._contact = device, KeyContact(frozenset({KEY_B}), list)
    assert button.wait(0) is None
    os.write(write, WIRE.pack(1, 500_000, EV_KEY, KEY_B, 1) + WIRE.pack(1, 500_000, EV_SYN, SYN_REPORT, 0))
    os.write(write, WIRE.pack(2, 0, EV_KEY, KEY_B, 0))
    assert [button.wait(1), button.wait(1), button.wait(0)] == [Contact(True, 1.5), Contact(False, 2.0), None]
    os.close(write)
    button.close()
    with pytest.raises(ConnectionLost):
        button.wait(0)


def test_keys_have_the_kernels_names() -> None:
    header = Path("/usr/include/linux/input-event-codes.h")
    if not header.exists():
        pytest.skip(f"there is no {header}")
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
    theirs = {name: int(code, 0) for name, code in re.findall(r"#define\s+((?:KEY|BTN)_\w+)\s+(0x[0-9a-f]+|\d+)", text)}
    assert {name: theirs.get(name) for name in CODES} == CODES
    assert (key_name(48), key_name(600)) == ("KEY_B", "600")


def test_a_line_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpiod", None)
    kind = registry.load("buttons", "gpio")
    button = kind(kind.Options(line=17), SystemClock())
    with pytest.raises(DriverError, match=r"gpiod is missing: pip install 'focusrail\[gpio\]'"):
        button.open()
    button.close()
    with pytest.raises(ConnectionLost):
        button.wait(0)
