"""OpenBLAS and a limit of memory."""

from __future__ import annotations

import subprocess
import sys

WORK = """
import resource, threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from focusrail.worker.process import _have_blas_take_its_buffers

THREADS = 4
with ThreadPoolExecutor(THREADS - 1) as executor:
    _have_blas_take_its_buffers(executor, THREADS - 1)
pages = int(open("/proc/self/statm").read().split()[5])
resource.setrlimit(resource.RLIMIT_DATA, (pages * 4096 + (24 << 20),) * 2)  # too little for one more buffer
together = threading.Barrier(THREADS)

def invert():
    together.wait()
    for _ in range(200):
        np.linalg.inv(np.eye(3))

threads = [threading.Thread(target=invert) for _ in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done")
"""


def test_under_a_limit_of_memory_no_thread_waits_for_ever_for_a_buffer_of_blas() -> None:
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "done", done.stderr
