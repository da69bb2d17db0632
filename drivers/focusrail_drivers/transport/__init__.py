"""How bytes reach a device: a serial line with deadlines, and C libraries kept in a process of their own."""
