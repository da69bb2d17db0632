"""One channel of the video DMA, by its registers, with a deadline on every wait (pynq's own driver has none)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from focusrail_drivers.accelerators.kv260.registers import Registers
from focusrail_drivers.base import DeviceTimeout, ProtocolError
from focusrail_drivers.clock import Clock

FRAME_STORES = 4
_POLL_S = 0.0002
_HALTED, _FRAME_DONE = 0x0001, 0x1000
_IDLE = 0x0001_1080  # not running; a frame counts as one; genlock from inside, as pynq leaves it
_RESET = 0x0000_0004
_FATAL = {  # bits of the status register, PG020 tables 2-11 and 2-18
    0x0020: "memory refused the access (slave error)",
    0x0040: "no memory at this address (decode error)",
}
_SPOILT = {  # of these it recovers by itself with the next start of frame; they also come up when a stream begins
    0x0010: "internal error",
    0x0080: "frame shorter than set",
    0x0100: "line shorter than set",
    0x0800: "frame longer than set",
    0x8000: "line longer than set",
}
_CLEAR = sum(_FATAL) | sum(_SPOILT) | _FRAME_DONE | 0x6000
PARKED = 0x0001_1089  # what pynq starts a sending channel with: repeats one store for ever
CIRCULAR = 0x0001_1083  # what pynq starts a receiving channel with: store after store
PARKED_RECEIVING = 0x0001_1081  # as circular, but fills the store that the park pointer names, again and again
ONE_FRAME = 0x0001_1093  # as circular, but halts after one frame (FrameCntEn)


@dataclass(frozen=True, slots=True)
class _Map:
    control: int
    status: int
    lines: int
    line_bytes: int
    stride: int
    addresses: int
    name: str


_SENDING = _Map(0x00, 0x04, 0x50, 0x54, 0x58, 0x5C, "memory to pipeline")
_RECEIVING = _Map(0x30, 0x34, 0xA0, 0xA4, 0xA8, 0xAC, "pipeline to memory")
_PARK = 0x28


class Look(NamedTuple):
    """What a channel did since it was last looked at."""

    done: bool  # finished at least one frame, and showed no error meanwhile
    spoilt: bool  # showed an error


class Channel:
    """One direction of the VDMA."""

    def __init__(self, registers: Registers, where: _Map, clock: Clock, *, timeout_s: float) -> None:
        self._registers, self._at, self._clock, self._timeout_s = registers, where, clock, timeout_s
        self.last_error = ""

    def start(self, control: int, addresses: Sequence[int], *, line_bytes: int, lines: int) -> None:
        """Run over frame stores at physical `addresses` (as many as it has). Raises DeviceTimeout."""
        for index, address in enumerate(addresses):
            self._registers.write(self._at.addresses + 4 * index, address)
        self._registers.write(self._at.line_bytes, line_bytes)
        self._registers.write(self._at.stride, line_bytes)
        self._registers.write(self._at.status, _CLEAR)
        self._registers.write(self._at.control, control)
        self._wait(lambda: not self.halted(), "start")
        self._registers.write(self._at.lines, lines)  # this commits all of the above

    def stop(self) -> None:
        """Finish the transfer in hand and halt. Raises DeviceTimeout: a stalled stream never ends its frame."""
        self._registers.write(self._at.control, _IDLE)
        self._wait(self.halted, "stop")

    def reset(self) -> None:
        """Drop whatever is in hand. Raises DeviceTimeout."""
        self._registers.write(self._at.control, _RESET)
        self._wait(lambda: not self._registers.read(self._at.control) & _RESET and self.halted(), "come out of reset")

    def halted(self) -> bool:
        """Whether the channel stands still."""
        return bool(self._registers.read(self._at.status) & _HALTED)

    def frame_done(self) -> bool:
        """Whether a frame has been finished without error since this was last asked.

        Raises ProtocolError if the VDMA cannot reach its memory; any other error spoils a frame and is kept as words.
        """
        return self.look().done

    def look(self) -> Look:
        """What happened since this, or `frame_done`, was last asked. Raises as `frame_done`."""
        status = self._registers.read(self._at.status)
        if status & _CLEAR:
            self._registers.write(self._at.status, status & _CLEAR)
        fatal, spoilt = ([what for bit, what in table.items() if status & bit] for table in (_FATAL, _SPOILT))
        if fatal or spoilt:
            self.last_error = f"VDMA, {self._at.name}: {', '.join(fatal + spoilt)} (status 0x{status:08x})"
        if fatal:
            raise ProtocolError(self.last_error)
        return Look(bool(status & _FRAME_DONE) and not spoilt, bool(spoilt))

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        deadline_s = self._clock.monotonic_s() + self._timeout_s
        while not done():
            if self._clock.monotonic_s() > deadline_s:
                raise DeviceTimeout(f"VDMA, {self._at.name}: did not {what} within {self._timeout_s:g} s")
            self._clock.wait(_POLL_S)


class Vdma:
    """Both channels, and what they share."""

    def __init__(self, registers: Registers, clock: Clock, *, timeout_s: float) -> None:
        self._registers = registers
        self.sending = Channel(registers, _SENDING, clock, timeout_s=timeout_s)
        self.receiving = Channel(registers, _RECEIVING, clock, timeout_s=timeout_s)

    def park_sending(self, store: int) -> None:
        """Let the sending channel repeat this frame store, from its next frame on."""
        self._registers.write(_PARK, (self._registers.read(_PARK) & ~0x1F & 0xFFFF_FFFF) | store)

    def park_receiving(self, store: int) -> None:
        """Let a receiving channel that is parked fill this frame store, from its next frame on."""
        self._registers.write(_PARK, (self._registers.read(_PARK) & ~0x1F00 & 0xFFFF_FFFF) | store << 8)

    def store_being_received(self) -> int:
        """The frame store that is being filled."""
        return (self._registers.read(_PARK) >> 24) & 0x1F

    def quiet(self, *, receiving_only: bool = False) -> None:
        """Stop and reset both channels. Raises DeviceTimeout if they do not even reset.

        A stalled channel cannot stop, which is no reason not to reset it: so stopping has its deadline and no more.
        `receiving_only` is for a VDMA that was built without its sending half.
        """
        channels = (self.receiving,) if receiving_only else (self.sending, self.receiving)
        for channel in channels:
            with suppress(DeviceTimeout):
                channel.stop()
        for channel in channels:
            channel.reset()
