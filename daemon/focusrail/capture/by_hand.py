"""The camera by hand: test shots, and settings that hold until the service ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol, TypeVar

import structlog

from focusrail.capture.live_view import LiveView
from focusrail.capture.rig import Rig
from focusrail.model.recipe import Recipe
from focusrail_drivers.base import Camera, Photograph, SettingRefused
from focusrail_drivers.pulse import when_done

log = structlog.get_logger(__name__)
_T = TypeVar("_T")


class OnRig(Protocol):
    """Does something short with the rig, while nothing else is done with it."""

    def __call__(self, doing: str, work: Callable[[Rig], _T], /) -> _T:
        """Raises RigBusy, DriverError, FocusrailError."""


class CameraByHand:
    """What a person does with the camera between shoots. From any thread."""

    def __init__(self, on_rig: OnRig, live: LiveView, configured: Mapping[str, str]) -> None:
        """`configured`: the settings that a shoot begins with if nothing else is said."""
        self._on_rig, self._live, self._configured = on_rig, live, configured
        self._set: dict[str, str] = {}  # by a person, since the service has begun

    def settings(self, changed: Mapping[str, str] | None = None) -> Mapping[str, str]:
        """What the camera says of itself, after the settings that are `changed` have been written.

        Raises SettingRefused, RigBusy, DriverError.
        """

        def work(camera: Camera) -> Mapping[str, str]:
            if changed:
                camera.configure(changed)
                self._set.update(changed)
            return camera.configure({})

        return self._do("setting the camera" if changed else "asking the camera", work)

    def test_shot(self) -> tuple[Photograph, ...]:
        """The files of an exposure that is not kept. Raises CaptureFailed, RigBusy, DriverError."""
        settings = {**self._configured, **self._set}

        def work(camera: Camera) -> tuple[Photograph, ...]:
            if settings:
                camera.configure(settings)
            return camera.deliver(camera.expose(0))

        return self._do("photographing", work)

    def wished(self, recipe: Recipe) -> Recipe:
        """A recipe with what a person has set, unless it says otherwise itself."""
        return replace(recipe, camera_settings={**self._set, **recipe.camera_settings})

    def prepare(self, rig: Rig) -> None:
        """Set a camera that has just been opened as a shoot would, so that live view shows what will be shot."""
        settings = {**self._configured, **self._set}
        if settings:
            try:
                when_done(rig.camera_thread.submit(rig.camera.configure, settings)).result()
            except SettingRefused as error:  # a shoot will be refused with it; here it would only be in the way
                log.warning("camera.setting_refused", error=str(error))

    def _do(self, doing: str, work: Callable[[Camera], _T]) -> _T:
        """In the camera's thread; live view waits."""

        def run(rig: Rig) -> _T:
            with self._live.aside():
                return when_done(rig.camera_thread.submit(work, rig.camera)).result()

        return self._on_rig(doing, run)
