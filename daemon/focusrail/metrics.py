"""Figures for Prometheus: what has happened since the service began, and how things are when it asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)  # fmt: skip
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from focusrail.capture.events import FrameStored, Paused, Published, Started
from focusrail.worker.messages import Fused, LeftOut

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each that nobody asks for
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 300.0)  # one frame: a webcam's to a long exposure's
_OUTCOMES = ("published", "failed", "aborted")


@dataclass(frozen=True, slots=True)
class Look:
    """How things are now."""

    rig_open: bool
    position_known: bool
    frames_waiting: int
    free_bytes: Mapping[str, int]  # by what the folder is for


class Metrics:
    """Counts what it hears; in a registry of its own, so that several live in one process. From any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._events = self._counter("focusrail_events", "Events told")
        self._stored = self._counter("focusrail_frames_stored", "Frames shot and stored")
        self._fused = self._counter("focusrail_frames_fused", "Frames fused")
        self._left_out = self._counter("focusrail_frames_left_out", "Frames that could not be used")
        self._ended = Counter(
            "focusrail_shoots", "Shoots and stacks that have ended", ["outcome"], registry=self.registry
        )
        for outcome in _OUTCOMES:  # so that each is there before it has happened
            self._ended.labels(outcome)
        self._seconds = Histogram(
            "focusrail_frame_duration_seconds", "From one frame that is stored to the next of the same shoot",
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        ProcessCollector(registry=self.registry)
        self._before_s: float | None = None  # when the frame before was stored

    def _counter(self, name: str, what: str) -> Counter:
        return Counter(name, what, registry=self.registry)

    def hear(self, event: object, now_s: float) -> None:
        """Count an event."""
        self._events.inc()
        match event:
            case FrameStored(before=False):
                self._stored.inc()
                if self._before_s is not None:
                    self._seconds.observe(now_s - self._before_s)
                self._before_s = now_s
            case Started() | Paused():
                self._before_s = None
            case Fused():
                self._fused.inc()
            case LeftOut():
                self._left_out.inc()
            case Published():
                self._ended.labels("published").inc()

    def ended(self, error: str) -> None:
        """Count what has ended without a result, by the class of its error."""
        self._ended.labels("aborted" if error == "ShootAborted" else "failed").inc()

    def text(self, look: Look) -> bytes:
        """All figures, as Prometheus reads them."""
        present = CollectorRegistry()
        present.register(_Gauges(look))
        return generate_latest(self.registry) + generate_latest(present)


class _Gauges(Collector):
    def __init__(self, look: Look) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        look = self._look
        for name, what, value in (
            ("focusrail_rig_open", "1 while the devices are open", look.rig_open),
            ("focusrail_rail_position_known", "1 while the rail knows where it is", look.position_known),
            ("focusrail_frames_waiting", "Frames stored and not yet fused", look.frames_waiting),
        ):
            yield GaugeMetricFamily(name, what, value=float(value))
        free = GaugeMetricFamily("focusrail_free_bytes", "Free for what a folder is for", labels=["folder"])
        for folder, count in look.free_bytes.items():
            free.add_metric([folder], count)
        yield free
