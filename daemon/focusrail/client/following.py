"""A shoot or stack of the service, followed by its events until its end, as if it were one of this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from focusrail.capture.events import Published, Skipped, Started
from focusrail.client.wire import Hears, Wire, error_of
from focusrail.errors import FocusrailError, ServiceLost, ShootAborted
from focusrail.event_log import understood

PATIENCE_S = 60.0  # of a watcher with a service that is being started again
_AGAIN_S = 0.5
_OVER = ("published", "failed", "aborted")
CatchUp = Callable[[Mapping[str, Any]], None]


class Following:
    """One shoot or stack, from event number `after` on."""

    def __init__(
        self, wire: Wire, shoot_id: str, after: int, *, listen: Callable[[object], None], hears: Hears
    ) -> None:
        """`listen` gets what it would get from a Service; `hears` every event as it is told."""
        self._wire, self._shoot_id, self._after = wire, shoot_id, after
        self._listen, self._hears = listen, hears

    def to_the_end(self) -> Published:
        """Follow one that is just beginning. Raises what ended it, ServiceLost, which says what becomes of it."""
        try:
            return self._follow(begun=False)
        except ServiceLost as error:
            raise ServiceLost(self._what_becomes_of_it()) from error

    def on_and_on(self, catch_up: CatchUp) -> Published:
        """Follow one that is going on, also over a new start of the service.

        `catch_up` is told how far it has come where something was missed. Raises what ended it, and ServiceLost where
        nobody goes on with it for a minute.
        """
        while True:
            try:
                return self._follow(begun=True)
            except ServiceLost as lost:
                done = self._regained(catch_up, lost)
                if done is not None:
                    return done

    def _follow(self, *, begun: bool) -> Published:
        before: list[Skipped] = []  # is told before the stack has begun
        for number, name, data in self._wire.events(self._after):
            self._after = number
            self._hears(number, name, data)
            if name == "missed":
                begun = True
                done = self._concluded()
                if done is not None:
                    return done
                continue
            if name == "ended":
                if data["shoot_id"] == self._shoot_id:
                    raise error_of(data["error"], data["message"])
                before = []
            event = understood(name, data)
            if isinstance(event, Started | Published) and event.shoot_id != self._shoot_id:
                before = []
                continue
            if isinstance(event, Skipped) and not begun:
                before.append(event)
            begun = begun or isinstance(event, Started)
            if not begun or event is None:
                continue
            for one in (*before, event):
                self._listen(one)
            before = []
            if isinstance(event, Published):
                return event
        raise AssertionError("events end by an error only")

    def _what_becomes_of_it(self) -> str:
        lost = f"the connection to the service at {self._wire.socket} is lost"
        with suppress(FocusrailError):
            progress = self._wire.get("/api/status")["progress"]  # one that was just killed may still be connected to
            if progress is not None and progress["shoot_id"] == self._shoot_id and progress["state"] != "ending":
                return f"{lost}; {self._shoot_id} goes on there: `focusrail watch` shows it"
        return (
            f"{lost}, for the service has ended; what is stored of {self._shoot_id} is safe. When it runs again, it "
            "goes on with a shoot by itself, and `focusrail watch` shows it; "
            f"`focusrail resume {self._shoot_id}` does so, too"
        )

    def _regained(self, catch_up: CatchUp, lost: ServiceLost) -> Published | None:
        """Wait until the service is back and has gone on with it, None, or until it has ended."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            time.sleep(_AGAIN_S)
            with suppress(ServiceLost):
                status = self._wire.get("/api/status")
                progress, self._after = status["progress"], status["last_event"]
                if progress is not None and progress["shoot_id"] == self._shoot_id:
                    catch_up(progress)
                    return None
                done = self._concluded()
                if done is not None:
                    return done
        raise ServiceLost(f"{lost}; {self._shoot_id} has not been gone on with for {PATIENCE_S:g} s") from lost

    def _concluded(self) -> Published | None:
        """How it has ended, as far as what is kept tells; None while it has not."""
        told = self._wire.get(f"/api/shoots/{self._shoot_id}")
        state = told["state"]
        if told["going_on"] or state not in _OVER:
            return None
        if state == "aborted":
            raise ShootAborted(f"shoot {self._shoot_id} was aborted")
        if state == "failed":
            raise FocusrailError(f"shoot {self._shoot_id} has failed: the service's log says why")
        version = told["versions"][-1]
        page = self._wire.get(f"/api/shoots/{self._shoot_id}/versions/{version['version']}/shoot.json")
        data = _as_told(self._shoot_id, version, page)
        self._hears(self._after, "published", data)
        done = understood("published", data)
        assert isinstance(done, Published)
        self._listen(done)
        return done


def _as_told(shoot_id: str, version: Mapping[str, Any], page: Mapping[str, Any]) -> dict[str, Any]:
    """What a publication's event has said, from its manifest."""
    lost = [frame["reason"] for frame in page["frames"] if not frame["used"] and not frame["unwanted"]]
    judged = page["judgement"] or {}
    return {
        "shoot_id": shoot_id, "version": version["version"], "folder": version["folder"], "left_out": lost,
        "left_out_as": ["FrameError"] * len(lost),
        "finished": {
            "size_px": [page["result"]["width_px"], page["result"]["height_px"]],
            "frames_used": sum(frame["used"] for frame in page["frames"]), "warnings": page["warnings"],
            "took_s": sum(page["timings_s"].values()), "peak_memory_bytes": page["peak_memory_bytes"],
            "psnr_db": judged.get("psnr_db"), "ssim": judged.get("ssim"),
        },
    }  # fmt: skip
