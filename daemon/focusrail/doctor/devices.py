"""Serial ports, cameras and the FPGA: there, ours to use, and grabbed by nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from focusrail.config.schema import Config
from focusrail.doctor.finding import Finding, may_use, processes, users_of
from focusrail_drivers import registry
from focusrail_drivers.base import DriverError

_SYS_USB = Path("/sys/bus/usb/devices")
_GRABBERS = {
    "gvfs-gphoto2-vo": "systemctl --user mask --now gvfs-gphoto2-volume-monitor",
    "gvfsd-gphoto2": "unmount the camera in the file manager, or log out of the desktop",
}
_PROBERS = {  # open what looks like a modem or a braille display
    "ModemManager": "sudo systemctl disable --now ModemManager",
    "brltty": "sudo apt remove brltty",
}


def rail(config: Config, *, held: bool) -> Iterator[Finding]:
    """The serial port of a rail that has one. `held`: the service has the rig open."""
    port = getattr(config.rail.options, "port", None)
    if not isinstance(port, str) or not port.startswith("/"):
        yield Finding("rail", "good", f"driver {config.rail.driver} needs no port")
        return
    path = Path(port)
    if not path.exists():
        there = ", ".join(serial_ports()) or "none"
        yield Finding(
            "rail", "wrong", f"there is no serial port {port}; there are: {there}",
            "plug in the cable, switch the controller on, or correct rail.options.port (ls /dev/serial/by-id)",
        )  # fmt: skip
        return
    refused = may_use("rail", path, what="the serial port")
    if refused is not None and not held:
        yield refused
        return
    names = processes()
    for pid in [] if held else users_of(path):
        name = names.get(pid, "?")
        do = _PROBERS.get(name, f"end it: kill {pid}")
        yield Finding("rail", "wrong", f"the serial port {port} is held by {name} (process {pid})", do)
    yield Finding("rail", "good", f"the serial port {port} is there")
    for name, do in _PROBERS.items():
        if name in names.values():
            said = f"{name} runs, and opens serial ports that are plugged in"
            yield Finding("rail", "doubtful", said, do)


def serial_ports() -> list[str]:
    """All that are there, by their stable names where they have one."""
    from serial.tools.list_ports import comports  # noqa: PLC0415 - looks through /sys

    stable = {str(path.resolve()): str(path) for path in Path("/dev/serial/by-id").glob("*")}
    return sorted(stable.get(port.device, port.device) for port in comports())


def camera(config: Config, *, held: bool) -> Iterator[Finding]:
    """What the configured camera needs. `held`: the service has the rig open."""
    driver, options = config.camera.driver, config.camera.options
    if driver == "gphoto2":
        yield from _gphoto2(held=held)
    elif driver == "opencv":
        yield from _video(options)
    else:
        yield Finding("camera", "good", f"driver {driver} needs no device")


def _gphoto2(*, held: bool) -> Iterator[Finding]:
    if find_spec("gphoto2") is None:
        yield Finding("camera", "wrong", "the Python package gphoto2 is missing", "pip install 'focusrail[gphoto2]'")
        return
    refused = [may_use("camera", node, what="the camera") for node in _still_image_devices()]
    yield from (one for one in refused if one is not None and not held)
    running = processes().values()
    for name, do in _GRABBERS.items():
        if name in running:
            yield Finding(
                "camera", "wrong" if not held else "doubtful", f"{name} runs, and takes cameras for itself", do
            )
    if held:
        return
    try:
        found = registry.load("cameras", "gphoto2") and registry.find_cameras()
    except DriverError as error:
        yield Finding("camera", "wrong", str(error))
        return
    seen = [f"{one.model} ({one.port})" for one in found if one.driver == "gphoto2"]
    if seen:
        yield Finding("camera", "good", f"seen: {', '.join(seen)}")
    else:
        do = "switch it on, set it to PTP or PC remote, and plug its cable in; it may also be asleep"
        yield Finding("camera", "wrong", "no camera is seen", do)


def _still_image_devices(sys_usb: Path = _SYS_USB) -> Iterator[Path]:
    """The device files of what calls itself a still image device (class 6: PTP)."""
    for interface in sys_usb.glob("*:*/bInterfaceClass"):
        try:
            if interface.read_text().strip() != "06":
                continue
            device = sys_usb / interface.parent.name.partition(":")[0]
            bus, number = (int((device / name).read_text()) for name in ("busnum", "devnum"))
        except (OSError, ValueError):  # unplugged meanwhile
            continue
        node = Path(f"/dev/bus/usb/{bus:03d}/{number:03d}")
        if node.exists():
            yield node


def _video(options: Any) -> Iterator[Finding]:
    source = options.source
    path = Path(f"/dev/video{source}") if isinstance(source, int) else Path(source)
    if not path.is_absolute() or "://" in str(source):
        yield Finding("camera", "good", f"source {source} is no device")
    elif not path.exists():
        there = ", ".join(sorted(str(node) for node in Path("/dev").glob("video*"))) or "none"
        yield Finding(
            "camera", "wrong", f"there is no {path}; there are: {there}",
            "plug it in, or correct camera.options.source (ls /dev/v4l/by-id)",
        )  # fmt: skip
    else:
        yield may_use("camera", path, what="the camera") or Finding("camera", "good", f"{path} is there")


def accelerator(config: Config) -> Iterator[Finding]:
    """The FPGA's helper service, where it is to be used."""
    if config.accelerator.driver != "kv260":
        return
    from focusrail_drivers.fpga_service.client import Connection  # noqa: PLC0415 - only where there is one

    path = config.accelerator.options.socket
    try:
        Connection(path, limit_s=5.0).close()
    except DriverError as error:
        may = config.accelerator.fallback == "cpu"
        do = "systemctl restart focusrail-fpga; until then the processor measures" if may else ""
        yield Finding("accelerator", "doubtful" if may else "wrong", str(error), do)
    else:
        yield Finding("accelerator", "good", f"the FPGA's helper service answers at {path}")
