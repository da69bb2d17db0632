"""The sensor and the blocks behind it, set up by whichever driver pynq has for them.

pynq 3 has `Pcam5C`: a C library sets everything up for 1280x720 when the object is made, and nothing of it can be
changed later; the library's second mode is asked for here, by the same call. pynq 4 has `MIPICamera`: Python that talks
I2C, three modes, a few settings. Neither has any deadline. What hangs in here hangs until its process is ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from focusrail_drivers.accelerators.kv260.board import Board, clear_errors
from focusrail_drivers.base import DeviceNotFound, DeviceTimeout, DriverError, SettingRefused
from focusrail_drivers.kv260_mipi.modes import Mode, mode_of

_I2C_LABEL, _USUAL_I2C_BUS = "RPICAM", 6
_USED = "_used_by_focusrail"
_NOT_THERE = (
    "no Pcam 5C answers on the camera connector J9: is it plugged in, the ribbon cable the right way round, and was "
    "the board off meanwhile?"
)


class Pcam(Protocol):
    """A camera whose DMA stands still while it is set up."""

    def set_up(self, mode: Mode) -> str:
        """Reset sensor and blocks, set them to `mode`, let the sensor send; a line that names it.

        Raises DriverError: DeviceNotFound, SettingRefused for a mode that this one has not.
        """

    def write(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Change settings while it runs; those that were changed, as they now are. Raises SettingRefused."""


def pcam_of(board: Board) -> Pcam:
    """The camera of an overlay. Raises DriverError: DeviceNotFound, or what pynq says."""
    if board.camera is None:
        raise DeviceNotFound(f"{board} has no MIPI camera")
    try:
        hierarchy = board.hierarchy(board.camera.hierarchy)
    except DriverError as error:
        why = str(error)
        if "cannot be initialized" in why:
            raise DeviceNotFound(f"{_NOT_THERE} (pynq: {why})") from error
        if "libpcam5c" in why:
            raise DeviceNotFound(f"this pynq was installed without its camera library: {why}") from error
        raise
    kind = type(hierarchy).__name__
    if kind == "Pcam5C":
        return LibraryPcam(board, hierarchy)
    if kind == "MIPICamera":
        return SensorPcam(hierarchy)
    raise DeviceNotFound(f"this pynq has no driver for the camera: it takes {board.camera.hierarchy} for a {kind}")


class LibraryPcam:
    """pynq 3: Pcam5C and libpcam5c.so."""

    _MODES: Mapping[Mode, int] = {mode_of("1280x720@60"): 0, mode_of("1920x1080@30"): 1}

    def __init__(self, board: Board, hierarchy: Any) -> None:
        from pynq.lib.video import pcam5c  # noqa: PLC0415 - exists where the hierarchy is of this kind

        self._board, self._hierarchy = board, hierarchy
        ffi = pcam5c.cffi.FFI()
        ffi.cdef(pcam5c._pcam5c_lib_header)  # noqa: SLF001 - pynq's declaration of its own library
        self._library = ffi.dlopen(str(Path(pcam5c.LIB_SEARCH_PATH) / "libpcam5c.so"))

    def set_up(self, mode: Mode) -> str:
        if mode not in self._MODES:
            raise SettingRefused(
                f"the camera library of pynq 3 has no mode {mode}, only {', '.join(map(str, self._MODES))}"
            )
        just_made = not getattr(self._hierarchy, _USED, False)
        setattr(self._hierarchy, _USED, True)  # pynq keeps this object, and makes no other until the overlay is opened
        if not (just_made and self._MODES[mode] == 0):  # making it has set the sensor up in mode 0
            blocks = self._hierarchy
            registers = (blocks.gpio_ip_reset, blocks.v_proc_sys, blocks.gamma_lut, blocks.demosaic)
            addresses = [block.mmio.array.ctypes.data for block in registers]
            if self._library.pcam_mipi(_i2c_bus(), self._MODES[mode], *addresses) < 0:
                raise DeviceNotFound(_NOT_THERE)
        self._hierarchy.configure(_video_mode(mode))  # three bytes a pixel; the sensor it leaves alone
        return f"Pcam 5C (OV5640), {mode}, by pynq 3's camera library"

    def write(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        for name in settings:
            raise SettingRefused(
                f"{name}: the camera library of pynq 3 has no settings at all; exposure and white balance are automatic"
            )
        return {}


class SensorPcam:
    """pynq 4: MIPICamera and its sensor."""

    def __init__(self, hierarchy: Any) -> None:
        self._hierarchy = hierarchy
        self._settings: dict[str, str] = {}
        if not hasattr(hierarchy.mipi_csi2_rx_subsyst, "configure"):
            # pynq 4.0 binds its driver to version 6.0 of the receiver; the overlay of 2022 has 5.1. The registers that
            # the driver writes are those that pynq 3 lists for 5.1.
            from pynq.lib.video.mipi_rx import MipiRx  # noqa: PLC0415 - exists where the hierarchy is of this kind

            hierarchy.mipi_csi2_rx_subsyst = MipiRx(hierarchy.description["ip"]["mipi_csi2_rx_subsyst"])
        self._write: Mapping[str, Callable[[str], None]] = {
            "awb": self._set_awb,
            "gamma": self._set_gamma,
            "wb_gains": self._set_gains,
        }

    def set_up(self, mode: Mode) -> str:
        try:
            with clear_errors():
                self._hierarchy.configure(_video_mode(mode))
        except TimeoutError as error:
            raise DeviceTimeout(f"the camera's MIPI receiver does not come out of reset: {error}") from error
        except DriverError as error:
            self._forget_sensor()
            if isinstance(error.__cause__, ValueError):
                raise SettingRefused(f"mode {mode}: {error.__cause__}") from error
            if isinstance(error.__cause__, PermissionError):
                raise
            raise DeviceNotFound(f"{_NOT_THERE} ({error})") from error
        self.write(self._settings)
        return f"Pcam 5C ({self._hierarchy.sensor.NAME}), {mode}, by pynq's driver {type(self._hierarchy).__name__}"

    def write(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        for name in settings:
            if name not in self._write:
                raise SettingRefused(
                    f"{name}: pynq's camera driver cannot set this; it has {', '.join(self._write)}, and its sensor "
                    "exposes by itself"
                )
        for name, value in settings.items():
            try:
                self._write[name](value)
            except (ValueError, OSError) as error:
                raise SettingRefused(f"{name}: {value!r}: {error}") from error
        self._settings.update(settings)
        hierarchy = self._hierarchy
        found = {
            "awb": str(hierarchy.sensor.awb),
            "gamma": f"{hierarchy.gamma:g}",
            "wb_gains": ",".join(f"{gain:g}" for gain in hierarchy.wb_gains),
        }
        return {name: found[name] for name in settings}

    def _set_awb(self, value: str) -> None:
        self._hierarchy.sensor.awb = value

    def _set_gamma(self, value: str) -> None:
        self._hierarchy.gamma = float(value)

    def _set_gains(self, value: str) -> None:
        self._hierarchy.wb_gains = tuple(float(each) for each in value.split(","))

    def _forget_sensor(self) -> None:
        """Let pynq look again: it keeps what it once found."""
        sensor = self._hierarchy.sensor
        if sensor is not None:
            with suppress(OSError):
                sensor.close()
            self._hierarchy._sensor = None  # noqa: SLF001 - `close` stops a DMA without a deadline first


def _video_mode(mode: Mode) -> Any:
    from pynq.lib.video.common import VideoMode  # noqa: PLC0415 - pynq is there by now

    return VideoMode(mode.width_px, mode.height_px, 24, fps=mode.frames_per_s)


def _i2c_bus() -> int:
    """The bus that the device tree calls the camera's; pynq 3.0.1 takes 6 without looking."""
    for device in Path("/dev").glob("i2c-*"):
        number = device.name.rpartition("-")[2]
        with suppress(OSError):
            label = Path(f"/sys/bus/i2c/devices/i2c-{number}/of_node/label").read_text(encoding="utf-8")
            if _I2C_LABEL in label:
                return int(number)
    return _USUAL_I2C_BUS
