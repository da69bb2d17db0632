"""The stacking engine: pure functions and accumulators on arrays. No I/O, no clock, no asyncio."""
