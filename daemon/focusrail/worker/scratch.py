"""The scratch folder being filled: files written side by side, each durable and hashed by the thread that wrote it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from focusrail.store.durable import file_sha256, sync_file, sync_folder
from focusrail.worker.manifest import FileFacts

_THREADS = 3  # two that compute and one that waits for the disk


class Scratch:
    """Writes files in the order in which they are asked for, some at a time; encoders let other threads run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._executor = ThreadPoolExecutor(_THREADS, "write")
        self._files: dict[str, Future[tuple[FileFacts, float]]] = {}

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(cancel_futures=error is not None)

    def add(self, name: str, write: Callable[[Path], object]) -> None:
        """Have a file written by `write`, which is given its path."""
        self._files[name] = self._executor.submit(self._write, self.folder / name, write)

    def _write(self, path: Path, write: Callable[[Path], object]) -> tuple[FileFacts, float]:
        write(path)
        sync_file(path)
        sync_folder(path.parent)
        durable_s = time.monotonic()
        return _facts(path), durable_s

    def durable_s(self, name: str) -> float:
        """Wait for a file; when was it durable (s, monotonic)? Raises what writing it raised."""
        return self._files[name].result()[1]

    def all_durable_s(self) -> float:
        """Wait for all files asked for so far; when was the last durable? Raises what writing one raised."""
        return max(map(self.durable_s, self._files))

    def names(self) -> list[str]:
        """Of all files that have been asked for."""
        return sorted(self._files)

    def facts(self) -> dict[str, FileFacts]:
        """Wait for all files, and tell of every one that is in the folder. Raises what writing one raised."""
        facts = {name: file.result()[0] for name, file in self._files.items()}
        paths = {str(path.relative_to(self.folder)): path for path in self.folder.rglob("*") if path.is_file()}
        others = {name: path for name, path in paths.items() if name not in facts}
        return facts | dict(zip(others, self._executor.map(_facts, others.values()), strict=True))


def _facts(path: Path) -> FileFacts:
    return FileFacts(file_sha256(path), path.stat().st_size)
