"""The command line's side of the running service: what it is asked over its Unix socket, and what it tells."""
