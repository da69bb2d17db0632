"""The capture button: a short press shoots, or goes on after a pause; a long one aborts.

It asks the desk for no more than a browser can, and what the desk refuses is refused to it, too, and told. A press
while frames are made changes nothing: whoever brushes against a rig that shoots alone must not stop it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from focusrail.config.schema import ButtonConfig
from focusrail.desk import Desk
from focusrail.errors import FocusrailError, RigBusy, UnknownRecipe
from focusrail.model.recipe import Recipe
from focusrail_drivers import registry
from focusrail_drivers.base import Button, DriverError
from focusrail_drivers.buttons.presses import Press, Presses
from focusrail_drivers.clock import SystemClock

log = structlog.get_logger(__name__)
_RETRY_S = 2.0  # after a button that is not there
_WAIT_S = 0.25  # at most, until it is seen that the service ends


@dataclass(frozen=True, slots=True)
class ButtonPressed:
    """Somebody has pressed the capture button."""

    press: str  # short or long
    did: str  # capture, resume, abort or halt; empty: it was refused
    shoot_id: str | None
    refused: str  # why


class CaptureButton:
    """Listens to the button in a thread of its own, from `start` to `stop`; what it begins has another."""

    def __init__(self, desk: Desk, config: ButtonConfig, *, retry_s: float = _RETRY_S) -> None:
        """`config.driver` must be set."""
        self._desk, self._config, self._retry_s = desk, config, retry_s
        self._clock = SystemClock()  # what a person does takes the world's time, also on a rig whose time is simulated
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="button", daemon=True)
        self._acting: threading.Thread | None = None
        self._called_off = threading.Event()
        self._complaint = ""

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        self._stop.set()
        self._thread.join()

    # --- the device ---------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except (DriverError, FocusrailError) as error:
                if str(error) != self._complaint:  # said once, however long it is not there
                    self._complaint = str(error)
                    log.warning("button.lost", error=str(error), again_in_s=self._retry_s)
            except Exception:
                log.exception("button.broke")
            self._stop.wait(self._retry_s)

    def _listen(self) -> None:
        assert self._config.driver is not None
        device: Button = registry.load("buttons", self._config.driver)(self._config.options, self._clock)
        try:
            log.info("button.opened", device=device.open())
            self._complaint = ""
            presses = Presses(debounce_s=self._config.debounce_s, long_s=self._config.long_press_s)
            while not self._stop.is_set():
                due_s = presses.due_s
                contact = device.wait(
                    _WAIT_S if due_s is None else min(_WAIT_S, max(0.0, due_s - self._clock.monotonic_s()))
                )
                told = presses.passed(self._clock.monotonic_s()) if contact is None else presses.changed(contact)
                for press in told:
                    self._pressed(press)
        finally:
            device.close()

    # --- what a press does --------------------------------------------------------------------------------------------

    def _pressed(self, press: Press) -> None:
        if press is Press.LONG:
            self._told(press, self._abort)
        elif self._acting is not None and self._acting.is_alive():
            self._tell(ButtonPressed(press.value, "", None, "what the press before this one began is still to begin"))
        else:  # this may take a while, and a long press must be heard meanwhile
            self._called_off.clear()
            self._acting = threading.Thread(
                target=self._told, args=(press, self._begin), name="button-press", daemon=True
            )
            self._acting.start()

    def _told(self, press: Press, act: Callable[[], tuple[str, str | None]]) -> None:
        try:
            did, shoot_id = act()
        except (FocusrailError, DriverError) as error:
            self._tell(ButtonPressed(press.value, "", None, str(error)))
        except Exception:
            log.exception("button.broke")
            self._tell(ButtonPressed(press.value, "", None, "a bug of ours; the log has its traceback"))
        else:
            self._tell(ButtonPressed(press.value, did, shoot_id, ""))

    def _tell(self, event: ButtonPressed) -> None:
        if event.refused:
            log.warning("button.refused", press=event.press, reason=event.refused)
        else:
            log.info("button.pressed", press=event.press, did=event.did, shoot_id=event.shoot_id)
        self._desk.tell(event)

    def _begin(self) -> tuple[str, str]:
        progress = self._desk.status().progress
        if progress is not None and progress.state == "paused":
            return "resume", self._desk.resume(progress.shoot_id)
        shoot_id = self._desk.shoot(self._recipe())
        if self._called_off.is_set():
            self._desk.abort(shoot_id)
            raise RigBusy(f"shoot {shoot_id} was aborted as it began: the button was held meanwhile")
        return "capture", shoot_id

    def _abort(self) -> tuple[str, str | None]:
        """End what is going on; where that is neither shoot nor stack, stop the rail."""
        self._called_off.set()
        progress = self._desk.status().progress
        if progress is None:
            self._desk.halt()
            return "halt", None
        self._desk.abort(progress.shoot_id)
        return "abort", progress.shoot_id

    def _recipe(self) -> Recipe:
        if self._config.recipe is not None:
            return self._desk.recipes.load(self._config.recipe)
        shot = (shoot.recipe for shoot in self._desk.service.journal.shoots() if shoot.recipe is not None)
        recipe = next(shot, None)
        if recipe is None:
            raise UnknownRecipe(
                "nothing was shot yet that could be shot once more: shoot something, or set button.recipe"
            )
        return recipe
