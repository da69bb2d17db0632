"""The stacking process: reads the spool, stacks, and makes what people see of the result."""
