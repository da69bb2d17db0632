"""What a person at a terminal sees of a shoot: progress bars while it runs, and where the results are."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from focusrail.capture.events import FrameStored, Merging, Paused, Published, Skipped, Started
from focusrail.worker.messages import Fused, LeftOut, LookedAgain, Memory, Room, Saved, Surveyed

_ENDED = b"\0"  # no signal has this number
_T = TypeVar("_T")
_FILES = {"result": "result.jpg", "depth": "depth.png", "report": "report.html"}


class ProgressDisplay:
    """Bars for the frames shot, registered beforehand and fused; silent where there is no terminal."""

    def __init__(self, *, shooting: bool) -> None:
        console = Console(stderr=True)
        self._shooting = shooting
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._total = 0

    def __enter__(self) -> ProgressDisplay:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, event: object) -> None:
        """Show an event; from any thread."""
        match event:
            case Started(frames=total):
                self._begin(total)
            case Skipped(names=names):
                for name in names:
                    self._say(f"skipped    {name}: not a JPEG, PNG or TIFF file")
            case FrameStored(position_mm=position_mm):
                self._bars.update(self._bar("shooting"), advance=1, note=f"{position_mm:.3f} mm")
            case Paused(paused=paused):
                self._bars.update(self._bar("shooting"), note="paused" if paused else "")
            case Surveyed():
                self._bars.update(self._bar("surveying"), advance=1)
            case Fused() | LeftOut():
                self._bars.update(self._bar("fusing"), advance=1)
            case Room() | Memory():
                self._say_what_is_needed(event)
            case LookedAgain(done=done, total=total) | Saved(done=done, total=total):
                name = "saving" if isinstance(event, Saved) else "composing"
                self._bars.update(self._bar(name), completed=done, total=total)
            case Merging():
                self._bars.update(self._bar("writing"), total=1)
            case Published():
                self._bars.update(self._bar("writing"), total=1, advance=1)

    def catch_up(self, progress: Mapping[str, Any]) -> None:
        """Show what had come before: ProgressTold of the API."""
        self._total = progress["frames"]
        done = progress["fused"] + progress["left_out"]
        if self._shooting:
            self._bars.update(self._bar("shooting"), completed=progress["stored"], total=self._total)
            self._bars.update(self._bar("shooting"), note="paused" if progress["state"] == "paused" else "")
        self._bars.update(self._bar("fusing"), completed=done, total=self._total)

    def _say(self, line: str) -> None:
        self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _begin(self, total: int) -> None:
        self._total = total
        for task in self._tasks.values():  # where a stack is begun again
            self._bars.reset(task, total=total)
        if self._shooting:
            self._bar("shooting")
        self._bar("fusing")

    def _say_what_is_needed(self, event: Room | Memory) -> None:
        usual = isinstance(event, Memory) and not event.in_file_bytes
        if self._bars.console.is_terminal or not usual:  # elsewhere the log says what is usual
            self._say(_needs(event))

    def _bar(self, name: str) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=self._total, note="")
        return self._tasks[name]


def _needs(event: Room | Memory) -> str:
    needed = event.needed_bytes / 1e9
    if isinstance(event, Room):
        return f"needs      {needed:.2f} GB for aligned frames and slabs; {event.free_bytes / 1e9:.2f} GB are free"
    in_file = f": {event.in_file_bytes / 1e9:.2f} GB will lie in a file, which is slower" if event.in_file_bytes else ""
    return f"needs      {needed:.2f} GB of memory; {event.usable_bytes / 1e9:.2f} GB are usable{in_file}"


def interruptible(work: Callable[[], _T], *, abort: Callable[[], None]) -> _T:
    """Run `work` in a thread and return what it returns; Ctrl-C or SIGTERM calls `abort` at once and waits for the end.

    A signal's handler runs between two instructions of the main thread: there it must not be in the middle of driving
    the rail, whose locks `abort` takes. And it raises nothing: a second, impatient Ctrl-C must not break off the first.
    """
    outcome: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            errors.append(error)
        finally:
            with suppress(OSError):  # nobody waits any more
                os.write(happens, _ENDED)

    with _signals() as (happened, happens):
        # Where `abort` itself fails, since a service is stuck, nobody waits for what it was to do.
        thread = threading.Thread(target=run, name="shoot", daemon=True)
        thread.start()
        while os.read(happened, 1) != _ENDED:
            abort()
        thread.join()
    if errors:
        raise errors[0]
    return outcome[0]


@contextmanager
def _signals() -> Iterator[tuple[int, int]]:
    """SIGINT, SIGTERM and SIGHUP write their number into a pipe, for a while: its ends, to read from and to write to.

    Python writes it where the signal arrives. Handlers in Python run only when the main thread gets on, and one that
    waits for a lock or a queue can sleep through a signal (seen with Python 3.13).
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    happened, happens = os.pipe()
    os.set_blocking(happens, False)  # as set_wakeup_fd demands; it holds thousands
    handlers = [signal.signal(number, lambda *_: None) for number in numbers]
    woken_before = signal.set_wakeup_fd(happens, warn_on_full_buffer=False)
    try:
        yield happened, happens
    finally:
        signal.set_wakeup_fd(woken_before)
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
        os.close(happened)
        os.close(happens)


def summary(done: Published) -> str:
    """The lines that end a shoot or stack."""
    width, height = done.finished.size_px
    facts = f"{done.finished.frames_used} frames, {width} x {height} px"
    if done.version > 1:
        facts += f", version {done.version}"
    lines = [f"published  {facts}"]
    if done.finished.psnr_db is not None and done.finished.ssim is not None:
        lines.append(f"truth      PSNR {done.finished.psnr_db:.2f} dB, SSIM {done.finished.ssim:.4f}")
    lines += [f"{what:<10} {done.folder / name}" for what, name in _FILES.items()]
    return "\n".join(lines)
