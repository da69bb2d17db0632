"""A GRBL controller at the other end of a pseudo terminal: firmware, motor and carriage, talking bytes.

Written from gnea/grbl's interface documents and what the real firmware was seen to answer, not from our driver. It has
a planner with real (but sped up) motion, the main loop that a sync, a hold or homing blocks, realtime bytes that
overtake lines, the alarms with their silence, and the faults a cable and a supply can have.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import select
import threading
import time
import tty
from collections.abc import Callable, Mapping
from types import TracebackType

from typing_extensions import Self

_AXES = "XYZ"
_WORD = re.compile(r"([A-Z])([-+]?\d*\.?\d+)")

DEFAULT_SETTINGS: dict[int, float] = {
    0: 10, 1: 255, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 10: 1, 11: 0.01, 12: 0.002, 13: 0, 20: 1, 21: 0, 22: 1, 23: 4,
    24: 60, 25: 600, 26: 10, 27: 1, 30: 1000, 31: 0, 32: 0, 100: 250, 101: 250, 102: 3200, 110: 500, 111: 500, 112: 600,
    120: 10, 121: 10, 122: 50, 130: 200, 131: 200, 132: 60,
}  # fmt: skip


class GrblPeer:
    """One controller with a rail on its Z axis. `with GrblPeer() as peer:` runs it in a thread; `peer.port` opens it.

    carriage_mm is the truth: the distance from the trigger point of the home switch, whatever the firmware believes.
    """

    def __init__(
        self,
        settings: Mapping[int, float] | None = None,
        *,
        hal: bool = False,
        speedup: float = 40.0,
        carriage_mm: float = 8.0,
        start_delay_s: float = 0.0,
        work_offset_mm: float = 0.0,
        origin_at_switch: bool = False,
        reset_on_open_s: float | None = None,
        banner_delay_s: float = 0.0,
    ) -> None:
        self.settings = {**DEFAULT_SETTINGS, **(settings or {})}
        self.hal = hal
        self.speedup = speedup
        self.carriage_mm = carriage_mm
        self.start_delay_s = start_delay_s  # between the ok to a move and its first step: reports say Idle meanwhile
        self.banner_delay_s = banner_delay_s  # what a reset takes; the firmware does nothing else meanwhile
        self.work_offset_mm = work_offset_mm
        self.origin_at_switch = origin_at_switch
        self.switch_works = True
        self.stalled = False  # the controller hangs: reads nothing, says nothing
        self.drop_ok_to = ""  # the ok to a line that begins so gets lost
        self.lose_moves = False  # moves are accepted, and the motor does not turn
        self.dribble = False  # every reply arrives in two halves
        self.banner_text = "GrblHAL 1.1f ['$' or '$HELP' for help]" if hal else "Grbl 1.1h ['$' for help]"
        self.lines: list[str] = []  # all lines received, as executed
        self.realtime = bytearray()  # all realtime bytes received, without `?`
        self.farthest_mm = carriage_mm
        self._changed = threading.Condition(threading.RLock())
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self._ended = threading.Event()
        self._late: list[tuple[float, Callable[[], None]]] = []
        self._power_up()
        if reset_on_open_s is not None:
            self.later(reset_on_open_s, self._welcome)
            self._deaf_until = time.monotonic() + reset_on_open_s
        self._thread = threading.Thread(target=self._run, name="grbl-peer", daemon=True)

    # --- for tests ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(2)
        self._close()

    def wait_until(self, condition: Callable[[GrblPeer], bool], timeout_s: float = 3.0) -> None:
        """Return as soon as `condition(peer)` holds; AssertionError after `timeout_s`."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), timeout_s), f"never happened; {self.describe()}"

    def describe(self) -> str:
        return f"state {self.state}, machine {self.machine_mm:.4f}, carriage {self.carriage_mm:.4f}, lines {self.lines}"

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something in the controller's own time."""
        with self._changed:
            self._late.append((time.monotonic() + delay_s, action))

    @property
    def moving(self) -> bool:
        return self._speed_mm_s > 0

    @property
    def moves(self) -> list[str]:
        return [line for line in self.lines if "G1" in line]

    @property
    def homed_mm(self) -> float:
        """Where rail zero truly lies: at the pull-off."""
        return self.settings[27]

    def unplug(self) -> None:
        """Pull the cable."""
        with self._changed:
            self._close()

    def hardware_reset(self) -> None:
        """The reset pin, or the supply: the motor stops where it is, the firmware starts anew and remembers nothing."""
        with self._changed:
            self._power_up()
            self._welcome()

    def send(self, data: bytes) -> None:
        """Put bytes on the wire that no firmware said."""
        with self._changed:
            self._emit(data)

    def press_hold_button(self) -> None:
        with self._changed:
            self._realtime(ord("!"))

    # --- firmware: start and reset ------------------------------------------------------------------------------------

    def _power_up(self) -> None:
        self.machine_mm = 0.0
        self.homed = False
        self.state = "Alarm" if int(self.settings[22]) & 1 else "Idle"
        self._deaf_until = 0.0
        self._initialise()

    def _initialise(self) -> None:
        self._silent = False
        self._rx = bytearray()
        self._line = bytearray()
        self._planner: list[tuple[float, float]] = []  # (target in machine mm, feed in mm/min)
        self._speed_mm_s = 0.0
        self._starts_s = 0.0
        self._sync = False
        self._homing: list[tuple[float, float]] | None = None  # (carriage target mm, feed) still to do
        self._holding = False
        self._ask = self._ask_all = False
        self._reports = 0
        self._absolute, self._metric, self._feed = True, True, 0.0

    def _welcome(self) -> None:
        self._deaf_until = 0.0
        if self.banner_delay_s:
            time.sleep(self.banner_delay_s)  # the firmware's time, not a test's
        self._say("")
        self._say(self.banner_text)
        if self.state == "Alarm":
            self._say("[MSG:'$H'|'$X' to unlock]")

    def _soft_reset(self) -> None:
        if self._homing is not None:
            self._alarm(6)
        elif self._speed_mm_s > 0:
            self._alarm(3)
        if self._sync:
            self._say("ok")  # the broken-off sync returns like a finished one
        if self.state not in ("Alarm", "Check"):
            self.state = "Idle"
        self._initialise()
        self._welcome()

    def _alarm(self, code: int) -> None:
        self.state = "Alarm"
        self._say(f"ALARM:{code}")
        self._speed_mm_s = 0.0
        self._planner.clear()
        self._homing = None
        if code != 2:
            self.homed = False
        if code in (1, 2):
            self._say("[MSG:Reset to continue]")
            self._silent = True
            self._sync = False

    # --- firmware: bytes ----------------------------------------------------------------------------------------------

    def _realtime(self, byte: int) -> None:
        if byte == ord("?"):
            self._ask = True
            return
        self.realtime.append(byte)
        if byte == 0x18:
            self._soft_reset()
        elif byte == ord("!") and self._homing is None and self.state in ("Idle", "Run"):
            self.state, self._holding = "Hold", True
        elif byte == ord("~") and self.state == "Hold" and self._speed_mm_s == 0:
            self._holding = False
            self.state = "Run" if self._planner else "Idle"
        elif byte == 0x87 and self.hal:
            self._ask = self._ask_all = True

    def _take(self, data: bytes) -> None:
        for byte in data:
            if byte in b"?!~\x18" or byte >= 0x80:
                if not self._silent or byte == 0x18:
                    self._realtime(byte)
            else:
                self._rx.append(byte)

    def _main_loop(self) -> None:
        """Lines, as long as nothing blocks: a hold, a sync, homing, an alarm that wants a reset."""
        while self._rx and not (self._silent or self._sync or self._holding or self._homing is not None):
            byte = self._rx.pop(0)
            if byte in b"\r\n":
                line = self._line.decode("ascii")
                self._line.clear()
                self.lines.append(line)
                answer = "error:11" if len(line) >= 80 else self._execute(line)
                if answer and not (answer == "ok" and self.drop_ok_to and line.startswith(self.drop_ok_to)):
                    self._say(answer)
            elif byte > 0x20:
                self._line += bytes([byte]).upper()

    def _execute(self, line: str) -> str:
        if line.startswith("$"):
            return self._system(line)
        if not line:
            return "ok"
        if self.state == "Alarm":
            return "error:9"
        return self._gcode(line)

    def _system(self, line: str) -> str:
        if line == "$$":
            for number, value in sorted(self.settings.items()):
                self._say(f"${number}={value:.3f}" if number >= 100 else f"${number}={value:g}")
            if self.hal:
                for number in (39, 40, 43, 341, 376, 384, 481, 650):
                    self._say(f"${number}=1")
                self._say("$70=text")
        elif line == "$I":
            letters = "VZ" if self.origin_at_switch else "V"
            self._say("[VER:1.1f.20240101:]" if self.hal else "[VER:1.1h.20190825:]")
            self._say(f"[OPT:{letters},100,1024,3,0]" if self.hal else f"[OPT:{letters},15,128]")
            if self.hal:
                self._say("[FIRMWARE:grblHAL]")
                self._say("[NEWOPT:ENUMS,RT+]")
        elif line == "$X":
            if self.state == "Alarm":
                self._say("[MSG:Caution: Unlocked]")
                self.state = "Idle"
        elif line in ("$H", "$HZ"):
            if not int(self.settings[22]) & 1:
                return "error:5"
            if self.state not in ("Idle", "Alarm"):
                return "error:8"
            self.state = "Home"
            seek, slow, off = self.settings[25], self.settings[24], self.settings[27]
            if self.switch_works:
                self._homing = [(0.0, seek), (off, seek), (0.0, slow), (off, seek)]
            else:
                self._homing = [(self.carriage_mm - 1.5 * self.settings[132], seek)]
            return ""
        else:
            return "error:3"
        return "ok"

    def _gcode(self, line: str) -> str:
        words = _WORD.findall(line)
        if "".join(letter + number for letter, number in words) != line:
            return "error:1"
        codes = {number for letter, number in words if letter == "G"}
        values = {letter: float(number) for letter, number in words if letter != "G"}
        if codes - {"0", "1", "4", "20", "21", "53", "90", "91", "94"}:
            return "error:20"
        self._metric = "21" in codes or ("20" not in codes and self._metric)
        self._absolute = "90" in codes or ("91" not in codes and self._absolute)
        scale = 1.0 if self._metric else 25.4
        if "4" in codes:
            if values.get("P", 0) <= 0:
                return "error:28"
            self._sync = True
            return ""
        self._feed = values.get("F", self._feed) * scale if "F" in values else self._feed
        if "Z" not in values:
            return "ok"
        if not self._feed:
            return "error:22"
        start_mm = self._planner[-1][0] if self._planner else self.machine_mm
        if "53" in codes:
            target_mm = values["Z"] * scale
        elif self._absolute:
            target_mm = values["Z"] * scale + self.work_offset_mm
        else:
            target_mm = start_mm + values["Z"] * scale
        if self.settings[20] and not self._inside(target_mm):
            self._alarm(2)
            return ""
        if self.state == "Check" or self.lose_moves:
            return "ok"
        step = self.settings[102]
        if not self._planner:
            self._starts_s = time.monotonic() + self.start_delay_s
        self._planner.append((round(target_mm * step) / step, min(self._feed, self.settings[112])))
        return "ok"

    def _inside(self, machine_mm: float) -> bool:
        travel = self.settings[132]
        if self.origin_at_switch and self._homes_to_negative:
            return 0 <= machine_mm <= travel
        return -travel <= machine_mm <= 0

    @property
    def _homes_to_negative(self) -> bool:
        return bool(int(self.settings[23]) & 4)

    # --- firmware: reports --------------------------------------------------------------------------------------------

    def _report(self) -> None:
        position_mm = self.machine_mm
        fields = [self.state]
        if self.state == "Hold":
            fields[0] += ":1" if self._speed_mm_s > 0 else ":0"
        mask = int(self.settings[10])
        shown_mm = position_mm if mask & 1 else position_mm - self.work_offset_mm
        fields.append(f"{'MPos' if mask & 1 else 'WPos'}:0.000,0.000,{shown_mm:.3f}")
        if mask & 2 or self.hal:
            fields.append("Bf:100,1023" if self.hal else "Bf:15,128")
        fields.append(f"FS:{self._speed_mm_s * 60:.0f},0")
        if self._reports == 0:
            fields.append(f"WCO:0.000,0.000,{self.work_offset_mm:.3f}")
            self._reports = 10
        else:
            if self._reports == 9:
                fields.append("Ov:100,100,100")
            self._reports -= 1
        if self._ask_all:
            fields.append(f"H:{int(self.homed)},4")
        self._ask_all = False
        self._say("<" + "|".join(fields) + ">")

    def _say(self, text: str) -> None:
        self._emit(text.encode("latin-1") + b"\r\n")

    def _emit(self, data: bytes) -> None:
        if self._master < 0:
            return
        with contextlib.suppress(OSError):
            if self.dribble and len(data) > 3:
                middle = len(data) // 2
                os.write(self._master, data[:middle])
                time.sleep(0.03)  # the wire's time, not a test's
                data = data[middle:]
            os.write(self._master, data)

    # --- motor and carriage -------------------------------------------------------------------------------------------

    def _shift(self, machine_delta_mm: float) -> None:
        """The motor turns: machine coordinates and carriage go together."""
        self.machine_mm += machine_delta_mm
        self.carriage_mm += machine_delta_mm if self._homes_to_negative else -machine_delta_mm
        self.farthest_mm = max(self.farthest_mm, self.carriage_mm)

    def _advance(self, elapsed_s: float) -> None:
        dt = elapsed_s * self.speedup
        if self._homing is not None:
            self._home_on(dt)
            return
        if not self._planner or time.monotonic() < self._starts_s:
            return
        acceleration = self.settings[122]
        if self._holding:
            self._speed_mm_s = max(0.0, self._speed_mm_s - acceleration * dt)
        elif self.state in ("Idle", "Run"):
            self.state = "Run"
            target_mm, feed = self._planner[0]
            ahead_mm = abs(target_mm - self.machine_mm)
            limit = min(feed / 60, math.sqrt(2 * acceleration * ahead_mm))
            self._speed_mm_s = min(self._speed_mm_s + acceleration * dt, limit)
        target_mm = self._planner[0][0]
        ahead_mm = target_mm - self.machine_mm
        step_mm = 1 / self.settings[102]
        travelled_mm = self._speed_mm_s * dt
        if travelled_mm >= abs(ahead_mm) or abs(ahead_mm) < step_mm:
            self._shift(ahead_mm)
            if not self._holding:
                self._planner.pop(0)
                self._speed_mm_s = 0.0
                if not self._planner:
                    self.state = "Idle"
        else:
            self._shift(math.copysign(travelled_mm, ahead_mm))
            if self._holding and self._speed_mm_s == 0:
                self._shift(round(self.machine_mm / step_mm) * step_mm - self.machine_mm)  # a motor stands on a step
        if self.settings[21] and self.carriage_mm < 0:
            self._alarm(1)

    def _home_on(self, dt: float) -> None:
        assert self._homing is not None
        target_mm, feed = self._homing[0]
        travelled_mm = feed / 60 * dt
        ahead_mm = target_mm - self.carriage_mm
        if abs(ahead_mm) > travelled_mm:
            self.carriage_mm += math.copysign(travelled_mm, ahead_mm)
            return
        self.carriage_mm = target_mm
        self._homing.pop(0)
        if self._homing:
            return
        self._homing = None
        if not self.switch_works:
            self._alarm(9)
            self._initialise()
            self._welcome()
            return
        off, travel = self.settings[27], self.settings[132]
        step = self.settings[102]
        home_mm = 0.0 if self.origin_at_switch else (off - travel if self._homes_to_negative else -off)
        self.machine_mm = round(home_mm * step) / step
        self.state, self.homed = "Idle", True
        self._say("ok")

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        before_s = time.monotonic()
        while not self._ended.is_set():
            with contextlib.suppress(OSError, ValueError):
                if self._master >= 0 and not self.stalled:
                    select.select([self._master], [], [], 0.001)
                else:
                    self._ended.wait(0.001)
            with self._changed:
                now_s = time.monotonic()
                elapsed_s, before_s = now_s - before_s, now_s
                for entry in [entry for entry in self._late if entry[0] <= now_s]:
                    self._late.remove(entry)
                    entry[1]()
                if self.stalled or self._master < 0:
                    continue
                self._turn(elapsed_s, now_s)
                self._changed.notify_all()

    def _turn(self, elapsed_s: float, now_s: float) -> None:
        with contextlib.suppress(OSError):
            data = os.read(self._master, 4096)
            if now_s >= self._deaf_until:
                self._take(data)
        self._main_loop()
        # A tick of the step generator is short, whatever the scheduler did to this thread.
        while elapsed_s > 0:
            self._advance(min(elapsed_s, 0.0005))
            elapsed_s -= 0.0005
        if self._sync and not self._planner and not self._holding:
            self._sync = False
            self._say("ok")
        if self._ask and not self._silent and (self._homing is None or self.hal):
            self._ask = False
            self._report()

    def _close(self) -> None:
        for name in ("_master", "_slave"):
            descriptor = getattr(self, name)
            setattr(self, name, -1)
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
