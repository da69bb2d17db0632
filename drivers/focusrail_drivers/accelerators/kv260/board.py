"""The overlay on its device, by pynq alone: opened, recognised, its second filter loaded, its registers at hand.

pynq is imported here and only when a board is opened. Which device it drives is pynq's business: the active one.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from focusrail_drivers.accelerators.kv260.layout import FILTER, Layout, layout_of
from focusrail_drivers.accelerators.kv260.limits import Identity
from focusrail_drivers.accelerators.kv260.registers import Control, Filter2d, PixelConverter, Registers, Switch
from focusrail_drivers.accelerators.kv260.vdma import Vdma
from focusrail_drivers.accelerators.kv260.wiring import Design, Port, WrongOverlay
from focusrail_drivers.base import DeviceNotFound, DeviceTimeout, DriverError
from focusrail_drivers.clock import Clock

_LOADS = 5  # a bitstream, partial ones above all, sometimes times out, and then loads
_DECOUPLER_TIMEOUT_S = 0.1
_KRIA_PYNQ = Path("/usr/local/share/pynq-venv/lib")  # an environment of its own, where pynq_composable has its overlay


class Buffer(Protocol):
    """Memory that the VDMA reaches: pynq's PynqBuffer is one, and is a numpy array besides."""

    @property
    def physical_address(self) -> int:
        """Where it lies in physical memory."""

    def flush(self) -> None:
        """Write the processor's cache to memory."""

    def invalidate(self) -> None:
        """Drop what the processor's cache has of it."""

    def freebuffer(self) -> None:
        """Give it back."""


class Board:
    """An open overlay. One thread owns it."""

    def __init__(self, pynq: Any, overlay: Any, layout: Layout, clock: Clock, *, timeout_s: float) -> None:
        self._pynq, self._overlay, self._layout, self.clock = pynq, overlay, layout, clock
        self.control = Control(
            self._registers(layout.control), decouple_bit=layout.decouple_bit, decoupled_bit=layout.decoupled_bit
        )
        self.switch = Switch(self._registers(layout.switch), layout.switch_outputs)
        self.vdma = self._vdma(layout.vdma, timeout_s)
        self.converters = tuple(PixelConverter(self._registers(path)) for path in (layout.pack, layout.unpack))
        self.first = Filter2d(self._registers(layout.first_filter))
        self.second: Filter2d = self.first  # until the region is loaded
        self.route: dict[int, int] = {}
        self.camera = layout.camera
        self.camera_vdma = None if self.camera is None else self._vdma(self.camera.vdma, timeout_s)
        self.downloads = 0
        self.attention: Callable[[], None] | None = None  # quick, and raises nothing

    def download(self) -> None:
        """Load the whole overlay, then the region; all that was set up in it is gone. Raises DriverError."""
        if self.downloads:  # before that, nobody knows what lies at these addresses
            with suppress(DeviceTimeout):  # then the new bitstream ends what does not end by itself
                self._quiet()
        _load(self._overlay.download, Path(self._overlay.bitfile_name).name)
        self.downloads += 1
        self.load_region()

    def load_region(self) -> None:
        """Load the second filter into its region, cut off from the stream meanwhile. Raises DriverError."""
        layout = self._layout
        partial = self._partial()
        design = Design(partial.with_suffix(".hwh"))
        filters = design.paths(FILTER)
        if len(filters) != 1:
            raise WrongOverlay(f"{design.file.name} has {len(filters)} blocks {FILTER}, not one")
        entry, leaving = (design.boundary(Port(filters[0], name)) for name in ("stream_in", "stream_out"))
        if entry not in layout.into_region or leaving not in layout.out_of_region:
            raise WrongOverlay(f"{design.file.name}: its {FILTER} does not reach the ports of {layout.region}")
        self.control.decouple(True)
        try:
            _load(lambda: self._overlay.pr_download(layout.region, str(partial)), partial.name)
        finally:
            self.recouple()
        path = f"{layout.region}/{filters[0]}"
        if path not in self._overlay.ip_dict:
            raise WrongOverlay(f"{partial.name} is loaded, and still there is no {path}")
        self.second = Filter2d(self._registers(path))
        self.route = {
            layout.into_first: layout.out_of_memory,
            layout.into_region[entry]: layout.out_of_first,
            layout.into_memory: layout.out_of_region[leaving],
        }

    def recouple(self) -> None:
        """Connect the region again. Raises DeviceTimeout if its decoupler does not let go."""
        deadline_s = self.clock.monotonic_s() + _DECOUPLER_TIMEOUT_S
        while True:
            self.control.decouple(False)
            if not self.control.decoupled():
                return
            if self.clock.monotonic_s() > deadline_s:
                raise DeviceTimeout(f"the decoupler of {self._layout.region} still cuts it off")
            self.clock.wait(_DECOUPLER_TIMEOUT_S / 20)

    def allocate(self, shape: tuple[int, ...]) -> Any:
        """An array of bytes (a Buffer) that the VDMA reaches, zeroed. Raises DriverError."""
        with clear_errors():
            buffer = self._pynq.allocate(shape, dtype=np.uint8, target=self._overlay.device, cacheable=1)
        _plain(buffer)[...] = 0
        buffer.flush()
        return buffer

    def hierarchy(self, path: str) -> Any:
        """Pynq's driver of a hierarchy of blocks, made when it is first asked for. Raises DriverError."""
        found: Any = self._overlay
        with clear_errors():
            for name in path.split("/"):
                found = getattr(found, name)
        return found

    def registers(self, path: str) -> Registers:
        """The registers of a block that is there whatever is loaded into the regions. Raises WrongOverlay."""
        return self._registers(path)

    def attend(self) -> None:
        """Between two pieces of a long work: let whoever shares the board's thread look after what it began."""
        if self.attention is not None:
            self.attention()

    def close(self) -> None:
        """Leave the overlay loaded and at rest, as one that takes it over expects it: nothing runs, nothing is routed.

        Raises DeviceTimeout if the VDMA cannot be brought to rest.
        """
        try:
            self._quiet()
        finally:
            self.switch.keep({})
            self.switch.route({})
            self.control.reset()

    @property
    def identity(self) -> Identity:
        """What is loaded on what: what a self-test proves, it proves of this."""
        bitstream = Path(self._overlay.bitfile_name)
        kind = type(self._overlay.device)
        return Identity(
            bitstream.name,
            hashlib.sha256(bitstream.with_suffix(".hwh").read_bytes()).hexdigest(),
            f"{kind.__module__}.{kind.__qualname__}",
            str(self._pynq.__version__),
        )

    def __str__(self) -> str:
        device = getattr(self._overlay.device, "name", "the active device")
        return f"{Path(self._overlay.bitfile_name).name} on {device}{' (emulated)' if self.identity.emulated else ''}"

    def _partial(self) -> Path:
        whole = Path(self._overlay.bitfile_name)
        name = f"{whole.stem}_{self._layout.region.replace('/', '_')}_filter2d_fifo_partial.bit"
        partial = whole.with_name(name)
        if not partial.exists():
            raise DeviceNotFound(f"{partial} is missing: the overlay is not installed in full; install it again")
        return partial

    def _quiet(self) -> None:
        try:
            if self.camera_vdma is not None:
                self.camera_vdma.quiet(receiving_only=True)
        finally:
            self.vdma.quiet()

    def _vdma(self, path: str, timeout_s: float) -> Vdma:
        return Vdma(self._registers(path), self.clock, timeout_s=timeout_s)

    def _registers(self, path: str) -> Registers:
        found = self._overlay.ip_dict.get(path)
        if found is None:
            raise WrongOverlay(f"{Path(self._overlay.bitfile_name).name} has no registers of {path}")
        return self._pynq.MMIO(found["phys_addr"], found["addr_range"], device=self._overlay.device)


def open_board(bitstream: str, region: str, clock: Clock, *, timeout_s: float) -> Board:
    """Load an overlay, by path or by the name of an installed one, with the second filter in `region`.

    Raises DriverError: DeviceNotFound (no pynq, no device, no such file), WrongOverlay, or what loading says.
    """
    pynq = _import_pynq()
    _active_device(pynq)
    bitstream = _beside_pynq(bitstream)
    if Path(bitstream).is_file():  # pynq has no words of its own for what may be wrong with what lies beside it
        layout_of(_design(bitstream), region)
    with clear_errors():
        try:
            overlay = pynq.Overlay(bitstream, download=False)
        except FileNotFoundError as error:
            raise _missing(bitstream, error) from error
        except OSError as error:
            if "does not exist" not in str(error):
                raise
            raise DeviceNotFound(
                f"there is no overlay {bitstream}, neither as a file nor among pynq's installed ones; "
                f"Kria-PYNQ installs cv_dfx_3_pr.bit with pynq_composable, below {_KRIA_PYNQ}"
            ) from error
    # Recognised before it is loaded: a wrong one must not even be tried.
    layout = layout_of(_design(overlay.bitfile_name), region)
    with clear_errors():
        board = Board(pynq, overlay, layout, clock, timeout_s=timeout_s)
    board.download()
    return board


def _beside_pynq(bitstream: str) -> str:
    """The path of an overlay that is named without one and that Kria-PYNQ has installed; else what was given."""
    if Path(bitstream).name != bitstream or Path(bitstream).exists():
        return bitstream
    found = sorted(_KRIA_PYNQ.glob(f"python3*/site-packages/pynq_composable/overlay/{glob.escape(bitstream)}"))
    return str(found[0]) if found else bitstream


def _design(bitstream: str) -> Design:
    return Design(Path(bitstream).with_suffix(".hwh"))


def _missing(bitstream: str, error: FileNotFoundError) -> DeviceNotFound:
    if error.filename == "xclbinutil":
        return DeviceNotFound(
            "pynq needs the program xclbinutil and does not find it; Kria-PYNQ has put it into "
            "/usr/local/share/pynq-venv/bin: add that folder to PATH (Environment=PATH=... in the service)"
        )
    return DeviceNotFound(f"{bitstream}: {error}")


def _load(load: Callable[[], None], name: str) -> None:
    for attempt in range(1, _LOADS + 1):
        try:
            with clear_errors():
                load()
            return
        except FileNotFoundError as error:
            raise _missing(name, error) from error
        except TimeoutError as error:
            if attempt == _LOADS:
                raise DeviceTimeout(f"{name} did not load in {_LOADS} attempts: {error}") from error


def _import_pynq() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pynq  # noqa: PLC0415 - only a board needs it, and importing it looks for one
    except ImportError as error:
        raise DeviceNotFound(
            f"pynq cannot be imported ({error}): make installs it beside focusrail where Python is 3.10 to 3.12, and "
            "so does pip install 'focusrail[kv260]'; it also needs the system's libmagic (Debian: libmagic1)"
        ) from error
    return pynq


def _active_device(pynq: Any) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pynq.Device.active_device
    except RuntimeError as error:
        if "XILINX_XRT" not in os.environ:
            raise DeviceNotFound(
                "pynq sees no FPGA because the variable XILINX_XRT is not set; on a KV260 it is /usr "
                "(sudo env XILINX_XRT=/usr COMMAND, or Environment=XILINX_XRT=/usr in the service)"
            ) from error
        raise DeviceNotFound(
            f"pynq sees no FPGA ({error}): is this a KV260 on which Kria-PYNQ was installed?"
        ) from error


@contextmanager
def clear_errors() -> Iterator[None]:
    """What pynq raises while it reaches for hardware, as DriverError; its warnings about other matters are silent."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (DriverError, FileNotFoundError, TimeoutError):
        raise
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM} or "root" in str(error).lower():
            raise DriverError(f"the FPGA takes orders from root only ({error}); run this as root") from error
        raise DriverError(f"pynq: {error}") from error
    except (RuntimeError, ValueError, MemoryError) as error:
        raise DriverError(f"pynq: {error}") from error


def _plain(buffer: Any) -> npt.NDArray[np.uint8]:
    """The buffer as an ordinary array: slices of pynq's own would take themselves for buffers."""
    return buffer.view(np.ndarray)
