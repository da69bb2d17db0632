"""What the configuration says of a rail on a GRBL controller."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from focusrail_drivers.base import Travel
from focusrail_drivers.rails.grbl_protocol import AXES, Axis

HOME_COMMANDS = ("$H", "$HX", "$HY", "$HZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class GrblOptions:
    """Options of the driver `grbl`. Raises ValueError, whose message begins with the field's name."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    port: str  # best the stable name under /dev/serial/by-id
    travel_max_mm: float  # how far the mechanics reach, from home
    travel_min_mm: float = 0.0
    baud: int = 115200
    axis: Axis = "Z"
    feed_mm_min: float = 120.0
    homing: Literal["switch", "none"] = "switch"
    home_command: str = "$H"  # $HZ and the like home one axis alone, where the firmware was built so
    direction: Literal["auto", "positive", "negative"] = "auto"  # machine coordinates away from home
    trust_position_on_open: bool = False  # False: to every command of the command line the position is new
    # DTR while the port is open. False suits the clones that stand in reset while it is asserted, but an Arduino is
    # then reset by each opening; with True only by the first one after plugging in, as closing leaves DTR as it is.
    assert_dtr: bool = False
    banner_wait_s: float = 3.0  # after opening: a reset Arduino spends 1 to 2 s in its bootloader
    answer_timeout_s: float = 3.0

    def __post_init__(self) -> None:
        if not self.port:
            raise ValueError("port: is empty; name the controller's serial port (see: ls /dev/serial/by-id)")
        if self.baud <= 0:
            raise ValueError(f"baud: {self.baud} is not positive")
        if self.axis not in AXES:
            raise ValueError(f"axis: {self.axis!r} is none of {', '.join(AXES)}")
        if self.homing not in ("switch", "none"):
            raise ValueError(f"homing: {self.homing!r} is neither 'switch' nor 'none'")
        if self.direction not in ("auto", "positive", "negative"):
            raise ValueError(f"direction: {self.direction!r} is none of 'auto', 'positive', 'negative'")
        if self.home_command not in HOME_COMMANDS:
            raise ValueError(f"home_command: {self.home_command!r} is none of {', '.join(HOME_COMMANDS)}")
        for name in ("feed_mm_min", "banner_wait_s", "answer_timeout_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}: {value} is not a positive number")
        for name in ("travel_min_mm", "travel_max_mm"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name}: {getattr(self, name)} is not a number of mm")
        if not self.travel_min_mm < self.travel_max_mm:
            raise ValueError(f"travel_max_mm: {self.travel_max_mm:g} is not more than travel_min_mm")

    @property
    def travel(self) -> Travel:
        """What the configuration gives as the reach of the mechanics, mm from home."""
        return Travel(self.travel_min_mm, self.travel_max_mm)
