"""The stacking process: reads commands from standard input, stacks, writes events to standard output.

It is a process of its own because it decodes images, which may be broken or hostile, and because it needs the memory:
whatever ends it, the process that owns the rail goes on, and starts another that reads the spool anew.
Three threads: decode, register, fuse; at most two decoded frames are alive at a time.
"""

from __future__ import annotations

import errno
import os
import queue
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import cv2
import numpy as np

from focusrail.errors import DamagedImage, FocusrailError, FrameError
from focusrail.model.frame import FrameRecord
from focusrail.stacking.arrays import Image
from focusrail.stacking.pipeline import Examined, Registered
from focusrail.store.durable import refusal
from focusrail.store.image_io import Metadata, decode, read_metadata
from focusrail.store.spool import read_original
from focusrail.telemetry.logging import configure_logging
from focusrail.worker.memory_free import hold_to
from focusrail.worker.memory_need import FRAMES_IN_FLIGHT
from focusrail.worker.messages import Begin, Failed, Finish, Frame, decode_command, encode
from focusrail.worker.stack import Stack

_T = TypeVar("_T")
# What OpenCV, Python's threads and the loader of its modules say.
_NO_MEMORY = ("Insufficient memory", "can't start new thread", "failed to map segment", "cannot allocate memory")
# The file system's, not ours.
_STORE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOENT}


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame's pixels, fresh from the spool."""

    record: FrameRecord
    image: Image
    metadata: Metadata
    began_s: float


def read_frame(record: FrameRecord, *, with_metadata: bool = False, spare: Image | None = None) -> Decoded:
    """Read, prove and decode an original, into a `spare` image where it fits. Raises FrameError."""
    began_s = time.monotonic()
    data = read_original(record.original)
    metadata = read_metadata(data) if with_metadata else Metadata()
    return Decoded(record, decode(data, record.original.path.name, spare=spare), metadata, began_s)


class Pipeline:
    """Runs the stages in their threads and stops at the first error that is not a frame's own."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._records: queue.Queue[FrameRecord | None] = queue.Queue()
        self._examined: queue.Queue[tuple[Decoded, Examined] | None] = queue.Queue()
        self._registered: queue.Queue[tuple[Decoded, Registered] | None] = queue.Queue()
        self._room = threading.Semaphore(FRAMES_IN_FLIGHT)
        self._spare: deque[Image] = deque()  # frames that have been fused
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._stage, args=(stage,), name=stage.__name__)
            for stage in (self._decode, self._register, self._fuse)
        ]
        for thread in self._threads:
            thread.start()

    def add(self, record: FrameRecord) -> None:
        """Hand over a frame."""
        self._records.put(record)

    def drain(self) -> None:
        """Wait until all frames are fused. Raises what ended a stage."""
        self._records.put(None)
        for thread in self._threads:
            thread.join()
        self._spare.clear()
        if self._error is not None:
            raise self._error

    def _stage(self, stage: Callable[[], None]) -> None:
        try:
            stage()
        except BaseException as error:  # noqa: BLE001 - the top of a thread: reported, and the process ends
            self._error = self._error or error
            # A stage that has ended would keep the others waiting for ever; the process ends in a moment.
            report_and_exit(self._stack.say, error)

    def _decode(self) -> None:
        for record in _until_none(self._records):
            self._room.acquire()
            try:
                spare = self._spare.popleft() if self._spare else None
                decoded = read_frame(record, with_metadata=not self._stack.has_metadata, spare=spare)
                del spare
                self._examined.put((decoded, self._stack.examine(record, decoded.image)))
                del decoded  # its pixels must not outlive its being fused, here or below
            except FrameError as error:
                self._room.release()
                self._stack.leave_out(record, error)
        self._examined.put(None)

    def _register(self) -> None:
        for decoded, examined in _until_none(self._examined):
            try:
                self._registered.put((decoded, self._stack.register(decoded.record, examined, decoded.metadata)))
            except FrameError as error:
                self._room.release()
                self._stack.leave_out(decoded.record, error)
            del decoded, examined
        self._registered.put(None)

    def _fuse(self) -> None:
        for decoded, registered in _until_none(self._registered):
            self._stack.fuse(decoded.record, registered, began_s=decoded.began_s)
            if decoded.record.original.media_type == "image/jpeg":  # what else is decoded has no use for it
                self._spare.append(registered.frame)
            self._room.release()
            del decoded, registered


def _until_none(items: queue.Queue[_T | None]) -> Iterator[_T]:
    while (item := items.get()) is not None:
        yield item
        del item  # a frame must not live on while the next is waited for


def _is_lack_of_memory(error: BaseException) -> bool:
    """Each library has its own way to say it; a thread's stack is memory, too."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    said = any(words in str(error) for words in _NO_MEMORY)
    return isinstance(error, MemoryError) or (isinstance(error, cv2.error | RuntimeError | ImportError) and said)


def report_and_exit(say: Callable[[object], None], error: BaseException) -> None:
    """Tell the engine what went wrong and end this process at once, whatever its threads are doing."""
    if isinstance(error, FocusrailError):
        say(Failed(type(error).__name__, str(error)))
    elif _is_lack_of_memory(error):
        say(Failed("FocusrailError", "the stacking process ran out of memory: raise stacking.memory_limit_mb"))
    elif isinstance(error, OSError) and error.errno in _STORE_ERRORS:
        refused = refusal(Path(error.filename or "the results"), error)
        say(Failed(type(refused).__name__, str(refused)))
    else:
        traceback.print_exception(error)
        say(Failed("FocusrailError", f"the stacking process failed: {type(error).__name__}: {error}"))
    sys.stdout.flush()
    os._exit(1)


def main() -> None:
    """Serve one stack."""
    configure_logging("warning")  # what drivers have to say
    # Whatever a library prints must not get between the events.
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    lock = threading.Lock()

    def say(event: object) -> None:
        with lock:
            try:
                events.write(encode(event))
            except BrokenPipeError:
                os._exit(0)  # the engine is gone

    try:
        serve(sys.stdin.buffer, say)
    except BaseException as error:  # noqa: BLE001 - the top of the process
        report_and_exit(say, error)
    sys.stderr.flush()
    os._exit(0)  # all is written; ending in order would wait for the thread that reads commands


def serve(commands: BinaryIO, say: Callable[[object], None]) -> None:
    """Read commands until `Finish` or the end of input. Raises FocusrailError."""
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(commands, lines), name="commands", daemon=True).start()
    begin = decode_command(lines.get())
    assert isinstance(begin, Begin)
    limit_mb = os.environ.get("FOCUSRAIL_MEMORY_LIMIT_MB")
    memory_limit_mb = int(limit_mb) if limit_mb else None
    threads = begin.threads or len(os.sched_getaffinity(0))
    cv2.setNumThreads(threads)
    with ThreadPoolExecutor(threads, "stripe") as executor:
        if memory_limit_mb is not None:
            _have_blas_take_its_buffers(executor, threads)
            hold_to(2 * memory_limit_mb << 20)  # until the first frame tells what is needed, and is refused if too much
        stack = Stack(
            begin,
            say,
            executor=executor,
            read=lambda record: read_frame(record).image,
            threads=threads,
            memory_limit_mb=memory_limit_mb,
        )
        pipeline = Pipeline(stack)
        while True:
            command = decode_command(lines.get())
            if isinstance(command, Frame) and command.unusable:
                stack.leave_out(command.record, DamagedImage(command.unusable))
            elif isinstance(command, Frame):
                pipeline.add(command.record)
            elif isinstance(command, Finish):
                pipeline.drain()
                stack.finish(command)
                return


def _have_blas_take_its_buffers(executor: ThreadPoolExecutor, threads: int) -> None:
    """OpenBLAS takes buffers when threads first need them at once, and tries for ever where it gets none.

    For the threads of stripes and one more; those of the stages are rarely in it together.
    """
    together = threading.Barrier(threads + 1)

    def multiply(_: int) -> None:
        square = np.ones((512, 512))  # some milliseconds, and several times: else one is done before another begins
        for _ in range(4):
            together.wait()
            square @ square

    others = executor.map(multiply, range(threads))
    multiply(0)
    list(others)


def _read(commands: BinaryIO, lines: queue.SimpleQueue[bytes]) -> None:
    """Read on whatever the other threads do: the end of input says that the engine is gone.

    Then nothing is left to be done, and what was stored is safe. Going on would only write into the scratch folder of
    the process that stacks the same shoot next.
    """
    for line in commands:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
