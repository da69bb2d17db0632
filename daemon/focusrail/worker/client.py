"""The engine's end of the stacking process: starts it, feeds it, and starts another when it dies."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from focusrail.errors import ShootAborted, WorkerLost, by_name
from focusrail.model.frame import FrameRecord
from focusrail.model.selection import outwards
from focusrail.store.outbound import Destination, prepare
from focusrail.worker.messages import (
    Begin,
    Failed,
    Finish,
    Finished,
    Frame,
    Fused,
    LeftOut,
    Live,
    LookedAgain,
    Measures,
    Memory,
    Room,
    Saved,
    Surveyed,
    decode_event,
    encode,
)
from focusrail_drivers.pulse import BEAT_S, beat, silent_for

log = structlog.get_logger(__name__)

_RESTARTS = 2
_ALL_RESTARTS = 20
_SILENCE_S = 120.0  # without any event, while one is awaited: the process hangs
_WRITING = 10  # times as long it may be silent when all frames are fused: one event tells that all is written
_ABORTED = "stacking was stopped; nothing has been published"
Event = Measures | Surveyed | Fused | LookedAgain | LeftOut | Live | Room | Memory | Saved | Finished | Failed


@dataclass
class _Progress:
    """What the present process has been given and what it has answered."""

    in_flight: dict[int, int] = field(default_factory=dict)  # frame index -> bytes of its original
    surveyed: int = 0
    finished: Finished | None = None
    failed: Failed | None = None
    ended: bool = False
    heard_s: float = 0.0  # when the last event came


class StackingProcess:
    """One stack in a process of its own. `submit` waits while too much is in flight, so that the shutter waits.

    When the process dies, or hangs and is killed, another is started and given all frames again from the spool; a frame
    on which two processes died is left out.
    """

    def __init__(
        self,
        begin: Begin,
        place: Destination,
        *,
        in_flight_bytes: int,
        memory_limit_mb: int | None = None,
        silence_s: float = _SILENCE_S,
        listen: Callable[[Event], None] = lambda _: None,
    ) -> None:
        """Start. `listen` is called from another thread with every event that is news. Raises StoreNotWritable."""
        self._begin, self._place, self._listen = begin, place, listen
        self._in_flight_bytes, self._silence_s = in_flight_bytes, silence_s
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
        self._environment.setdefault("OPENCV_LOG_LEVEL", "OFF")  # what it has to say is in our own sentences
        # Few arenas: with one a thread, freed frames stay where other threads cannot use them.
        self._environment["MALLOC_ARENA_MAX"] = "2"
        if memory_limit_mb is not None:
            self._environment["FOCUSRAIL_MEMORY_LIMIT_MB"] = str(memory_limit_mb)
        self._given: list[FrameRecord] = []
        self._known: set[tuple[bool, int]] = set()  # (surveyed, or fused or left out; frame) that has been told
        self._deaths: dict[int, int] = {}  # frame index -> processes that died on it
        self._restarts = self._all_restarts = 0  # since it last got on; ever
        self._aborted = False
        self._condition = threading.Condition()
        self._start()

    def submit(self, record: FrameRecord) -> None:
        """Hand over the next frame; wait while too many bytes are in flight. Raises WorkerLost and what failed."""
        self._given.append(record)
        self._send_frame(record)
        self._wait(lambda p: sum(p.in_flight.values()) <= self._in_flight_bytes or len(p.in_flight) < 2)

    def finish(self, command: Finish) -> Finished:
        """Wait for the results to lie in the scratch folder. Raises WorkerLost and what failed, e.g. TooFewFrames."""
        self._send(encode(command))
        while not self._reaches(lambda p: p.finished is not None):
            self._revive()
            self._send(encode(command))
        finished = self._progress.finished
        assert finished is not None
        self.close()
        return finished

    def abort(self) -> None:
        """End the process; whoever waits for it gets ShootAborted. From any thread, any number of times."""
        self._aborted = True
        self._process.kill()

    def close(self) -> None:
        """End the process, if it still runs. Never raises; closing twice is fine."""
        process = self._process
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        try:
            process.wait(timeout=0.0 if self._progress.finished is None else 10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._reader.join()
        if process.stdout is not None:
            process.stdout.close()

    def _start(self) -> None:
        if self._aborted:  # while another was being ended
            raise ShootAborted(_ABORTED)
        prepare(self._place)
        self._progress = _Progress()
        self._process: subprocess.Popen[bytes] = subprocess.Popen(
            [sys.executable, "-m", "focusrail.worker.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
            start_new_session=True,  # Ctrl-C is for the engine, which ends this one in order
        )
        self._reader = threading.Thread(
            target=copy_context().run,  # what is bound to the log here does not cross to another thread by itself
            args=(self._read, self._process, self._progress),
            name="stacking events",
            daemon=True,
        )
        self._reader.start()
        log.info("worker.started", pid=self._process.pid)
        self._send(encode(self._begin))

    def _send_frame(self, record: FrameRecord) -> None:
        deadly = self._deaths.get(record.index, 0) >= _RESTARTS
        with self._condition:
            self._progress.in_flight[record.index] = record.original.size_bytes
        name = record.original.path.name
        self._send(encode(Frame(record, unusable=f"{name} ends the stacking process: it is damaged" if deadly else "")))

    def _send(self, line: bytes) -> None:
        process = self._process
        assert process.stdin is not None
        # A process that hangs does not read either, and what it is sent waits once the pipe is full.
        watch = threading.Timer(self._silence_s, copy_context().run, (self._kill_hung, process))
        watch.start()
        try:
            # When the process has ended, `_wait` sees it and acts.
            with silent_for(self._silence_s), suppress(BrokenPipeError, ValueError):
                process.stdin.write(line)
                process.stdin.flush()
        finally:
            watch.cancel()

    def _kill_hung(self, process: subprocess.Popen[bytes]) -> None:
        log.warning("worker.hung", pid=process.pid)
        process.kill()

    def _wait(self, until: Callable[[_Progress], bool]) -> None:
        while not self._reaches(until):
            self._revive()

    def _reaches(self, until: Callable[[_Progress], bool]) -> bool:
        """Wait until something holds, and say whether it does: not when the process died. Raises what failed."""
        with self._condition:
            self._await(until)
            failed = self._progress.failed
            if self._aborted:
                raise ShootAborted(_ABORTED)
            if failed is not None:
                raise by_name(failed.error, failed.message)
            return until(self._progress)

    def _await(self, until: Callable[[_Progress], bool]) -> None:
        """Wait until something holds or the process has ended; kill it when it is silent for too long."""
        began_s = time.monotonic()
        while not (until(self._progress) or self._progress.ended):
            patience_s = self._silence_s * (1 if self._progress.in_flight else _WRITING)
            left_s = max(began_s, self._progress.heard_s) + patience_s - time.monotonic()
            if left_s <= 0:
                self._kill_hung(self._process)
                self._condition.wait_for(lambda: self._progress.ended)
                return
            beat()
            self._condition.wait(min(left_s, BEAT_S))

    def _revive(self) -> None:
        """Start another process in place of one that died, and give it all frames again."""
        while True:
            self.close()
            self._restarts += 1
            self._all_restarts += 1
            code = self._process.returncode
            log.warning("worker.died", exit_code=code, restarts=self._restarts)
            if self._restarts > _RESTARTS or self._all_restarts > _ALL_RESTARTS:
                raise WorkerLost(
                    f"the stacking process ended {self._all_restarts} times (last exit code {code}); "
                    f"the originals are safe, and shoot {self._begin.shoot_id} can be stacked again"
                )
            self._start()
            if all(self._replay(record) for record in list(self._given)):
                return

    def _replay(self, record: FrameRecord) -> bool:
        """Give a frame again and wait for its fate: one at a time shows on which of them a process dies."""
        self._send_frame(record)
        if self._reaches(lambda p: record.index not in p.in_flight):
            return True
        survey, surveyed = self._begin.survey, self._progress.surveyed
        onwards, back = outwards(survey)
        suspect = (*onwards, *back)[surveyed].index if surveyed < len(survey) else record.index
        self._deaths[suspect] = self._deaths.get(suspect, 0) + 1
        if self._deaths[suspect] == _RESTARTS:  # the culprit is found, and is left out from now on
            self._restarts = 0
            self._begin = replace(self._begin, survey=tuple(r for r in survey if r.index != suspect))
        return False

    def _read(self, process: subprocess.Popen[bytes], progress: _Progress) -> None:
        try:
            self._read_events(process, progress)
        finally:  # whatever happens here: nobody must wait for ever
            with self._condition:
                progress.ended = True
                self._condition.notify_all()

    def _read_events(self, process: subprocess.Popen[bytes], progress: _Progress) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                event: Any = decode_event(line)
            except ValueError:
                log.error("worker.spoke_nonsense", line=line[:200].decode("ascii", "replace"))
                break
            with self._condition:
                progress.heard_s = time.monotonic()
                if isinstance(event, Fused | LeftOut):
                    progress.in_flight.pop(event.index, None)
                elif isinstance(event, Surveyed):
                    progress.surveyed += 1
                elif isinstance(event, Finished):
                    progress.finished = event
                elif isinstance(event, Failed):
                    progress.failed = event
                self._condition.notify_all()
            self._tell(event)

    def _tell(self, event: Event) -> None:
        """Pass on what is news: after a restart frames are fused again, which concerns nobody."""
        if isinstance(event, Fused | LeftOut | Surveyed):
            news = (isinstance(event, Surveyed), event.index)
            if news in self._known:
                return
            self._known.add(news)
            self._restarts = 0  # it gets on
        try:
            self._listen(event)
        except Exception:  # whose it is does not matter: the stack goes on
            log.exception("listener.failed")
