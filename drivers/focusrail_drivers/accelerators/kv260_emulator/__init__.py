"""A Kria KV260 with the Composable Pipeline, emulated to its registers: for tests and demonstrations without a board.

The real pynq package drives it, for it is a `pynq.Device` (module `device`). What it knows of the hardware is written
down from public documents and sources; no line of it has been compared with silicon.
"""
