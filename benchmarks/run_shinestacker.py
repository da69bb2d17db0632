"""ShineStacker has no command that stacks: this is its documented way to do so from Python, with its defaults.

    python run_shinestacker.py FRAMES WORK pyramid|depth

Run by ShineStacker's own interpreter; the result is in WORK/stacked.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from shinestacker import (
    AlignFrames,
    BalanceFrames,
    CombinedActions,
    DepthMapStack,
    FocusStack,
    PyramidStack,
    StackJob,
)

if __name__ == "__main__":
    frames, work, kind = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), sys.argv[3]
    job = StackJob("bench", str(work), input_path=os.path.relpath(frames, work))
    job.add_action(CombinedActions("aligned", actions=[AlignFrames(), BalanceFrames()]))
    job.add_action(FocusStack("stacked", PyramidStack() if kind == "pyramid" else DepthMapStack()))
    job.run()
