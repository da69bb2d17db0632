"""The memory that the FPGA writes to outlives a service that is killed.

A video DMA does not notice that its process is gone: it goes on writing frames, until the overlay is loaded again some
seconds later, into memory that the kernel would have given to somebody else. All buffers belong to one open file
(/dev/dri/renderD*, XRT's), and are freed when nobody has that open any more. So systemd is asked to keep it as well
(its file descriptor store), and the next service lets go of it when it has loaded the overlay.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from focusrail_drivers.notify import notify

RENDER_NODES = "/dev/dri/renderD"
_NAME = "fpga-memory"
_FIRST = 3  # SD_LISTEN_FDS_START


class KeptMemory:
    """What systemd keeps for us. Where the service was not started by systemd, nothing is kept."""

    def __init__(self, files: str = RENDER_NODES) -> None:
        """`files` is how the paths of the files begin that buffers belong to."""
        self._files = files
        given = os.environ.get("LISTEN_FDS", "0") if os.environ.get("LISTEN_PID") == str(os.getpid()) else "0"
        self._inherited = list(range(_FIRST, _FIRST + int(given)))
        for each in self._inherited:
            os.set_inheritable(each, False)

    def renew(self) -> None:
        """The overlay has just been loaded: nothing writes to what was kept, and what is open now is to be kept."""
        notify(f"FDSTOREREMOVE=1\nFDNAME={_NAME}")
        for each in self._inherited:
            os.close(each)
        self._inherited.clear()
        if found := self._open_files():
            notify(f"FDSTORE=1\nFDNAME={_NAME}\nFDPOLL=0", found)

    def _open_files(self) -> list[int]:
        found = []
        for each in Path("/proc/self/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                if str(each.readlink()).startswith(self._files):
                    found.append(int(each.name))
        return sorted(found)
