"""Buttons as Linux has them: keys by uinput, lines by gpio-sim. Both take a kernel that has them, and root."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from focusrail_drivers.base import ConnectionLost, Contact, DeviceInUse, DeviceNotFound
from focusrail_drivers.buttons.evdev import EvdevButton
from focusrail_drivers.buttons.gpio import GpioButton
from focusrail_drivers.clock import SystemClock

CLOCK = SystemClock()
WITHIN_S = 5.0


def waited(button: EvdevButton | GpioButton, *, pressed: bool, after_s: float) -> Contact:
    """The contact's next change, which is such a one, and happened just now by our own clock."""
    contact = button.wait(WITHIN_S)
    assert contact is not None and contact.pressed is pressed
    assert after_s <= contact.at_s <= time.monotonic()
    return contact


def ended(button: EvdevButton | GpioButton) -> None:
    """Wait for the error that ends it."""
    late_s = time.monotonic() + WITHIN_S
    while time.monotonic() < late_s:
        button.wait(0.1)


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pedal() -> Iterator[Any]:
    """A pedal with the keys B and ENTER, just plugged in."""
    evdev = pytest.importorskip("evdev")
    if not os.access("/dev/uinput", os.W_OK):
        pytest.skip("this kernel has no /dev/uinput that we may write")
    with evdev.UInput({evdev.ecodes.EV_KEY: [evdev.ecodes.KEY_B, evdev.ecodes.KEY_ENTER]}, name="a pedal") as made:
        late_s = time.monotonic() + WITHIN_S
        while made.device is None or not Path(made.device.path).exists():
            assert time.monotonic() < late_s
        yield made


def strike(pedal: Any, key: str, value: int) -> float:
    """Move one of its keys; return when that was begun."""
    now_s = time.monotonic()
    pedal.write(1, _code(key), value)
    pedal.syn()
    return now_s


def _code(key: str) -> int:
    evdev = pytest.importorskip("evdev")
    return int(evdev.ecodes.ecodes[key])


def of(pedal: Any, **options: Any) -> EvdevButton:
    return EvdevButton(EvdevButton.Options(Path(pedal.device.path), **options), CLOCK)


def test_a_pedal_is_a_button_until_it_is_unplugged(pedal: Any) -> None:
    button = of(pedal, key="KEY_B")
    assert button.open() == f"KEY_B of a pedal at {pedal.device.path}"
    assert button.wait(0) is None
    strike(pedal, "KEY_ENTER", 1)
    strike(pedal, "KEY_ENTER", 0)
    waited(button, pressed=True, after_s=strike(pedal, "KEY_B", 1))
    strike(pedal, "KEY_B", 2)
    waited(button, pressed=False, after_s=strike(pedal, "KEY_B", 0))
    pedal.close()
    with pytest.raises(ConnectionLost, match="is gone"):
        ended(button)
    button.close()
    with pytest.raises(DeviceNotFound, match="there is no input device"):
        button.open()


def test_a_flood_of_keys_loses_none_that_is_still_down(pedal: Any) -> None:
    button = of(pedal, key="KEY_B")
    button.open()
    strike(pedal, "KEY_B", 1)
    for _ in range(2000):  # more than the kernel keeps
        strike(pedal, "KEY_ENTER", 1)
        strike(pedal, "KEY_ENTER", 0)
    found = [contact for _ in range(2000) if (contact := button.wait(0)) is not None]
    assert [contact.pressed for contact in found] == [True]
    waited(button, pressed=False, after_s=strike(pedal, "KEY_B", 0))
    button.close()


def test_a_pedal_may_be_ours_alone_and_must_have_the_key(pedal: Any) -> None:
    mine, other = of(pedal, grab=True), of(pedal, grab=True)
    assert mine.open().startswith("any key of a pedal")
    with pytest.raises(DeviceInUse, match="grabbed"):
        other.open()
    mine.close()
    other.open()
    other.close()
    with pytest.raises(DeviceNotFound, match=r"no key KEY_F13; it has: KEY_ENTER, KEY_B$"):
        of(pedal, key="KEY_F13").open()


def test_what_is_no_input_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, why in ((tmp_path / "file", "is no input device"), (Path("/dev/null"), "is no input device")):
        with pytest.raises(DeviceNotFound, match=why):
            EvdevButton(EvdevButton.Options(path), CLOCK).open()


# --- lines ------------------------------------------------------------------------------------------------------------


class Chip:
    """A simulated GPIO chip with four lines, one of them with a name."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._bank = folder, folder / "bank0"
        (self._bank / "line2").mkdir(parents=True)
        (self._bank / "num_lines").write_text("4")
        (self._bank / "line2" / "name").write_text("capture")
        (folder / "live").write_text("1")
        self.path = Path("/dev") / (self._bank / "chip_name").read_text().strip()
        device = (folder / "dev_name").read_text().strip()
        self._lines = Path("/sys/devices/platform") / device / self.path.name

    def pull(self, line: int, *, high: bool) -> float:
        """Put a voltage on a line; return when that was begun."""
        now_s = time.monotonic()
        (self._lines / f"sim_gpio{line}" / "pull").write_text("pull-up" if high else "pull-down")
        return now_s

    def unplug(self) -> None:
        if self._bank.exists():
            (self._folder / "live").write_text("0")
            (self._bank / "line2").rmdir()
            self._bank.rmdir()
            self._folder.rmdir()


@pytest.fixture
def chip() -> Iterator[Chip]:
    pytest.importorskip("gpiod")

    configured = Path("/sys/kernel/config/gpio-sim")
    if not configured.is_dir():
        pytest.skip("this kernel has no gpio-sim, or configfs is not mounted")
    (configured / "focusrail").mkdir()
    made = Chip(configured / "focusrail")
    yield made
    made.unplug()


def on(chip: Chip, **options: Any) -> GpioButton:
    return GpioButton(GpioButton.Options(**{"chip": chip.path, "line": "capture", **options}), CLOCK)


def test_a_button_to_ground_closes_and_opens(chip: Chip) -> None:
    button = on(chip)
    assert button.open().startswith(f"button on line capture of {chip.path}")
    assert button.wait(0) is None
    waited(button, pressed=True, after_s=chip.pull(2, high=False))
    waited(button, pressed=False, after_s=chip.pull(2, high=True))
    with pytest.raises(DeviceInUse, match="line 2 of"):
        on(chip, line=2).open()
    button.close()
    other = on(chip, line=2, active_low=False, bias="pull_down")
    other.open()
    waited(other, pressed=True, after_s=chip.pull(2, high=True))
    other.close()


def test_the_kernel_takes_the_bouncing_out(chip: Chip) -> None:
    button = on(chip, debounce_s=0.05)
    button.open()
    for n in range(21):
        began_s = chip.pull(2, high=n % 2 == 1)
    waited(button, pressed=True, after_s=began_s + 0.04)
    assert button.wait(0.1) is None
    button.close()


def test_a_chip_that_is_unplugged_is_gone(chip: Chip) -> None:
    button = on(chip)
    button.open()
    chip.unplug()
    with pytest.raises(ConnectionLost, match="is gone"):
        ended(button)
    button.close()
    with pytest.raises(DeviceNotFound, match="there is no GPIO chip"):
        button.open()


def test_a_line_must_be_there(chip: Chip) -> None:
    for line in ("capture2", 4):
        with pytest.raises(DeviceNotFound, match=f"there is no line {line} of"):
            on(chip, line=line).open()


def test_what_is_no_chip_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("gpiod")
    for path in (tmp_path / "none", Path("/dev/null")):
        with pytest.raises(DeviceNotFound, match="there is no GPIO chip"):
            GpioButton(GpioButton.Options(line=1, chip=path), CLOCK).open()
