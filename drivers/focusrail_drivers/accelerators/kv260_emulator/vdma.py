"""The video DMA (AMD PG020, AXI VDMA 6.3, direct register mode): its registers and the state of both channels.

As the overlay configures it: four frame stores, internal genlock (MM2S follows S2MM), flush on frame sync, 32-bit
addresses. Frames themselves are moved by `pipeline`; a channel knows where the next one lies and when it is to halt.
"""

from __future__ import annotations

from dataclasses import dataclass

RUN, CIRCULAR, RESET, GENLOCK, COUNTED = 0x01, 0x02, 0x04, 0x08, 0x10  # bits of the control register
FRAMES_IRQ, ERROR_IRQ = 0x1000, 0x4000  # the same bits enable in the control and show in the status register
HALTED = 0x01  # bits of the status register
INTERNAL_ERROR, SLAVE_ERROR, DECODE_ERROR = 0x10, 0x20, 0x40
SOF_EARLY, EOL_EARLY, SOF_LATE, EOL_LATE = 0x80, 0x100, 0x800, 0x8000
_ERRORS = INTERNAL_ERROR | SLAVE_ERROR | DECODE_ERROR | SOF_EARLY | EOL_EARLY | SOF_LATE | EOL_LATE
_CLEARED_BY_WRITING = (_ERRORS & ~(SLAVE_ERROR | DECODE_ERROR)) | FRAMES_IRQ | ERROR_IRQ
_CONTROL_AFTER_RESET = 0x00010042
_PARK_PTR = 0x28


@dataclass(frozen=True, slots=True)
class Geometry:
    """What was committed by writing VSIZE: a frame's shape and where the frame stores lie."""

    rows: int
    row_bytes: int
    stride_bytes: int
    addresses: tuple[int, ...]


class Channel:
    """One direction. `in_flight` is a frame that has begun: the channel cannot halt before it has ended."""

    def __init__(self, name: str, frame_stores: int, *, follows: bool) -> None:
        self.name = name
        self._follows = follows
        self._stores = frame_stores
        self.resets = 0
        self.reset()

    def reset(self) -> None:
        """The soft reset: all registers at their defaults, a frame in flight dropped."""
        self.resets += 1
        self.control = _CONTROL_AFTER_RESET
        self.flags = 0
        self.running = False
        self.in_flight = False
        self.geometry: Geometry | None = None
        self.park_ref = 0
        self.store = 0  # being worked on
        self.completed: int | None = None  # the store that was worked on last
        self._broken = False
        self._frames_left = 1
        self._row_bytes = self._stride = self._rows = 0
        self._addresses = [0] * self._stores

    # --- registers ----------------------------------------------------------------------------------------------------

    @property
    def status(self) -> int:
        """The status register."""
        return self.flags | (0 if self.running else HALTED) | self._frames_left << 16

    def clear(self, value: int) -> None:
        """Write the status register: ones clear."""
        self.flags &= ~(value & _CLEARED_BY_WRITING)

    def steer(self, value: int) -> None:
        """Write the control register."""
        if value & RESET:
            self.reset()
            return
        count = max(1, value >> 16 & 0xFF)
        if count != self._frame_count:
            self._frames_left = count
        self.control = value & 0xFF00FFFF | count << 16
        if self._broken:
            self.control &= ~RUN
        elif self.control & RUN and not self.running:
            self.running = True
            self.geometry = None  # nothing moves before VSIZE is written
            self.store = 0
            self._frames_left = count
        elif not self.control & RUN and self.running and not self.in_flight:
            self.running = False

    @property
    def _frame_count(self) -> int:
        return self.control >> 16 & 0xFF

    def read(self, offset: int) -> int:
        """A register of the block VSIZE, HSIZE, STRIDE, addresses; `offset` counts from VSIZE, in bytes."""
        registers = [self._rows, self._row_bytes, self._stride, *self._addresses]
        return registers[offset // 4] if offset // 4 < len(registers) else 0

    def write(self, offset: int, value: int) -> None:
        """A register of the same block; VSIZE commits all of them."""
        place = offset // 4
        if place == 0:
            self._rows = value & 0x1FFF
            if self.running:
                self._commit()
        elif place == 1:
            self._row_bytes = value & 0xFFFF
        elif place == 2:
            self._stride = value & 0x1F00FFFF
        elif place - 3 < self._stores:
            self._addresses[place - 3] = value

    def _commit(self) -> None:
        if not self._rows or not self._row_bytes:
            self.fail(INTERNAL_ERROR, halts=True)
            return
        self.geometry = Geometry(self._rows, self._row_bytes, self._stride & 0xFFFF, tuple(self._addresses))

    # --- frames -------------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether a frame is in flight or may begin."""
        return self.in_flight or self.ready_to_run

    @property
    def ready_to_run(self) -> bool:
        """Whether the next frame begins by itself."""
        return self.running and bool(self.control & RUN) and self.geometry is not None

    def select(self, other: Channel | None = None) -> int:
        """The frame store to work on now; in a circle with genlock, that which the `other` channel has just left."""
        if not self.control & CIRCULAR:
            self.store = self.park_ref % self._stores
        elif other is not None and self.control & GENLOCK and other.completed is not None:
            self.store = other.completed
        return self.store

    def complete(self, avoid: int | None = None) -> None:
        """A frame has ended: count it, go on to the next store, halt if that was asked for.

        `avoid` is the store that the other channel works on: the master of a genlock leaves it alone.
        """
        self.in_flight = False
        self.completed = self.store
        led = self._follows and self.control & GENLOCK  # then the other channel says which comes next
        if self.control & CIRCULAR and not led:
            self.store = (self.store + 1) % self._stores
            if self.control & GENLOCK and self.store == avoid:
                self.store = (self.store + 1) % self._stores
        self._frames_left -= 1
        if not self._frames_left:
            self.flags |= FRAMES_IRQ
            self._frames_left = self._frame_count
            if self.control & COUNTED:
                self.control &= ~RUN
        if not self.control & RUN:
            self.running = False

    def fail(self, bits: int, *, halts: bool) -> None:
        """Show error bits; an error that halts the channel lasts until its reset."""
        self.flags |= bits | ERROR_IRQ
        if halts:
            self._broken = True
            self.in_flight = False
            self.running = False
            self.control &= ~RUN

    @property
    def interrupt(self) -> bool:
        """The channel's interrupt line."""
        return bool(self.flags & self.control & (FRAMES_IRQ | ERROR_IRQ))


class Vdma:
    """Both channels behind one window of registers; or one, where it was built without MM2S."""

    def __init__(self, frame_stores: int, *, sends: bool = True) -> None:
        self._sends = sends
        self.mm2s = Channel("MM2S", frame_stores, follows=True)
        self.s2mm = Channel("S2MM", frame_stores, follows=False)

    def read(self, offset: int) -> int:
        """A register."""
        if not self._sends and self._is_of_sender(offset):
            return 0
        mm2s, s2mm = self.mm2s, self.s2mm
        if offset == _PARK_PTR:
            return mm2s.park_ref | s2mm.park_ref << 8 | mm2s.store << 16 | s2mm.store << 24
        for base, channel in ((0x00, mm2s), (0x30, s2mm)):
            if offset == base:
                return channel.control
            if offset == base + 4:
                return channel.status
        if 0x50 <= offset < 0xA0:
            return mm2s.read(offset - 0x50)
        return s2mm.read(offset - 0xA0) if offset >= 0xA0 else 0

    def write(self, offset: int, value: int) -> None:
        """A register."""
        if not self._sends and self._is_of_sender(offset):
            return
        if offset == _PARK_PTR:
            self.mm2s.park_ref = value & 0x1F
            self.s2mm.park_ref = value >> 8 & 0x1F
        for base, channel in ((0x00, self.mm2s), (0x30, self.s2mm)):
            if offset == base:
                channel.steer(value)
            elif offset == base + 4:
                channel.clear(value)
        if 0x50 <= offset < 0xA0:
            self.mm2s.write(offset - 0x50, value)
        elif offset >= 0xA0:
            self.s2mm.write(offset - 0xA0, value)

    @staticmethod
    def _is_of_sender(offset: int) -> bool:
        return offset in {0x00, 0x04} or 0x50 <= offset < 0xA0
