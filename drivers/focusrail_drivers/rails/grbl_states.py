"""What a GRBL controller's state means for the call that waits for it: it stands, it has arrived, an alarm locks it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import NoReturn

from focusrail_drivers.base import OutOfTravel, PositionUnknown, ProtocolError
from focusrail_drivers.clock import Clock
from focusrail_drivers.rails.grbl_geometry import Geometry
from focusrail_drivers.rails.grbl_link import AlarmRaised, GrblLink, Interrupted
from focusrail_drivers.rails.grbl_protocol import SILENT_ALARMS, SOFT_LIMIT_ALARM, Status

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class States:
    """Reads the controller's state for the owner of the line. `halting` is set while somebody wants it to stop."""

    clock: Clock
    answer_timeout_s: float
    halting: threading.Event

    def idle(self, link: GrblLink) -> Status:
        """The status, once it is Idle. Raises Interrupted on a hold, PositionUnknown on a lock, ProtocolError."""
        deadline_s = self.clock.monotonic_s() + self.answer_timeout_s
        while True:
            status = link.query()
            if self.halting.is_set():
                raise Interrupted
            if status.state == "Idle":
                return status
            if status.state in ("Hold", "Door"):
                raise Interrupted(status)
            if status.state in ("Alarm", "Sleep"):
                link.doubt = link.doubt or f"the controller is in state {status.state}"
                raise PositionUnknown(f"{link.doubt}; home first")
            if status.state == "Check" or self.clock.monotonic_s() >= deadline_s:
                raise ProtocolError(f"the controller is in state {status.state}, not Idle; who else is using it?")
            self.clock.wait(_POLL_S, self.halting)

    def arrived(self, link: GrblLink, axis: Geometry, target_mm: float) -> None:
        """Prove the arrival. Bare Idle is no proof: it is also what a move shows that has not begun."""
        machine_mm = link.machine_mm(self.idle(link))
        if link.doubt is not None:
            raise PositionUnknown(f"{link.doubt} during the move; home again")
        if not axis.same(machine_mm, target_mm):
            link.doubt = f"a move to {target_mm:.4f} mm (machine) ended at {machine_mm:.4f} mm"
            raise ProtocolError(f"{link.doubt}; home again")

    def unlock_after(
        self,
        link: GrblLink,
        alarm: AlarmRaised,
        axis: Geometry,
        *,
        start_mm: float | None = None,
        position_mm: float | None = None,
    ) -> NoReturn:
        """Have the controller answer again after an alarm; raise what the alarm means."""
        if alarm.code == SOFT_LIMIT_ALARM and start_mm is not None:
            link.reset(locked_is_fine=True)
            link.command("$X")
            if link.doubt is None and axis.same(link.machine_mm(link.query()), start_mm):
                raise OutOfTravel(
                    f"the controller's soft limits refuse {position_mm:g} mm ({alarm}); nothing has moved. Narrow the "
                    "configured travel, or correct $130 to $132"
                ) from alarm
            link.doubt = link.doubt or str(alarm)
        elif alarm.code in SILENT_ALARMS or not link.wait_for_banner():
            link.reset()
        if self.halting.is_set():  # the alarm was a halt's doing: its reset broke off the homing
            raise Interrupted
        raise PositionUnknown(f"{alarm}; home first") from alarm
