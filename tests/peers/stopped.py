"""Processes that hang."""

from __future__ import annotations

import os
import signal


def stop(pid: int) -> None:
    """Stop the child `pid` by SIGSTOP, and come back when each of its threads has.

    The signal alone is not enough: on a busy machine one thread of the process may go on until another has had a turn.
    """
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
